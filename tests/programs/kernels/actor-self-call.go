// actor-self-call: the owner of a counter sends to its own unbuffered mailbox while it handles a message.
//
//goflow:class communication-deadlock
//goflow:expect circular-wait goroutine-leak
package main

import "time"

type counterMessage struct {
	name  string
	delta int
}

type counterActor struct {
	mailbox chan counterMessage
	counts  map[string]int
}

func (c *counterActor) add(name string, delta int) {
	c.mailbox <- counterMessage{name, delta} // stuck
}

func (c *counterActor) run() {
	for message := range c.mailbox {
		c.counts[message.name] += message.delta
		if message.name != "total" {
			c.add("total", message.delta)
		}
	}
}

func actorSelfCall() {
	counter := &counterActor{mailbox: make(chan counterMessage), counts: map[string]int{}}
	go counter.run()
	counter.add("visits", 1)
	polledStatus(60 * time.Millisecond)
}

func init() { kernels["actor-self-call"] = actorSelfCall }
