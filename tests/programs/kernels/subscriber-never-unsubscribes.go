// subscriber-never-unsubscribes: a subscriber returns without unsubscribing, and the publisher waits for room in its buffer for ever.
//
//goflow:class leak
//goflow:expect goroutine-leak
package main

import (
	"sync"
	"time"
)

type alertFeed struct {
	mu          sync.Mutex
	subscribers []chan string
}

func (f *alertFeed) subscribe() <-chan string {
	f.mu.Lock()
	defer f.mu.Unlock()
	alerts := make(chan string, 1)
	f.subscribers = append(f.subscribers, alerts)
	return alerts
}

func (f *alertFeed) publish(alerts []string) {
	f.mu.Lock()
	subscribers := append([]chan string(nil), f.subscribers...)
	f.mu.Unlock()
	for _, alert := range alerts {
		for _, subscriber := range subscribers {
			subscriber <- alert // stuck
		}
	}
}

// firstAlert is all that the pager wants to know.
func firstAlert(feed *alertFeed) string {
	return <-feed.subscribe()
}

func subscriberNeverUnsubscribes() {
	feed := &alertFeed{}
	paged := make(chan string, 1)
	go func() { paged <- firstAlert(feed) }()
	time.Sleep(50 * time.Millisecond)
	go feed.publish([]string{"disk full", "node down", "link flaps"})
	<-paged
	busyWorkers(2)
}

func init() { kernels["subscriber-never-unsubscribes"] = subscriberNeverUnsubscribes }
