// credit-window: the sender may have three chunks on the way, and the receiver grants credit only after four.
//
//goflow:class communication-deadlock
//goflow:expect circular-wait goroutine-leak
package main

import "time"

type stream struct {
	chunks chan []byte
	credit chan int
}

func (s *stream) send(data []byte) {
	credit := 3
	for _, b := range data {
		for credit == 0 {
			credit += <-s.credit // stuck
		}
		s.chunks <- []byte{b}
		credit--
	}
	close(s.chunks)
}

func (s *stream) receive() (received []byte) {
	unacknowledged := 0
	for chunk := range s.chunks { // stuck
		received = append(received, chunk...)
		unacknowledged++
		if unacknowledged == 4 {
			s.credit <- unacknowledged
			unacknowledged = 0
		}
	}
	return received
}

func creditWindow() {
	s := &stream{chunks: make(chan []byte, 8), credit: make(chan int, 1)}
	go s.send([]byte("a longer message"))
	go s.receive()
	heartbeat(45 * time.Millisecond)
}

func init() { kernels["credit-window"] = creditWindow }
