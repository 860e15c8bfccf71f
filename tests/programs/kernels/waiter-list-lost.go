// waiter-list-lost: the release of a counted lock takes two waiters off its list and wakes only the first.
//
//goflow:class leak
//goflow:expect goroutine-leak
package main

import (
	"container/list"
	"sync"
	"time"
)

type countedLock struct {
	mu      sync.Mutex
	free    int
	waiters list.List
}

func (l *countedLock) acquire() {
	l.mu.Lock()
	if l.free > 0 {
		l.free--
		l.mu.Unlock()
		return
	}
	woken := make(chan struct{})
	l.waiters.PushBack(woken)
	l.mu.Unlock()
	<-woken // stuck
}

func (l *countedLock) release(count int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	next := l.waiters.Front()
	for ; count > 0 && l.waiters.Len() > 0; count-- {
		l.waiters.Remove(l.waiters.Front())
	}
	l.free += count
	if next != nil {
		close(next.Value.(chan struct{}))
	}
}

func waiterListLost() {
	lock := &countedLock{free: 2}
	lock.acquire()
	lock.acquire()
	for i := 0; i < 2; i++ {
		go lock.acquire()
	}
	time.Sleep(50 * time.Millisecond)
	lock.release(2)
	polledStatus(50 * time.Millisecond)
}

func init() { kernels["waiter-list-lost"] = waiterListLost }
