// signal-feeds-idle-worker: everything waits until somebody sends a signal, which main hands on to a worker.
//
//goflow:class correct
package main

import (
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
)

var rereads int64

func signalFeedsIdleWorker() {
	orders := make(chan string)
	go func() {
		for range orders {
			atomic.AddInt64(&rereads, 1)
		}
	}()
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGHUP)
	for signal := range signals {
		orders <- signal.String()
	}
}

func init() { kernels["signal-feeds-idle-worker"] = signalFeedsIdleWorker }
