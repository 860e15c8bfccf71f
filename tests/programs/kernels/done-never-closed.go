// done-never-closed: the stream's keep-alive waits for done, which Close of the stream forgets to close.
//
//goflow:class leak
//goflow:expect goroutine-leak
package main

import "time"

type upstream struct {
	out  chan string
	done chan struct{}
	sent int
}

func openUpstream() *upstream {
	u := &upstream{out: make(chan string, 4), done: make(chan struct{})}
	go u.cleanUp()
	go u.send()
	return u
}

func (u *upstream) send() {
	for range u.out {
		u.sent++
	}
}

func (u *upstream) cleanUp() {
	<-u.done // stuck
	u.sent = 0
}

func (u *upstream) Close() {
	close(u.out)
}

func doneNeverClosed() {
	u := openUpstream()
	u.out <- "ping"
	u.Close()
	busyWorkers(3)
	heartbeat(150 * time.Millisecond)
}

func init() { kernels["done-never-closed"] = doneNeverClosed }
