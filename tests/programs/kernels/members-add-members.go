// members-add-members: members of a group add further members while the caller waits, which is right as they are not done themselves.
//
//goflow:class correct
package main

import (
	"sync"
	"sync/atomic"
	"time"
)

type dirWalk struct {
	pending sync.WaitGroup
	visited int64
}

func (w *dirWalk) visit(depth int) {
	defer w.pending.Done()
	atomic.AddInt64(&w.visited, 1)
	time.Sleep(10 * time.Millisecond)
	for sub := 0; depth > 0 && sub < 2; sub++ {
		w.pending.Add(1)
		go w.visit(depth - 1)
	}
}

func (w *dirWalk) run(depth int) int64 {
	w.pending.Add(1)
	go w.visit(depth)
	w.pending.Wait()
	return atomic.LoadInt64(&w.visited)
}

func membersAddMembers() {
	for {
		walk := &dirWalk{}
		walk.run(4)
		time.Sleep(50 * time.Millisecond)
	}
}

func init() { kernels["members-add-members"] = membersAddMembers }
