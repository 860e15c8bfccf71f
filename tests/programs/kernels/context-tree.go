// context-tree: workers wait for contexts three levels down, whose root is cancelled by a signal.
//
//goflow:class correct
package main

import (
	"context"
	"os/signal"
	"syscall"
	"time"
)

type zoneKey struct{}

type zoneWorker struct {
	zone  string
	ticks int
}

func (w *zoneWorker) run(ctx context.Context) {
	w.zone, _ = ctx.Value(zoneKey{}).(string)
	<-ctx.Done()
	w.ticks = 0
}

func startZone(root context.Context, zone string, workers int) context.CancelFunc {
	ctx, cancel := context.WithCancel(context.WithValue(root, zoneKey{}, zone))
	for i := 0; i < workers; i++ {
		limited, stop := context.WithTimeout(ctx, time.Hour)
		go func() {
			defer stop()
			(&zoneWorker{}).run(limited)
		}()
	}
	return cancel
}

func contextTree() {
	root, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer cancel()
	for _, zone := range []string{"north", "south"} {
		defer startZone(root, zone, 2)()
	}
	<-root.Done()
}

func init() { kernels["context-tree"] = contextTree }
