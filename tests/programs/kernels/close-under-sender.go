// close-under-sender: a session closes its outbox while a writer waits in a send for room in it, and the writer's panic is recovered.
//
//goflow:class misuse
//goflow:expect send-on-closed-risk
package main

import "time"

type outboxSession struct {
	outbox chan []byte
	ended  chan bool
}

func (s *outboxSession) write(data []byte) (ok bool) {
	defer func() { ok = recover() == nil }()
	s.outbox <- data // here
	return true
}

func (s *outboxSession) writeAll() {
	for s.write([]byte("frame")) {
	}
	close(s.ended)
}

func (s *outboxSession) hangUp() {
	close(s.outbox) // here
	<-s.ended
}

func closeUnderSender() {
	polledStatus(50 * time.Millisecond)
	for {
		s := &outboxSession{outbox: make(chan []byte, 3), ended: make(chan bool)}
		go s.writeAll()
		<-s.outbox
		time.Sleep(40 * time.Millisecond)
		s.hangUp()
	}
}

func init() { kernels["close-under-sender"] = closeUnderSender }
