//go:build go1.24

// cleanup-ends-janitor: a cache's janitor ends when a cleanup closes its channel, once nobody has the cache any more.
//
//goflow:class correct
package main

import (
	"runtime"
	"time"
)

type janitoredCache struct {
	values map[string]int
	stop   chan struct{}
}

func newJanitoredCache() *janitoredCache {
	c := &janitoredCache{values: map[string]int{}, stop: make(chan struct{})}
	go func(stop chan struct{}) {
		<-stop
	}(c.stop)
	runtime.AddCleanup(c, func(stop chan struct{}) { close(stop) }, c.stop)
	return c
}

func cleanupEndsJanitor() {
	cache := newJanitoredCache()
	cache.values["a"] = 1
	heartbeat(50 * time.Millisecond)
	for {
		time.Sleep(50 * time.Millisecond)
		if len(cache.values) == 0 {
			return
		}
	}
}

func init() { kernels["cleanup-ends-janitor"] = cleanupEndsJanitor }
