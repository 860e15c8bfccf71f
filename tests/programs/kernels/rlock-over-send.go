// rlock-over-send: a notifier holds the read lock while it sends, and the receiver asks for the write lock between two receives.
//
//goflow:class mixed-deadlock
//goflow:expect circular-wait goroutine-leak
package main

import (
	"sync"
	"time"
)

type flagStore struct {
	mu       sync.RWMutex
	flags    map[string]bool
	watchers []chan string
}

var featureFlags = &flagStore{flags: map[string]bool{"beta": true, "dark": false, "search": true}}

func (s *flagStore) notifyAll() {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for flag := range s.flags {
		for _, watcher := range s.watchers {
			watcher <- flag // stuck
		}
	}
}

func (s *flagStore) acknowledge(changes <-chan string) {
	for flag := range changes {
		s.mu.Lock() // stuck
		s.flags[flag] = false
		s.mu.Unlock()
	}
}

func rlockOverSend() {
	changes := make(chan string)
	featureFlags.watchers = append(featureFlags.watchers, changes)
	go featureFlags.acknowledge(changes)
	go featureFlags.notifyAll()
	heartbeat(30 * time.Millisecond)
}

func init() { kernels["rlock-over-send"] = rlockOverSend }
