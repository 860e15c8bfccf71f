// group-reused: one WaitGroup serves round after round, and every Add of a round comes after the Wait of the last has returned.
//
//goflow:class correct
package main

import (
	"sync"
	"time"
)

type roundRunner struct {
	members sync.WaitGroup
	mu      sync.Mutex
	moves   int
}

func (r *roundRunner) move(delay time.Duration) {
	defer r.members.Done()
	time.Sleep(delay)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.moves++
}

func groupReused() {
	r := &roundRunner{}
	for {
		r.members.Add(4)
		for member := 1; member <= 4; member++ {
			go r.move(time.Duration(member) * 10 * time.Millisecond)
		}
		r.members.Wait()
	}
}

func init() { kernels["group-reused"] = groupReused }
