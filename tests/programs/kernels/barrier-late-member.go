// barrier-late-member: three members wait at a barrier for a fourth that comes after thirty seconds.
//
//goflow:class correct
package main

import (
	"sync"
	"time"
)

type lateBarrier struct {
	mu      sync.Mutex
	missing int
	open    chan struct{}
}

func (b *lateBarrier) arrive() {
	b.mu.Lock()
	b.missing--
	if b.missing == 0 {
		close(b.open)
	}
	b.mu.Unlock()
	<-b.open
}

func barrierLateMember() {
	meeting := &lateBarrier{missing: 4, open: make(chan struct{})}
	var members sync.WaitGroup
	for member := 0; member < 4; member++ {
		members.Add(1)
		go func(member int) {
			defer members.Done()
			if member == 3 {
				time.Sleep(30 * time.Second)
			}
			meeting.arrive()
		}(member)
	}
	members.Wait()
}

func init() { kernels["barrier-late-member"] = barrierLateMember }
