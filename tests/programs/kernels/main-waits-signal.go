// main-waits-signal: main waits for a signal, and the idle workers wait for jobs until main closes their queue.
//
//goflow:class correct
package main

import (
	"os"
	"os/signal"
	"sync"
	"syscall"
)

type printQueue struct {
	jobs    chan string
	printed chan string
	workers sync.WaitGroup
}

func (q *printQueue) work() {
	defer q.workers.Done()
	for job := range q.jobs {
		q.printed <- job
	}
}

func mainWaitsSignal() {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, os.Interrupt)
	queue := &printQueue{jobs: make(chan string), printed: make(chan string, 1)}
	for i := 0; i < 5; i++ {
		queue.workers.Add(1)
		go queue.work()
	}
	queue.jobs <- "test page"
	<-queue.printed
	<-signals
	close(queue.jobs)
	queue.workers.Wait()
}

func init() { kernels["main-waits-signal"] = mainWaitsSignal }
