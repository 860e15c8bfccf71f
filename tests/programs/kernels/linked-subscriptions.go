// linked-subscriptions: subscribers wait on channels that only hang in a linked list of a goroutine that sleeps.
//
//goflow:class correct
package main

import "time"

type subscription struct {
	events chan string
	next   *subscription
}

func (s *subscription) deliver(event string) {
	for ; s != nil; s = s.next {
		s.events <- event
	}
}

func deliverSlowly(first *subscription, pause time.Duration) {
	for {
		time.Sleep(pause)
		first.deliver("tick")
	}
}

func linkedSubscriptions() {
	var first *subscription
	for i := 0; i < 5; i++ {
		first = &subscription{events: make(chan string), next: first}
		go func(events <-chan string) {
			for range events {
			}
		}(first.events)
	}
	go deliverSlowly(first, 15*time.Second)
}

func init() { kernels["linked-subscriptions"] = linkedSubscriptions }
