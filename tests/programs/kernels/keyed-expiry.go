// keyed-expiry: each of fifty keys has a timer of an hour that evicts it, and a new value replaces the timer of the old one.
//
//goflow:class correct
package main

import (
	"sync"
	"time"
)

type keyedCache struct {
	mu     sync.Mutex
	values map[int]int
	expiry map[int]*time.Timer
}

func (c *keyedCache) set(key, value int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if timer, found := c.expiry[key]; found {
		timer.Stop()
	}
	c.values[key] = value
	c.expiry[key] = time.AfterFunc(time.Hour, func() { c.expire(key) })
}

func (c *keyedCache) expire(key int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.values, key)
	delete(c.expiry, key)
}

func keyedExpiry() {
	cache := &keyedCache{values: map[int]int{}, expiry: map[int]*time.Timer{}}
	for value := 0; ; value++ {
		cache.set(value%50, value)
		time.Sleep(2 * time.Millisecond)
	}
}

func init() { kernels["keyed-expiry"] = keyedExpiry }
