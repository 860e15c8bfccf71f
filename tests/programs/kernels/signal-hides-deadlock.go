// signal-hides-deadlock: the workers wait for jobs and main for a result that no job brings, and a goroutine for signals hides it from Go.
//
//goflow:class communication-deadlock
//goflow:expect deadlock circular-wait goroutine-leak
package main

import (
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
)

type render struct{ frame, size int }

func renderWorker(frames <-chan int, rendered chan<- render) {
	for frame := range frames { // stuck: 2
		if frame%2 == 0 {
			rendered <- render{frame, frame * 100}
		}
	}
}

func signalHidesDeadlock() {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGHUP)
	go func() {
		for range signals {
			atomic.StoreInt64(&beats, 0)
		}
	}()
	frames, rendered := make(chan int), make(chan render, 3)
	for i := 0; i < 2; i++ {
		go renderWorker(frames, rendered)
	}
	for frame := 0; frame < 3; frame++ {
		frames <- frame
	}
	for frame := 0; frame < 3; frame++ {
		<-rendered // stuck
	}
	close(frames)
}

func init() { kernels["signal-hides-deadlock"] = signalHidesDeadlock }
