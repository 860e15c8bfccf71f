// timeout-result-buffered: the caller gives up after a timeout, and the late lookup finds room for its result.
//
//goflow:class correct
package main

import (
	"context"
	"time"
)

type boundedLookup struct{ delay time.Duration }

func (l boundedLookup) run(ctx context.Context, name string) (string, error) {
	found := make(chan string, 1)
	go func() {
		time.Sleep(l.delay)
		found <- "address of " + name
	}()
	select {
	case address := <-found:
		return address, nil
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

func timeoutResultBuffered() {
	for {
		for _, delay := range []time.Duration{5 * time.Millisecond, 100 * time.Millisecond} {
			ctx, cancel := context.WithTimeout(context.Background(), 30*time.Millisecond)
			boundedLookup{delay}.run(ctx, "db.example")
			cancel()
		}
	}
}

func init() { kernels["timeout-result-buffered"] = timeoutResultBuffered }
