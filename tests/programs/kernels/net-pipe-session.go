// net-pipe-session: one end of a net.Pipe waits for the other, which writes a message every six seconds.
//
//goflow:class correct
package main

import (
	"net"
	"time"
)

type pipeSession struct {
	conn     net.Conn
	received int
}

func (s *pipeSession) receive() {
	buffer := make([]byte, 32)
	for {
		n, err := s.conn.Read(buffer)
		if err != nil {
			return
		}
		s.received += n
	}
}

func (s *pipeSession) send(message string, every time.Duration) {
	for {
		if _, err := s.conn.Write([]byte(message)); err != nil {
			return
		}
		time.Sleep(every)
	}
}

func netPipeSession() {
	near, far := net.Pipe()
	go (&pipeSession{conn: near}).receive()
	(&pipeSession{conn: far}).send("still here", 6*time.Second)
}

func init() { kernels["net-pipe-session"] = netPipeSession }
