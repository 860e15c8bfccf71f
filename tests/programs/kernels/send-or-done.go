// send-or-done: senders to a subscriber give up when it is done, and its channel is never closed but left to the collector.
//
//goflow:class correct
package main

import "time"

type guardedSubscriber struct {
	events chan int
	done   chan struct{}
}

func (s *guardedSubscriber) send(event int) bool {
	select {
	case s.events <- event:
		return true
	case <-s.done:
		return false
	}
}

func publishTo(s *guardedSubscriber, ended chan<- bool) {
	for event := 0; s.send(event); event++ {
		time.Sleep(2 * time.Millisecond)
	}
	ended <- true
}

func sendOrDone() {
	for {
		s := &guardedSubscriber{events: make(chan int, 2), done: make(chan struct{})}
		ended := make(chan bool)
		go publishTo(s, ended)
		go publishTo(s, ended)
		for n := 0; n < 10; n++ {
			<-s.events
		}
		close(s.done)
		<-ended
		<-ended
	}
}

func init() { kernels["send-or-done"] = sendOrDone }
