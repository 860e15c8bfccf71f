// publish-full-subscriber: the publisher waits for room at a subscriber with the lock held, and the subscriber waits for the lock to unsubscribe.
//
//goflow:class mixed-deadlock
//goflow:expect circular-wait goroutine-leak
package main

import (
	"sync"
	"time"
)

type quotes struct {
	mu          sync.RWMutex
	subscribers map[string]chan int
}

func (q *quotes) subscribe(name string) <-chan int {
	q.mu.Lock()
	defer q.mu.Unlock()
	prices := make(chan int, 2)
	q.subscribers[name] = prices
	return prices
}

func (q *quotes) unsubscribe(name string) {
	q.mu.Lock() // stuck
	defer q.mu.Unlock()
	delete(q.subscribers, name)
}

func (q *quotes) publish(price int) {
	q.mu.RLock()
	defer q.mu.RUnlock()
	for _, prices := range q.subscribers {
		prices <- price // stuck
	}
}

func publishFullSubscriber() {
	ticker := &quotes{subscribers: map[string]chan int{}}
	prices := ticker.subscribe("alice")
	enough := make(chan bool)
	go func() {
		<-prices
		<-enough
		ticker.unsubscribe("alice")
	}()
	publishing := make(chan bool)
	go func() {
		for price := 100; price < 110; price++ {
			if price == 103 {
				close(publishing)
			}
			ticker.publish(price)
		}
	}()
	<-publishing
	time.Sleep(50 * time.Millisecond)
	close(enough)
	heartbeat(100 * time.Millisecond)
}

func init() { kernels["publish-full-subscriber"] = publishFullSubscriber }
