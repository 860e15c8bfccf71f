// locked-thread-loop: all drawing is done by a goroutine locked to its thread, which waits for something to draw for seconds.
//
//goflow:class correct
package main

import (
	"runtime"
	"time"
)

type canvas struct {
	calls chan func()
	drawn int
}

func newCanvas() *canvas {
	c := &canvas{calls: make(chan func())}
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		for call := range c.calls {
			call()
		}
	}()
	return c
}

// do runs call on the drawing thread, and returns when it is done.
func (c *canvas) do(call func()) {
	done := make(chan struct{})
	c.calls <- func() {
		defer close(done)
		call()
	}
	<-done
}

func lockedThreadLoop() {
	c := newCanvas()
	for {
		c.do(func() { c.drawn++ })
		time.Sleep(5 * time.Second)
	}
}

func init() { kernels["locked-thread-loop"] = lockedThreadLoop }
