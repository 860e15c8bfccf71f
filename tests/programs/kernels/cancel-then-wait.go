// cancel-then-wait: the caller cancels its watcher before it waits for it to end, again and again.
//
//goflow:class correct
package main

import (
	"context"
	"time"
)

type dirWatcher struct {
	changes chan string
	stopped chan struct{}
}

func (w *dirWatcher) run(ctx context.Context) {
	defer close(w.stopped)
	for {
		select {
		case <-ctx.Done():
			return
		case w.changes <- "renamed":
		}
	}
}

func firstChange(parent context.Context) string {
	ctx, cancel := context.WithCancel(parent)
	watcher := &dirWatcher{changes: make(chan string), stopped: make(chan struct{})}
	defer func() {
		cancel()
		<-watcher.stopped
	}()
	go watcher.run(ctx)
	return <-watcher.changes
}

func cancelThenWait() {
	for {
		firstChange(context.Background())
		time.Sleep(25 * time.Millisecond)
	}
}

func init() { kernels["cancel-then-wait"] = cancelThenWait }
