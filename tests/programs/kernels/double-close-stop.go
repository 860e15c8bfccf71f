// double-close-stop: Stop is called by the owner and by the watchdog, both close the same channel, and the second panic is recovered.
//
//goflow:class misuse
//goflow:expect double-close-risk
package main

import (
	"errors"
	"time"
)

type stoppable struct {
	quit    chan struct{}
	stopped chan error
}

func (s *stoppable) Stop() (err error) {
	defer func() {
		if recover() != nil {
			err = errors.New("stopped twice")
		}
	}()
	close(s.quit) // here
	return nil
}

func (s *stoppable) run() {
	ticks := time.NewTicker(5 * time.Millisecond)
	defer ticks.Stop()
	for {
		select {
		case <-ticks.C:
		case <-s.quit:
			return
		}
	}
}

func doubleCloseStop() {
	for {
		s := &stoppable{quit: make(chan struct{}), stopped: make(chan error, 2)}
		go s.run()
		go func() {
			time.Sleep(30 * time.Millisecond)
			s.stopped <- s.Stop()
		}()
		time.Sleep(20 * time.Millisecond)
		s.stopped <- s.Stop()
		<-s.stopped
		<-s.stopped
	}
}

func init() { kernels["double-close-stop"] = doubleCloseStop }
