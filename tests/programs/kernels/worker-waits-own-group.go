// worker-waits-own-group: the last worker of an upload waits for the whole group, of which it is a member itself.
//
//goflow:class communication-deadlock
//goflow:expect circular-wait goroutine-leak deadlock
package main

import (
	"sync"
	"sync/atomic"
)

type upload struct {
	parts    sync.WaitGroup
	left     int32
	complete chan bool
}

func (u *upload) send(part int) {
	defer u.parts.Done()
	if atomic.AddInt32(&u.left, -1) == 0 {
		u.finish()
	}
}

// finish is for when no part is on its way any more.
func (u *upload) finish() {
	u.parts.Wait() // stuck
	close(u.complete)
}

func workerWaitsOwnGroup() {
	u := &upload{left: 4, complete: make(chan bool)}
	u.parts.Add(4)
	for part := 0; part < 4; part++ {
		go u.send(part)
	}
	<-u.complete // stuck
}

func init() { kernels["worker-waits-own-group"] = workerWaitsOwnGroup }
