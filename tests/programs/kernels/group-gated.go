// group-gated: requests count themselves, but behind a gate that is shut while a flush waits for those in flight.
//
//goflow:class correct
package main

import (
	"sync"
	"time"
)

type flushGate struct {
	mu       sync.RWMutex
	inFlight sync.WaitGroup
}

func (g *flushGate) serve(id int) {
	time.Sleep(time.Duration(id%7) * time.Millisecond)
	g.mu.RLock()
	g.inFlight.Add(1)
	g.mu.RUnlock()
	defer g.inFlight.Done()
	time.Sleep(3 * time.Millisecond)
}

// flush lets no request in while it waits.
func (g *flushGate) flush() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.inFlight.Wait()
}

func groupGated() {
	g := &flushGate{}
	for id := 0; ; id++ {
		go g.serve(id)
		time.Sleep(time.Millisecond)
		if id%10 == 9 {
			g.flush()
		}
	}
}

func init() { kernels["group-gated"] = groupGated }
