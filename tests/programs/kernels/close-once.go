// close-once: Stop is called by the owner and by the watchdog, and a sync.Once closes the channel for both.
//
//goflow:class correct
package main

import (
	"sync"
	"time"
)

type stoppedOnce struct {
	once sync.Once
	quit chan struct{}
	work chan int
}

func (s *stoppedOnce) Stop() {
	s.once.Do(func() { close(s.quit) })
}

func (s *stoppedOnce) run() (sum int) {
	for {
		select {
		case n := <-s.work:
			sum += n
		case <-s.quit:
			return sum
		}
	}
}

func closeOnce() {
	for {
		s := &stoppedOnce{quit: make(chan struct{}), work: make(chan int)}
		watchdog := time.AfterFunc(40*time.Millisecond, s.Stop)
		go s.run()
		s.work <- 1
		time.Sleep(60 * time.Millisecond)
		s.Stop()
		watchdog.Stop()
	}
}

func init() { kernels["close-once"] = closeOnce }
