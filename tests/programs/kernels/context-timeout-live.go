// context-timeout-live: goroutines wait for a context which only its timer will end, in a minute.
//
//goflow:class correct
package main

import (
	"context"
	"time"
)

type leasedShard struct {
	id       int
	released chan int
}

func (s *leasedShard) hold(ctx context.Context) {
	<-ctx.Done()
	s.released <- s.id
}

func contextTimeoutLive() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	released := make(chan int, 3)
	for id := 0; id < 3; id++ {
		go (&leasedShard{id: id, released: released}).hold(ctx)
	}
	for id := 0; id < 3; id++ {
		<-released
	}
}

func init() { kernels["context-timeout-live"] = contextTimeoutLive }
