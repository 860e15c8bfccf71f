// snapshot-blocks-readers: a snapshot holds the write lock for half of all time, while the readers of the store queue up.
//
//goflow:class stall
//goflow:expect lock-contention
package main

import (
	"sync"
	"time"
)

type snapshotStore struct {
	mu     sync.RWMutex
	values map[string]int
	reads  int
}

func (s *snapshotStore) snapshotEvery(pause time.Duration) {
	for {
		s.mu.Lock() // here
		copied := make(map[string]int, len(s.values))
		for key, value := range s.values {
			copied[key] = value
		}
		time.Sleep(200 * time.Millisecond) // written to disk
		s.mu.Unlock()
		time.Sleep(pause)
	}
}

func (s *snapshotStore) get(key string) int {
	s.mu.RLock() // here
	defer s.mu.RUnlock()
	return s.values[key]
}

func snapshotBlocksReaders() {
	store := &snapshotStore{values: map[string]int{"a": 1, "b": 2}}
	for reader := 0; reader < 6; reader++ {
		go func() {
			for {
				store.get("a")
				time.Sleep(2 * time.Millisecond)
			}
		}()
	}
	store.snapshotEvery(200 * time.Millisecond)
}

func init() { kernels["snapshot-blocks-readers"] = snapshotBlocksReaders }
