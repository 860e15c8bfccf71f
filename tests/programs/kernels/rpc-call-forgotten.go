// rpc-call-forgotten: the client drops its pending calls when the connection breaks, and tells none of the goroutines that wait for a reply.
//
//goflow:class leak
//goflow:expect goroutine-leak
package main

import (
	"sync"
	"time"
)

type pendingCall struct {
	method string
	reply  chan []byte
}

type rpcSession struct {
	mu      sync.Mutex
	nextID  int
	pending map[int]*pendingCall
}

func (s *rpcSession) call(method string) []byte {
	call := &pendingCall{method: method, reply: make(chan []byte, 1)}
	s.mu.Lock()
	s.nextID++
	s.pending[s.nextID] = call
	s.mu.Unlock()
	return <-call.reply // stuck: 3
}

func (s *rpcSession) connectionLost() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id := range s.pending {
		delete(s.pending, id)
	}
}

func rpcCallForgotten() {
	session := &rpcSession{pending: map[int]*pendingCall{}}
	for _, method := range []string{"list", "get", "put"} {
		go session.call(method)
	}
	time.Sleep(50 * time.Millisecond)
	session.connectionLost()
	heartbeat(25 * time.Millisecond)
}

func init() { kernels["rpc-call-forgotten"] = rpcCallForgotten }
