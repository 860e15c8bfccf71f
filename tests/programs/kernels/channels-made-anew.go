// channels-made-anew: each request has a channel of its own, which is closed once; many of them lie where earlier ones lay.
//
//goflow:class correct
package main

import (
	"runtime"
	"time"
)

func answerOnce() int {
	answer := make(chan int, 1)
	answer <- 1
	value := <-answer
	close(answer)
	return value
}

func channelsMadeAnew() {
	for request := 1; ; request++ {
		answerOnce()
		if request%64 == 0 {
			runtime.GC()
		}
		if request%1000 == 0 {
			time.Sleep(time.Millisecond)
		}
	}
}

func init() { kernels["channels-made-anew"] = channelsMadeAnew }
