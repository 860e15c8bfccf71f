// done-for-life: each component has a goroutine that waits on done for the life of the process, and a signal ends it.
//
//goflow:class correct
package main

import (
	"os"
	"os/signal"
	"syscall"
	"time"
)

type component struct {
	name string
	done <-chan struct{}
	open bool
}

func (c *component) closeWhenDone() {
	<-c.done
	c.open = false
}

func doneForLife() {
	done := make(chan struct{})
	for _, name := range []string{"database", "cache", "search"} {
		c := &component{name: name, done: done, open: true}
		go c.closeWhenDone()
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM)
	go func() {
		<-signals
		close(done)
	}()
	heartbeat(500 * time.Millisecond)
}

func init() { kernels["done-for-life"] = doneForLife }
