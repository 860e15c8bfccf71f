// nested-locks-ordered: requests lock the store and then the metrics inside it, all in this order and under load.
//
//goflow:class correct
package main

import (
	"sync"
	"time"
)

type nestedMetrics struct {
	mu     sync.Mutex
	counts map[string]int
}

func (m *nestedMetrics) add(name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.counts[name]++
}

type nestedStore struct {
	mu      sync.RWMutex
	values  map[string]int
	metrics nestedMetrics
}

func (s *nestedStore) put(key string, value int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.values[key] = value
	s.metrics.add("puts")
}

func (s *nestedStore) get(key string) int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	s.metrics.add("gets")
	return s.values[key]
}

func nestedLocksOrdered() {
	store := &nestedStore{values: map[string]int{}}
	store.metrics.counts = map[string]int{}
	for i := 0; i < 4; i++ {
		go func() {
			for value := 0; ; value++ {
				store.put("a", value+store.get("a")%2)
				time.Sleep(2 * time.Millisecond)
			}
		}()
	}
}

func init() { kernels["nested-locks-ordered"] = nestedLocksOrdered }
