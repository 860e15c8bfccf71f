// stopped-timer-wait: the timer of a lock is stopped when the lock is given back, and a goroutine still waits for it to expire.
//
//goflow:class leak
//goflow:expect goroutine-leak
package main

import "time"

type expiringLock struct {
	expired chan struct{}
	timer   *time.Timer
	owner   string
}

func takeFor(owner string, life time.Duration) *expiringLock {
	l := &expiringLock{owner: owner, expired: make(chan struct{})}
	l.timer = time.AfterFunc(life, func() { close(l.expired) })
	go l.forget()
	return l
}

func (l *expiringLock) forget() {
	<-l.expired // stuck
	l.owner = ""
}

func (l *expiringLock) giveBack() bool {
	return l.timer.Stop()
}

func stoppedTimerWait() {
	lock := takeFor("alice", time.Hour)
	time.Sleep(20 * time.Millisecond)
	lock.giveBack()
	heartbeat(50 * time.Millisecond)
}

func init() { kernels["stopped-timer-wait"] = stoppedTimerWait }
