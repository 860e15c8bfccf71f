// ticker-loops: reporters range over tickers of 20 ms to 10 s for the life of the process.
//
//goflow:class correct
package main

import (
	"sync/atomic"
	"time"
)

type reporter struct {
	every   time.Duration
	reports int64
}

func (r *reporter) run() {
	ticker := time.NewTicker(r.every)
	defer ticker.Stop()
	for range ticker.C {
		atomic.AddInt64(&r.reports, 1)
	}
}

func tickerLoops() {
	for _, every := range []time.Duration{20 * time.Millisecond, time.Second, 10 * time.Second} {
		go (&reporter{every: every}).run()
	}
	for range time.Tick(time.Minute) {
		atomic.AddInt64(&beats, 1)
	}
}

func init() { kernels["ticker-loops"] = tickerLoops }
