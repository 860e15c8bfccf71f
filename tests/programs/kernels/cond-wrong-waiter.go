// cond-wrong-waiter: producers and consumers of a bounded queue share one Cond, and a Signal meant for the producer wakes a consumer.
//
//goflow:class communication-deadlock
//goflow:expect goroutine-leak circular-wait
package main

import (
	"sync"
	"time"
)

type boundedQueue struct {
	mu      sync.Mutex
	changed *sync.Cond
	items   []int
	limit   int
}

func (q *boundedQueue) putAll(items ...int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, item := range items {
		for len(q.items) == q.limit {
			q.changed.Wait() // stuck
		}
		q.items = append(q.items, item)
		q.changed.Signal()
	}
}

func (q *boundedQueue) take() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.items) == 0 {
		q.changed.Wait() // stuck
	}
	item := q.items[0]
	q.items = q.items[1:]
	q.changed.Signal()
	return item
}

func condWrongWaiter() {
	queue := &boundedQueue{limit: 1}
	queue.changed = sync.NewCond(&queue.mu)
	for i := 0; i < 2; i++ {
		go queue.take()
	}
	time.Sleep(50 * time.Millisecond)
	go queue.putAll(1, 2)
	busyWorkers(2)
}

func init() { kernels["cond-wrong-waiter"] = condWrongWaiter }
