// janitor-finalizer: a cache counts on its finalizer to stop the janitor, and the janitor itself keeps the cache alive.
//
//goflow:class leak
//goflow:expect goroutine-leak
package main

import (
	"runtime"
	"time"
)

type expiringCache struct {
	entries map[string]string
	evict   chan string
	stop    chan struct{}
}

func newExpiringCache() *expiringCache {
	c := &expiringCache{entries: map[string]string{}, evict: make(chan string), stop: make(chan struct{})}
	runtime.SetFinalizer(c, func(c *expiringCache) { close(c.stop) })
	go c.janitor()
	return c
}

func (c *expiringCache) janitor() {
	for {
		select { // stuck
		case key := <-c.evict:
			delete(c.entries, key)
		case <-c.stop:
			return
		}
	}
}

func janitorFinalizer() {
	cache := newExpiringCache()
	cache.evict <- "old"
	cache = nil
	go func() {
		for {
			runtime.GC()
			time.Sleep(100 * time.Millisecond)
		}
	}()
}

func init() { kernels["janitor-finalizer"] = janitorFinalizer }
