// slow-responder: callers wait for replies from a responder that sleeps for five seconds before each.
//
//goflow:class correct
package main

import "time"

type priceQuestion struct {
	item  string
	reply chan int
}

type priceDesk struct{ questions chan priceQuestion }

func (d *priceDesk) answer() {
	for question := range d.questions {
		time.Sleep(5 * time.Second)
		question.reply <- len(question.item)
	}
}

func (d *priceDesk) price(item string) int {
	question := priceQuestion{item, make(chan int)}
	d.questions <- question
	return <-question.reply
}

func slowResponder() {
	desk := &priceDesk{questions: make(chan priceQuestion)}
	go desk.answer()
	for _, item := range []string{"book", "lamp"} {
		go func(item string) {
			for {
				desk.price(item)
				time.Sleep(20 * time.Second)
			}
		}(item)
	}
}

func init() { kernels["slow-responder"] = slowResponder }
