// rate-limiter: five clients wait for the tokens of a rate limiter that hands out four a second.
//
//goflow:class correct
package main

import (
	"sync/atomic"
	"time"
)

type limiter struct {
	tokens chan struct{}
	passed int64
}

func newLimiter(every time.Duration, burst int) *limiter {
	l := &limiter{tokens: make(chan struct{}, burst)}
	go func() {
		for range time.Tick(every) {
			select {
			case l.tokens <- struct{}{}:
			default:
			}
		}
	}()
	return l
}

func (l *limiter) wait() {
	<-l.tokens
	atomic.AddInt64(&l.passed, 1)
}

func rateLimiter() {
	limit := newLimiter(250*time.Millisecond, 2)
	for i := 0; i < 5; i++ {
		go func() {
			for {
				limit.wait()
				time.Sleep(1500 * time.Millisecond)
			}
		}()
	}
}

func init() { kernels["rate-limiter"] = rateLimiter }
