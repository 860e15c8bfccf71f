// catalogue-read-handed-over: a catalogue is locked for reading by who takes requests, and unlocked by the goroutine that answers.
//
//goflow:class misuse
//goflow:expect mutex-unlocked-by-other
package main

import (
	"sync"
	"time"
)

type catalogue struct {
	mu     sync.RWMutex
	prices map[string]int
}

func (c *catalogue) answer(item string, answers chan<- int) {
	defer c.mu.RUnlock() // here
	time.Sleep(15 * time.Millisecond)
	answers <- c.prices[item]
}

func catalogueReadHandedOver() {
	c := &catalogue{prices: map[string]int{"tea": 3}}
	answers := make(chan int, 1)
	heartbeat(50 * time.Millisecond)
	for {
		c.mu.RLock()
		go c.answer("tea", answers)
		<-answers
		time.Sleep(10 * time.Millisecond)
	}
}

func init() { kernels["catalogue-read-handed-over"] = catalogueReadHandedOver }
