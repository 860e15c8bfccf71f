// fair-turns: six meters share one processor; some are ready to run at any moment, and each has its turn many times a second.
//
//goflow:class correct
package main

import (
	"runtime"
	"sync/atomic"
	"time"
)

var meterTurns int64

func meter() {
	for {
		for begun := time.Now(); time.Since(begun) < 2*time.Millisecond; {
			atomic.AddInt64(&meterTurns, 1)
		}
		time.Sleep(time.Millisecond)
	}
}

func fairTurns() {
	runtime.GOMAXPROCS(1)
	for i := 0; i < 6; i++ {
		go meter()
	}
	heartbeat(100 * time.Millisecond)
}

func init() { kernels["fair-turns"] = fairTurns }
