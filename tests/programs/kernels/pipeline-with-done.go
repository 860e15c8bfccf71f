// pipeline-with-done: the consumer of a pipeline breaks out early, and both stages before it end because it closes done.
//
//goflow:class correct
package main

import "time"

func countUp(done <-chan struct{}) <-chan int {
	numbers := make(chan int)
	go func() {
		defer close(numbers)
		for n := 0; ; n++ {
			select {
			case numbers <- n:
			case <-done:
				return
			}
		}
	}()
	return numbers
}

func squares(done <-chan struct{}, numbers <-chan int) <-chan int {
	squared := make(chan int)
	go func() {
		defer close(squared)
		for n := range numbers {
			select {
			case squared <- n * n:
			case <-done:
				return
			}
		}
	}()
	return squared
}

func firstSquareAbove(limit int) int {
	done := make(chan struct{})
	defer close(done)
	for square := range squares(done, countUp(done)) {
		if square > limit {
			return square
		}
	}
	return 0
}

func pipelineWithDone() {
	for limit := 10; ; limit = limit%1000 + 10 {
		firstSquareAbove(limit)
		time.Sleep(20 * time.Millisecond)
	}
}

func init() { kernels["pipeline-with-done"] = pipelineWithDone }
