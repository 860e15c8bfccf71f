// channel-of-channels: idle workers offer their own job channels in a channel of channels, and a dispatcher takes one every four seconds.
//
//goflow:class correct
package main

import "time"

type offeredWorker struct {
	jobs   chan int
	offers chan chan int
	sum    int
}

func (w *offeredWorker) run() {
	for {
		w.offers <- w.jobs
		w.sum += <-w.jobs
	}
}

func dispatchSlowly(offers <-chan chan int, pause time.Duration) {
	for job := 1; ; job++ {
		worker := <-offers
		worker <- job
		time.Sleep(pause)
	}
}

func channelOfChannels() {
	offers := make(chan chan int, 8)
	for i := 0; i < 4; i++ {
		go (&offeredWorker{jobs: make(chan int), offers: offers}).run()
	}
	dispatchSlowly(offers, 4*time.Second)
}

func init() { kernels["channel-of-channels"] = channelOfChannels }
