// long-holder: a rebuild holds the lock for eight seconds while four lookups wait, and then gives it up.
//
//goflow:class correct
package main

import (
	"sync"
	"time"
)

type rebuiltIndex struct {
	mu      sync.Mutex
	entries map[string]int
}

func (i *rebuiltIndex) rebuild(begun chan<- bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	close(begun)
	time.Sleep(8 * time.Second)
	i.entries["rebuilt"]++
}

func (i *rebuiltIndex) lookup(key string) int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.entries[key]
}

func longHolder() {
	index := &rebuiltIndex{entries: map[string]int{}}
	begun := make(chan bool)
	go index.rebuild(begun)
	<-begun
	var lookups sync.WaitGroup
	for n := 0; n < 4; n++ {
		lookups.Add(1)
		go func() {
			defer lookups.Done()
			index.lookup("rebuilt")
		}()
	}
	lookups.Wait()
}

func init() { kernels["long-holder"] = longHolder }
