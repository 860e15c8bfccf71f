// generic-queue: typed consumers wait on the channels of a generic queue, which is fed every seven seconds.
//
//goflow:class correct
package main

import (
	"sync"
	"time"
)

type typedQueue[T any] struct {
	items chan T
	mu    sync.Mutex
	last  T
}

func newTypedQueue[T any](room int) *typedQueue[T] {
	q := &typedQueue[T]{items: make(chan T, room)}
	go q.consume()
	return q
}

func (q *typedQueue[T]) consume() {
	for item := range q.items {
		q.mu.Lock()
		q.last = item
		q.mu.Unlock()
	}
}

func genericQueue() {
	names, sizes := newTypedQueue[string](4), newTypedQueue[int](4)
	for n := 0; ; n++ {
		names.items <- "item"
		sizes.items <- n
		time.Sleep(7 * time.Second)
	}
}

func init() { kernels["generic-queue"] = genericQueue }
