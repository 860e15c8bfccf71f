// close-after-own-range: the collector closes the results after its own range over them, which ends only when they are closed.
//
//goflow:class communication-deadlock
//goflow:expect channel-not-closed goroutine-leak
package main

import (
	"sync"
	"time"
)

type statsCollector struct {
	samples chan int
	total   int
}

func (c *statsCollector) collect() {
	for sample := range c.samples { // stuck
		c.total += sample
	}
	close(c.samples)
}

func closeAfterOwnRange() {
	collector := &statsCollector{samples: make(chan int)}
	go collector.collect()
	var samplers sync.WaitGroup
	for i := 1; i <= 3; i++ {
		samplers.Add(1)
		go func(sample int) {
			defer samplers.Done()
			collector.samples <- sample
		}(i)
	}
	samplers.Wait()
	polledStatus(100 * time.Millisecond)
}

func init() { kernels["close-after-own-range"] = closeAfterOwnRange }
