// transaction-own-unlock: a worker locks and unlocks by functions of their own, one locks only where it is free, and one gives the lock
// back for the time of a slow call.
//
//goflow:class correct
package main

import (
	"sync"
	"time"
)

type journal struct {
	mu      sync.Mutex
	entries int
}

func (j *journal) begin() { j.mu.Lock() }

func (j *journal) tryBegin() bool { return j.mu.TryLock() }

func (j *journal) commit() {
	j.entries++
	j.mu.Unlock()
}

func (j *journal) write() {
	for {
		j.begin()
		time.Sleep(5 * time.Millisecond)
		j.commit()
		time.Sleep(5 * time.Millisecond)
	}
}

func (j *journal) writeIfFree() {
	for {
		if j.tryBegin() {
			time.Sleep(5 * time.Millisecond)
			j.commit()
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func (j *journal) flushSlowly() {
	j.mu.Lock()
	defer j.mu.Unlock()
	for {
		j.entries = 0
		j.mu.Unlock()
		time.Sleep(10 * time.Millisecond)
		j.mu.Lock()
	}
}

func transactionOwnUnlock() {
	j := &journal{}
	go j.write()
	go j.writeIfFree()
	go j.flushSlowly()
	heartbeat(50 * time.Millisecond)
	select {}
}

func init() { kernels["transaction-own-unlock"] = transactionOwnUnlock }
