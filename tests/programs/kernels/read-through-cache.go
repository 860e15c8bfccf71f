// read-through-cache: readers of a cache wait while one of them loads what was missing, which takes long, and holds the lock alone.
//
//goflow:class correct
package main

import (
	"sync"
	"time"
)

type throughCache struct {
	mu     sync.RWMutex
	values map[int]int
}

func (c *throughCache) get(key int) int {
	c.mu.RLock()
	value, ok := c.values[key]
	c.mu.RUnlock()
	if ok {
		return value
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if value, ok := c.values[key]; ok {
		return value
	}
	time.Sleep(1500 * time.Millisecond)
	c.values[key] = 2 * key
	return c.values[key]
}

func readThroughCache() {
	cache := &throughCache{values: map[int]int{}}
	for reader := 0; reader < 2; reader++ {
		go func(key int) {
			for {
				cache.get(key)
				key += 2
			}
		}(reader)
	}
	heartbeat(50 * time.Millisecond)
	select {}
}

func init() { kernels["read-through-cache"] = readThroughCache }
