// keyed-locks-sorted: orders lock the items that they need out of a map of mutexes, sorted by name, and under load.
//
//goflow:class correct
package main

import (
	"sort"
	"sync"
	"time"
)

type sortedLocks struct {
	mu    sync.Mutex
	locks map[string]*sync.Mutex
}

func (s *sortedLocks) of(key string) *sync.Mutex {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.locks[key] == nil {
		s.locks[key] = &sync.Mutex{}
	}
	return s.locks[key]
}

func (s *sortedLocks) withAll(keys []string, do func()) {
	sorted := append([]string(nil), keys...)
	sort.Strings(sorted)
	for _, key := range sorted {
		lock := s.of(key)
		lock.Lock()
		defer lock.Unlock()
	}
	do()
}

func keyedLocksSorted() {
	items := &sortedLocks{locks: map[string]*sync.Mutex{}}
	for _, order := range [][]string{{"book", "lamp"}, {"lamp", "book"}, {"pen", "lamp", "book"}} {
		go func(order []string) {
			for {
				items.withAll(order, func() { time.Sleep(time.Millisecond) })
				time.Sleep(10 * time.Millisecond)
			}
		}(order)
	}
}

func init() { kernels["keyed-locks-sorted"] = keyedLocksSorted }
