// one-processor-hogs: eight checksums that never end share one processor with a control loop, which runs too seldom.
//
//goflow:class stall
//goflow:expect starvation long-running
package main

import (
	"hash/crc32"
	"runtime"
	"sync/atomic"
	"time"
)

type controlLoop struct {
	latest  int64
	overdue int64
}

func (c *controlLoop) run() {
	for {
		begun := time.Now()
		time.Sleep(5 * time.Millisecond) // here
		if late := time.Since(begun); late > 20*time.Millisecond {
			atomic.AddInt64(&c.overdue, 1)
			atomic.StoreInt64(&c.latest, int64(late))
		}
	}
}

func hogProcessor(block []byte) (sum uint32) {
	for {
		sum = crc32.Update(sum, crc32.IEEETable, block) // here
	}
}

func oneProcessorHogs() {
	runtime.GOMAXPROCS(1)
	for i := 0; i < 8; i++ {
		go hogProcessor(make([]byte, 4096))
	}
	loop := &controlLoop{}
	loop.run()
}

func init() { kernels["one-processor-hogs"] = oneProcessorHogs }
