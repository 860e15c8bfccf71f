// number-generator: a generator always waits to hand out the next number, and those who want one never wait for it.
//
//goflow:class correct
package main

import (
	"sync/atomic"
	"time"
)

func orderNumbers() <-chan int64 {
	numbers := make(chan int64)
	go func() {
		for number := int64(1); ; number++ {
			numbers <- number
		}
	}()
	return numbers
}

func numberGenerator() {
	numbers := orderNumbers()
	var last int64
	for i := 0; i < 3; i++ {
		go func() {
			for {
				atomic.StoreInt64(&last, <-numbers)
				time.Sleep(30 * time.Millisecond)
			}
		}()
	}
	heartbeat(100 * time.Millisecond)
}

func init() { kernels["number-generator"] = numberGenerator }
