// batch-defer-in-loop: the unlock of each row is deferred to the end of the batch, so a row that comes twice is locked twice.
//
//goflow:class resource-deadlock
//goflow:expect circular-wait
package main

import (
	"sync"
	"time"
)

type tableRow struct {
	mu      sync.Mutex
	version int
}

type rowUpdate struct {
	row   *tableRow
	value int
}

func applyBatch(updates []rowUpdate) (applied int) {
	for _, update := range updates {
		update.row.mu.Lock() // stuck
		defer update.row.mu.Unlock()
		update.row.version++
		applied++
	}
	return applied
}

func batchDeferInLoop() {
	rows := []*tableRow{{}, {}, {}}
	results := make(chan int, 2)
	go func() {
		results <- applyBatch([]rowUpdate{{rows[0], 1}, {rows[1], 2}, {rows[2], 3}})
		results <- applyBatch([]rowUpdate{{rows[0], 4}, {rows[2], 5}, {rows[0], 6}})
	}()
	<-results
	busyWorkers(3)
	heartbeat(time.Second)
}

func init() { kernels["batch-defer-in-loop"] = batchDeferInLoop }
