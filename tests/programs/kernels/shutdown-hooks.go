// shutdown-hooks: components wait for channels that only the closures in a list of shutdown hooks know, and a signal runs the hooks.
//
//goflow:class correct
package main

import (
	"os"
	"os/signal"
	"sync"
	"syscall"
)

type hookList struct {
	mu    sync.Mutex
	hooks []func()
}

var exitHooks hookList

func (l *hookList) add(hook func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.hooks = append(l.hooks, hook)
}

func (l *hookList) runAll() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := len(l.hooks) - 1; i >= 0; i-- {
		l.hooks[i]()
	}
	l.hooks = nil
}

func startComponent(finish func()) {
	quit, finished := make(chan struct{}), make(chan struct{})
	exitHooks.add(func() {
		close(quit)
		<-finished
	})
	go func() {
		defer close(finished)
		<-quit
		finish()
	}()
}

func shutdownHooks() {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM)
	flushed := make([]bool, 3)
	for i := range flushed {
		i := i
		startComponent(func() { flushed[i] = true })
	}
	<-signals
	exitHooks.runAll()
}

func init() { kernels["shutdown-hooks"] = shutdownHooks }
