// orders-on-one-line: two orders lock both their stocks in different order, by a function that does so on one line.
//
//goflow:class resource-deadlock
//goflow:expect circular-wait
package main

import (
	"sync"
	"time"
)

type stock struct {
	mu   sync.Mutex
	left int
}

func lockBoth(one, other *stock) { one.mu.Lock(); time.Sleep(20 * time.Millisecond); other.mu.Lock() } // stuck: 2

// reserve takes one of each.
func reserve(one, other *stock) {
	lockBoth(one, other)
	one.left--
	other.left--
	other.mu.Unlock()
	one.mu.Unlock()
}

func ordersOnOneLine() {
	tea, coffee := &stock{left: 9}, &stock{left: 9}
	go reserve(tea, coffee)
	go reserve(coffee, tea)
	heartbeat(50 * time.Millisecond)
	select {}
}

func init() { kernels["orders-on-one-line"] = ordersOnOneLine }
