// cache-janitor: the janitor of a package-level cache waits for its ticker, or for a stop that nobody intends.
//
//goflow:class correct
package main

import (
	"sync"
	"time"
)

type sweptCache struct {
	mu      sync.Mutex
	entries map[string]time.Time
	stop    chan struct{}
}

var sharedSwept = &sweptCache{entries: map[string]time.Time{}, stop: make(chan struct{})}

func (c *sweptCache) sweep(every time.Duration) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case now := <-ticker.C:
			c.mu.Lock()
			for key, expires := range c.entries {
				if expires.Before(now) {
					delete(c.entries, key)
				}
			}
			c.mu.Unlock()
		case <-c.stop:
			return
		}
	}
}

func (c *sweptCache) set(key string, life time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.entries[key] = time.Now().Add(life)
}

func cacheJanitor() {
	go sharedSwept.sweep(10 * time.Second)
	sharedSwept.set("session", time.Second)
}

func init() { kernels["cache-janitor"] = cacheJanitor }
