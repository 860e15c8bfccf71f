// relock-after-read: a memo table gives up its read lock before it takes the write lock, and looks again.
//
//goflow:class correct
package main

import (
	"sync"
	"time"
)

type memoTable struct {
	mu     sync.RWMutex
	values map[int]int
}

func (t *memoTable) get(n int) int {
	t.mu.RLock()
	value, known := t.values[n]
	t.mu.RUnlock()
	if known {
		return value
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if value, known = t.values[n]; !known {
		value = n * n
		t.values[n] = value
	}
	return value
}

func relockAfterRead() {
	table := &memoTable{values: map[int]int{}}
	for i := 0; i < 5; i++ {
		go func() {
			for n := 0; ; n = (n + 1) % 5000 {
				table.get(n)
				time.Sleep(2 * time.Millisecond)
			}
		}()
	}
}

func init() { kernels["relock-after-read"] = relockAfterRead }
