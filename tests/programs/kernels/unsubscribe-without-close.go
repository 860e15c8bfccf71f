// unsubscribe-without-close: the broker forgets a subscriber without closing its channel, over which a goroutine still ranges.
//
//goflow:class leak
//goflow:expect goroutine-leak channel-not-closed
package main

import (
	"sync"
	"time"
)

type topicBroker struct {
	mu          sync.Mutex
	subscribers map[int]chan string
}

var orderTopic = &topicBroker{subscribers: map[int]chan string{}}

func (b *topicBroker) subscribe(id int) <-chan string {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.subscribers[id] = make(chan string, 4)
	return b.subscribers[id]
}

func (b *topicBroker) unsubscribe(id int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.subscribers, id)
}

func (b *topicBroker) publish(message string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, subscriber := range b.subscribers {
		subscriber <- message
	}
}

func printOrders(orders <-chan string) (printed int) {
	for range orders { // stuck
		printed++
	}
	return printed
}

func unsubscribeWithoutClose() {
	go printOrders(orderTopic.subscribe(7))
	orderTopic.publish("two lamps")
	orderTopic.unsubscribe(7)
	go func() {
		for {
			orderTopic.publish("one pen")
			time.Sleep(20 * time.Millisecond)
		}
	}()
}

func init() { kernels["unsubscribe-without-close"] = unsubscribeWithoutClose }
