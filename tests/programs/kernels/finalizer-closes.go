// finalizer-closes: a janitor waits for the finalizer of a handle, which stays in use for half a minute and is dropped then.
//
//goflow:class correct
package main

import (
	"runtime"
	"time"
)

type cacheCore struct {
	entries map[string]string
	stop    chan struct{}
}

func (c *cacheCore) janitor() {
	<-c.stop
	c.entries = nil
}

// cacheHandle is what users hold: the janitor knows only the core, so that an unused handle is collected.
type cacheHandle struct{ core *cacheCore }

func newCacheHandle() *cacheHandle {
	core := &cacheCore{entries: map[string]string{}, stop: make(chan struct{})}
	handle := &cacheHandle{core}
	runtime.SetFinalizer(handle, func(h *cacheHandle) { close(h.core.stop) })
	go core.janitor()
	return handle
}

func useHandle(handle *cacheHandle, life time.Duration) {
	for begun := time.Now(); time.Since(begun) < life; time.Sleep(20 * time.Millisecond) {
		handle.core.entries["last use"] = begun.String()
	}
}

func finalizerCloses() {
	useHandle(newCacheHandle(), 30*time.Second)
	runtime.GC()
}

func init() { kernels["finalizer-closes"] = finalizerCloses }
