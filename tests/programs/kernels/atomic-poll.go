// atomic-poll: a follower polls an atomic flag which the leader sets every two seconds, with a pause between two looks.
//
//goflow:class correct
package main

import (
	"runtime"
	"sync/atomic"
	"time"
)

type leaderFlag struct {
	ready int32
	terms int64
}

func (f *leaderFlag) follow() {
	for {
		for tries := 0; !atomic.CompareAndSwapInt32(&f.ready, 1, 0); tries++ {
			if tries < 4 {
				runtime.Gosched()
				continue
			}
			time.Sleep(2 * time.Millisecond)
		}
		atomic.AddInt64(&f.terms, 1)
	}
}

func (f *leaderFlag) lead() {
	for {
		atomic.StoreInt32(&f.ready, 1)
		time.Sleep(2 * time.Second)
	}
}

func atomicPoll() {
	flag := &leaderFlag{}
	go flag.follow()
	flag.lead()
}

func init() { kernels["atomic-poll"] = atomicPoll }
