// barrier-miscount: the barrier waits for the coordinator as well, which never arrives at it.
//
//goflow:class communication-deadlock
//goflow:expect goroutine-leak
package main

import (
	"sync"
	"time"
)

type barrier struct {
	mu       sync.Mutex
	released *sync.Cond
	missing  int
}

func newBarrier(members int) *barrier {
	b := &barrier{missing: members}
	b.released = sync.NewCond(&b.mu)
	return b
}

func (b *barrier) arrive() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.missing--
	if b.missing == 0 {
		b.released.Broadcast()
	}
	for b.missing > 0 {
		b.released.Wait() // stuck: 3
	}
}

func simulate(steps, workers int) {
	var barriers []*barrier
	for step := 0; step < steps; step++ {
		barriers = append(barriers, newBarrier(workers+1))
	}
	for worker := 0; worker < workers; worker++ {
		go func() {
			for _, b := range barriers {
				b.arrive()
			}
		}()
	}
}

func barrierMiscount() {
	simulate(2, 3)
	busyWorkers(2)
	heartbeat(200 * time.Millisecond)
}

func init() { kernels["barrier-miscount"] = barrierMiscount }
