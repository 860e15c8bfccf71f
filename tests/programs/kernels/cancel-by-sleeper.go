// cancel-by-sleeper: followers wait for a context that a goroutine asleep will cancel in half a minute.
//
//goflow:class correct
package main

import (
	"context"
	"time"
)

type maintenance struct {
	begin  time.Duration
	cancel context.CancelFunc
}

func (m maintenance) wait() {
	time.Sleep(m.begin)
	m.cancel()
}

func follow(ctx context.Context, updates <-chan int) (seen int) {
	for {
		select {
		case <-ctx.Done():
			return seen
		case <-updates:
			seen++
		}
	}
}

func cancelBySleeper() {
	ctx, cancel := context.WithCancel(context.Background())
	for i := 0; i < 3; i++ {
		go follow(ctx, make(chan int))
	}
	go maintenance{begin: 30 * time.Second, cancel: cancel}.wait()
	<-ctx.Done()
}

func init() { kernels["cancel-by-sleeper"] = cancelBySleeper }
