// queue-filled-in-bursts: four sensors send a burst at once and wait a moment for room in a small queue, then all is empty again.
//
//goflow:class correct
package main

import (
	"sync"
	"time"
)

type burstQueue struct {
	readings chan int
	sum      int
}

func (q *burstQueue) drain() {
	for reading := range q.readings {
		time.Sleep(time.Millisecond)
		q.sum += reading
	}
}

func (q *burstQueue) burst(reading int, sent *sync.WaitGroup) {
	defer sent.Done()
	for i := 0; i < 30; i++ {
		q.readings <- reading
	}
}

func queueFilledInBursts() {
	queue := &burstQueue{readings: make(chan int, 8)}
	go queue.drain()
	for {
		var sent sync.WaitGroup
		for sensor := 0; sensor < 4; sensor++ {
			sent.Add(1)
			go queue.burst(sensor, &sent)
		}
		sent.Wait()
		time.Sleep(600 * time.Millisecond)
	}
}

func init() { kernels["queue-filled-in-bursts"] = queueFilledInBursts }
