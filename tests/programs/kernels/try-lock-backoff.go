// try-lock-backoff: two swaps lock their shelves in opposite order, and give up the first when they do not get the second.
//
//goflow:class correct
package main

import (
	"sync"
	"time"
)

type tryShelf struct {
	mu    sync.Mutex
	items int
}

func swapItem(from, to *tryShelf) bool {
	from.mu.Lock()
	defer from.mu.Unlock()
	if !to.mu.TryLock() {
		return false
	}
	defer to.mu.Unlock()
	time.Sleep(time.Millisecond)
	from.items--
	to.items++
	return true
}

func swapForever(from, to *tryShelf, backoff time.Duration) {
	for {
		for !swapItem(from, to) {
			time.Sleep(backoff)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

func tryLockBackoff() {
	left, right := &tryShelf{items: 10}, &tryShelf{items: 10}
	go swapForever(left, right, time.Millisecond)
	swapForever(right, left, 3*time.Millisecond)
}

func init() { kernels["try-lock-backoff"] = tryLockBackoff }
