// feedback-ring: each stage of a ring emits two messages for one, until all buffers are full and every stage waits for the next.
//
//goflow:class communication-deadlock
//goflow:expect circular-wait goroutine-leak
package main

import "time"

type ringStage struct {
	in, out chan int
}

func (s ringStage) run() {
	for message := range s.in {
		for copies := 0; copies < 2; copies++ {
			s.out <- message + copies // stuck: 3
		}
	}
}

func feedbackRing() {
	var buffers []chan int
	for i := 0; i < 3; i++ {
		buffers = append(buffers, make(chan int, 2))
		buffers[i] <- i
	}
	for i := range buffers {
		stage := ringStage{in: buffers[i], out: buffers[(i+1)%len(buffers)]}
		go stage.run()
	}
	heartbeat(60 * time.Millisecond)
}

func init() { kernels["feedback-ring"] = feedbackRing }
