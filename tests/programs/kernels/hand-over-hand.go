// hand-over-hand: a list is walked by a recursive function that locks the next element before it unlocks its own.
//
//goflow:class correct
package main

import (
	"sync"
	"time"
)

type chainLink struct {
	mu    sync.Mutex
	value int
	next  *chainLink
}

// bump is called with the lock of l held, and gives it up on the way.
func (l *chainLink) bump() int {
	l.value++
	value, next := l.value, l.next
	if next == nil {
		l.mu.Unlock()
		return value
	}
	next.mu.Lock()
	l.mu.Unlock()
	return value + next.bump()
}

func handOverHand() {
	var head *chainLink
	for i := 0; i < 10; i++ {
		head = &chainLink{next: head}
	}
	for i := 0; i < 3; i++ {
		go func() {
			for {
				head.mu.Lock()
				head.bump()
				time.Sleep(2 * time.Millisecond)
			}
		}()
	}
}

func init() { kernels["hand-over-hand"] = handOverHand }
