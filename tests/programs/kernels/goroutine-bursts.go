// goroutine-bursts: every second a fan-out starts fifty goroutines, which all end within a tenth of it.
//
//goflow:class correct
package main

import (
	"sync"
	"sync/atomic"
	"time"
)

type fanOut struct{ answered int64 }

func (f *fanOut) ask(shards int) {
	var pending sync.WaitGroup
	for shard := 0; shard < shards; shard++ {
		pending.Add(1)
		go func(shard int) {
			defer pending.Done()
			time.Sleep(time.Duration(shard) * 2 * time.Millisecond)
			atomic.AddInt64(&f.answered, 1)
		}(shard)
	}
	pending.Wait()
}

func goroutineBursts() {
	f := &fanOut{}
	for range time.Tick(time.Second) {
		f.ask(50)
	}
}

func init() { kernels["goroutine-bursts"] = goroutineBursts }
