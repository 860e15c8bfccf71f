// actors-serve-while-waiting: billing asks stock and stock asks billing, and both go on serving requests while they wait for their reply.
//
//goflow:class correct
package main

import "time"

type politeCall struct {
	value int
	reply chan int
}

type politeActor struct {
	mailbox chan politeCall
	other   *politeActor
	asked   int
}

// ask waits for the answer, and answers meanwhile.
func (a *politeActor) ask(value int) int {
	call := politeCall{value, make(chan int, 1)}
	send := a.other.mailbox
	for {
		select {
		case send <- call:
			send = nil
		case answer := <-call.reply:
			return answer
		case request := <-a.mailbox:
			request.reply <- request.value + 1
		}
	}
}

func (a *politeActor) run(pause time.Duration) {
	for {
		a.asked += a.ask(a.asked % 10)
		time.Sleep(pause)
	}
}

func actorsServeWhileWaiting() {
	billing := &politeActor{mailbox: make(chan politeCall)}
	stock := &politeActor{mailbox: make(chan politeCall), other: billing}
	billing.other = stock
	go billing.run(time.Second)
	go stock.run(1500 * time.Millisecond)
}

func init() { kernels["actors-serve-while-waiting"] = actorsServeWhileWaiting }
