// stopped-ticker-range: a sampler ranges over its ticker, which Stop stops without closing the channel.
//
//goflow:class leak
//goflow:expect goroutine-leak channel-not-closed
package main

import "time"

type sampler struct {
	ticker  *time.Ticker
	samples int
}

func startSampler(every time.Duration) *sampler {
	s := &sampler{ticker: time.NewTicker(every)}
	go s.run(s.ticker.C)
	return s
}

func (s *sampler) run(ticks <-chan time.Time) {
	for range ticks { // stuck
		s.samples++
	}
}

func (s *sampler) Stop() {
	s.ticker.Stop()
}

func stoppedTickerRange() {
	cpu := startSampler(10 * time.Millisecond)
	time.Sleep(50 * time.Millisecond)
	cpu.Stop()
	heartbeat(50 * time.Millisecond)
}

func init() { kernels["stopped-ticker-range"] = stoppedTickerRange }
