// session-ticker-growth: every session starts a keep-alive on a ticker, and neither ends when the session does.
//
//goflow:class leak
//goflow:expect unbounded-growth timer-leak
package main

import (
	"sync/atomic"
	"time"
)

type keptSession struct {
	id    int
	pings int64
}

func (s *keptSession) keepAlive() {
	ticker := time.NewTicker(time.Second)
	for range ticker.C { // here
		atomic.AddInt64(&s.pings, 1)
	}
}

func openKeptSession(id int) *keptSession {
	s := &keptSession{id: id}
	go s.keepAlive()
	return s
}

func sessionTickerGrowth() {
	for id := 0; ; id++ {
		session := openKeptSession(id)
		time.Sleep(40 * time.Millisecond)
		session.id = -1 // closed
	}
}

func init() { kernels["session-ticker-growth"] = sessionTickerGrowth }
