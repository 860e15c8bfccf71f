// group-add-inside: each worker of a batch counts itself when it first runs, so who waits for the batch may miss those that are slow to start.
//
//goflow:class misuse
//goflow:expect waitgroup-misuse
package main

import (
	"sync"
	"sync/atomic"
	"time"
)

type batch struct {
	workers sync.WaitGroup
	sum     int64
}

func (b *batch) work(part int) {
	b.workers.Add(1) // here
	defer b.workers.Done()
	time.Sleep(time.Duration(part) * time.Millisecond)
	atomic.AddInt64(&b.sum, int64(part))
}

// run has the answer of a batch, or of those parts of it that had begun by then.
func (b *batch) run(parts int) int64 {
	for part := 0; part < parts; part++ {
		part := part
		go func() {
			prepare(part)
			b.work(part)
		}()
	}
	time.Sleep(2 * time.Millisecond)
	b.workers.Wait()
	return atomic.LoadInt64(&b.sum)
}

// prepare takes longer for some parts than for others.
func prepare(part int) {
	if part%2 == 1 {
		time.Sleep(3 * time.Millisecond)
	}
}

func groupAddInside() {
	for {
		new(batch).run(8)
		time.Sleep(20 * time.Millisecond)
	}
}

func init() { kernels["group-add-inside"] = groupAddInside }
