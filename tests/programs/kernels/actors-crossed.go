// actors-crossed: billing asks stock while stock asks billing, and neither serves requests while it waits for its reply.
//
//goflow:class communication-deadlock
//goflow:expect circular-wait goroutine-leak
package main

import "time"

type actorCall struct {
	query string
	reply chan int
}

type actor struct {
	mailbox chan actorCall
	other   *actor
}

// ask waits for the answer, and looks at no request meanwhile.
func (a *actor) ask(query string) int {
	call := actorCall{query: query, reply: make(chan int)}
	a.mailbox <- call
	return <-call.reply // stuck: 2
}

func (a *actor) run() {
	for call := range a.mailbox {
		if call.query == "total" {
			call.reply <- a.other.ask("part")
		} else {
			call.reply <- len(call.query)
		}
	}
}

func actorsCrossed() {
	billing := &actor{mailbox: make(chan actorCall, 4)}
	stock := &actor{mailbox: make(chan actorCall, 4), other: billing}
	billing.other = stock
	for _, a := range []*actor{billing, stock} {
		a.mailbox <- actorCall{query: "total", reply: make(chan int, 1)}
	}
	go billing.run()
	go stock.run()
	heartbeat(35 * time.Millisecond)
}

func init() { kernels["actors-crossed"] = actorsCrossed }
