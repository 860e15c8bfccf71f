// send-after-close: a client's channel is closed when it leaves while a broadcast still sends to it, and the panic is recovered.
//
//goflow:class misuse
//goflow:expect send-on-closed-risk
package main

import (
	"sync/atomic"
	"time"
)

type roomMember struct {
	lines chan string
	left  chan struct{}
}

var lostLines int64

func (m *roomMember) send(line string) {
	defer func() {
		if recover() != nil {
			atomic.AddInt64(&lostLines, 1)
		}
	}()
	m.lines <- line // here
}

func (m *roomMember) leave() {
	close(m.lines) // here
	close(m.left)
}

func broadcastUntilLeft(m *roomMember) {
	for sent := 0; ; sent++ {
		m.send("hello")
		time.Sleep(time.Millisecond)
		select {
		case <-m.left:
			m.send("goodbye")
			return
		default:
		}
	}
}

func sendAfterClose() {
	for {
		m := &roomMember{lines: make(chan string, 100), left: make(chan struct{})}
		go broadcastUntilLeft(m)
		time.Sleep(30 * time.Millisecond)
		m.leave()
		time.Sleep(30 * time.Millisecond)
	}
}

func init() { kernels["send-after-close"] = sendAfterClose }
