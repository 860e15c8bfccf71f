// pool-light-load: four workers wait for jobs of which one comes every 100 ms, and one of them is at work most of the time.
//
//goflow:class correct
package main

import (
	"sync/atomic"
	"time"
)

type mailPool struct {
	jobs chan int
	done int64
}

func (p *mailPool) work() {
	for range p.jobs {
		time.Sleep(80 * time.Millisecond)
		atomic.AddInt64(&p.done, 1)
	}
}

func poolLightLoad() {
	pool := &mailPool{jobs: make(chan int, 8)}
	for i := 0; i < 4; i++ {
		go pool.work()
	}
	for job := 0; ; job++ {
		pool.jobs <- job
		time.Sleep(100 * time.Millisecond)
	}
}

func init() { kernels["pool-light-load"] = poolLightLoad }
