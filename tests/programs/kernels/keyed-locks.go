// keyed-locks: two orders lock the same two items out of a map of mutexes, each in the order of its own lines.
//
//goflow:class resource-deadlock
//goflow:expect circular-wait
package main

import (
	"sync"
	"time"
)

type keyedMutex struct {
	mu    sync.Mutex
	locks map[string]*sync.Mutex
}

func (k *keyedMutex) lock(key string) func() {
	k.mu.Lock()
	lock, found := k.locks[key]
	if !found {
		lock = &sync.Mutex{}
		k.locks[key] = lock
	}
	k.mu.Unlock()
	lock.Lock() // stuck: 2
	return lock.Unlock
}

func placeOrder(items *keyedMutex, lines []string, first *sync.WaitGroup) {
	for i, item := range lines {
		unlock := items.lock(item)
		defer unlock()
		if i == 0 {
			first.Done()
			first.Wait()
		}
	}
}

func keyedLocks() {
	items := &keyedMutex{locks: map[string]*sync.Mutex{}}
	var first sync.WaitGroup
	first.Add(2)
	go placeOrder(items, []string{"book", "lamp"}, &first)
	go placeOrder(items, []string{"lamp", "book"}, &first)
	polledStatus(30 * time.Millisecond)
}

func init() { kernels["keyed-locks"] = keyedLocks }
