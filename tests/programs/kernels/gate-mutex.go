// gate-mutex: a mutex is used as a gate: the opener's goroutine unlocks what the one that waits at the gate has locked.
//
//goflow:class misuse
//goflow:expect mutex-unlocked-by-other
package main

import (
	"sync"
	"time"
)

type gate struct {
	sync.Mutex
	opened int
}

// openAfter lets the one through who waits at the gate.
func (g *gate) openAfter(delay time.Duration) {
	time.Sleep(delay)
	g.opened++
	g.Unlock() // here
}

func (g *gate) pass() {
	g.Lock()
	go g.openAfter(10 * time.Millisecond)
	g.Lock() // until it is open
	g.Unlock()
}

func gateMutex() {
	g := &gate{}
	heartbeat(50 * time.Millisecond)
	for {
		g.pass()
		time.Sleep(30 * time.Millisecond)
	}
}

func init() { kernels["gate-mutex"] = gateMutex }
