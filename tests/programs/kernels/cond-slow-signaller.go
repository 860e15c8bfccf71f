// cond-slow-signaller: consumers wait on a Cond, and the one who signals it sleeps for five seconds between two items.
//
//goflow:class correct
package main

import (
	"sync"
	"time"
)

type sensorQueue struct {
	mu    sync.Mutex
	added *sync.Cond
	items []int
}

func (q *sensorQueue) add(item int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.items = append(q.items, item)
	q.added.Signal()
}

func (q *sensorQueue) take() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.items) == 0 {
		q.added.Wait()
	}
	item := q.items[0]
	q.items = q.items[1:]
	return item
}

func condSlowSignaller() {
	queue := &sensorQueue{}
	queue.added = sync.NewCond(&queue.mu)
	for i := 0; i < 2; i++ {
		go func() {
			for {
				queue.take()
			}
		}()
	}
	for value := 0; ; value++ {
		queue.add(value)
		time.Sleep(5 * time.Second)
	}
}

func init() { kernels["cond-slow-signaller"] = condSlowSignaller }
