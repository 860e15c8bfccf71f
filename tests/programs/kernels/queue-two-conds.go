// queue-two-conds: a bounded queue has one Cond for producers and one for consumers, and is now full and now empty.
//
//goflow:class correct
package main

import (
	"sync"
	"time"
)

type condQueue struct {
	mu                sync.Mutex
	notEmpty, notFull *sync.Cond
	items             []int
}

func newCondQueue() *condQueue {
	q := &condQueue{}
	q.notEmpty, q.notFull = sync.NewCond(&q.mu), sync.NewCond(&q.mu)
	return q
}

func (q *condQueue) put(item int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.items) == 4 {
		q.notFull.Wait()
	}
	q.items = append(q.items, item)
	q.notEmpty.Signal()
}

func (q *condQueue) take() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.items) == 0 {
		q.notEmpty.Wait()
	}
	item := q.items[0]
	q.items = q.items[1:]
	q.notFull.Signal()
	return item
}

func queueTwoConds() {
	queue := newCondQueue()
	for i := 0; i < 2; i++ {
		go func() {
			for item := 0; ; item++ {
				queue.put(item)
				if item%8 == 7 {
					time.Sleep(150 * time.Millisecond)
				}
			}
		}()
	}
	for {
		queue.take()
		time.Sleep(5 * time.Millisecond)
	}
}

func init() { kernels["queue-two-conds"] = queueTwoConds }
