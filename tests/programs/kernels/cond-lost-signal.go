// cond-lost-signal: the connection signals that it is up before anyone waits, and the waiters look at no flag.
//
//goflow:class communication-deadlock
//goflow:expect goroutine-leak
package main

import (
	"sync"
	"time"
)

type link struct {
	mu    sync.Mutex
	up    *sync.Cond
	speed int
}

func newLink() *link {
	l := &link{}
	l.up = sync.NewCond(&l.mu)
	return l
}

func (l *link) connect(speed int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.speed = speed
	l.up.Broadcast()
}

func (l *link) waitUp() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.up.Wait() // stuck: 2
	return l.speed
}

func condLostSignal() {
	l := newLink()
	l.connect(1000)
	go l.waitUp()
	go l.waitUp()
	heartbeat(25 * time.Millisecond)
}

func init() { kernels["cond-lost-signal"] = condLostSignal }
