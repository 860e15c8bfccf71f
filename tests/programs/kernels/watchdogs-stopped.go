// watchdogs-stopped: every request sets a watchdog of an hour and stops it when the request is done.
//
//goflow:class correct
package main

import (
	"sync/atomic"
	"time"
)

var barked int64

func guarded(request func()) {
	watchdog := time.AfterFunc(time.Hour, func() { atomic.AddInt64(&barked, 1) })
	defer watchdog.Stop()
	request()
}

func watchdogsStopped() {
	for i := 0; i < 3; i++ {
		go func() {
			for {
				guarded(func() { time.Sleep(10 * time.Millisecond) })
			}
		}()
	}
}

func init() { kernels["watchdogs-stopped"] = watchdogsStopped }
