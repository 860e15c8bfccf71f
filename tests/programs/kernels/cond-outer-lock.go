// cond-outer-lock: a consumer waits on the Cond of the queue with the broker's lock held, which the publisher needs to reach the queue.
//
//goflow:class mixed-deadlock
//goflow:expect circular-wait goroutine-leak
package main

import (
	"sync"
	"time"
)

type topicQueue struct {
	mu    sync.Mutex
	ready *sync.Cond
	items []string
}

type queueBroker struct {
	mu     sync.Mutex
	topics map[string]*topicQueue
}

func (b *queueBroker) consume(topic string) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	queue := b.topics[topic]
	queue.mu.Lock()
	defer queue.mu.Unlock()
	for len(queue.items) == 0 {
		queue.ready.Wait() // stuck
	}
	item := queue.items[0]
	queue.items = queue.items[1:]
	return item
}

func (b *queueBroker) publish(topic, item string) {
	b.mu.Lock() // stuck
	defer b.mu.Unlock()
	queue := b.topics[topic]
	queue.mu.Lock()
	defer queue.mu.Unlock()
	queue.items = append(queue.items, item)
	queue.ready.Signal()
}

func condOuterLock() {
	queue := &topicQueue{}
	queue.ready = sync.NewCond(&queue.mu)
	broker := &queueBroker{topics: map[string]*topicQueue{"orders": queue}}
	go broker.consume("orders")
	time.Sleep(50 * time.Millisecond)
	go broker.publish("orders", "one book")
	busyWorkers(2)
}

func init() { kernels["cond-outer-lock"] = condOuterLock }
