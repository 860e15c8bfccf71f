// cancel-deferred: the caller waits for its watcher to end and only then runs the deferred cancel that would end it.
//
//goflow:class communication-deadlock
//goflow:expect circular-wait goroutine-leak deadlock
package main

import "context"

type fileWatcher struct {
	changes chan string
	stopped chan struct{}
}

func (w *fileWatcher) run(ctx context.Context) {
	defer close(w.stopped)
	<-ctx.Done() // stuck
	close(w.changes)
}

func watchOnce(parent context.Context) {
	ctx, cancel := context.WithCancel(parent)
	defer cancel()
	watcher := &fileWatcher{changes: make(chan string, 1), stopped: make(chan struct{})}
	watcher.changes <- "/etc/hosts"
	go watcher.run(ctx)
	<-watcher.changes
	<-watcher.stopped // stuck
}

func cancelDeferred() {
	watchOnce(context.Background())
}

func init() { kernels["cancel-deferred"] = cancelDeferred }
