// lock-convoy: eight handlers need the cache's lock, which is held again and again for the time of a database query.
//
//goflow:class stall
//goflow:expect lock-contention
package main

import (
	"sync"
	"time"
)

type queryCache struct {
	mu      sync.Mutex
	results map[int]string
}

// lookup asks the database with the lock held, though only the map needs it.
func (c *queryCache) lookup(id int) string {
	c.mu.Lock() // here
	defer c.mu.Unlock()
	result, found := c.results[id]
	if !found {
		time.Sleep(20 * time.Millisecond)
		result = "row"
		c.results[id%100] = result
	}
	return result
}

func lockConvoy() {
	cache := &queryCache{results: map[int]string{}}
	for handler := 1; handler <= 8; handler++ {
		go func(handler int) {
			for id := handler * 1000; ; id++ {
				cache.lookup(id)
				time.Sleep(time.Millisecond)
			}
		}(handler)
	}
}

func init() { kernels["lock-convoy"] = lockConvoy }
