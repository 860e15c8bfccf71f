// warm-without-broadcast: who has warmed the package-level cache sets the flag and forgets to wake those that wait for it.
//
//goflow:class communication-deadlock
//goflow:expect goroutine-leak circular-wait deadlock
package main

import (
	"sync"
	"time"
)

var (
	warmth    sync.Mutex
	warmed    = sync.NewCond(&warmth)
	isWarmed  bool
	warmItems = map[string]int{}
)

func readWarmed(key string) int {
	warmth.Lock()
	defer warmth.Unlock()
	for !isWarmed {
		warmed.Wait() // stuck: 2
	}
	return warmItems[key]
}

func warm() {
	time.Sleep(20 * time.Millisecond)
	warmth.Lock()
	warmItems["a"] = 1
	isWarmed = true
	warmth.Unlock()
}

func warmWithoutBroadcast() {
	go readWarmed("a")
	go readWarmed("b")
	go warm()
	heartbeat(50 * time.Millisecond)
}

func init() { kernels["warm-without-broadcast"] = warmWithoutBroadcast }
