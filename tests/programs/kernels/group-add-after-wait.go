// group-add-after-wait: a request is counted in its own goroutine, when the drain has already begun to wait for the requests in flight.
//
//goflow:class misuse
//goflow:expect waitgroup-misuse
package main

import (
	"sync"
	"time"
)

type drainer struct {
	inFlight sync.WaitGroup
	served   chan int
}

// accept counts the request too late: drain may have seen none.
func (d *drainer) accept(id int) {
	time.Sleep(20 * time.Millisecond)
	d.inFlight.Add(1) // here
	defer d.inFlight.Done()
	d.served <- id
}

func (d *drainer) drain() {
	d.inFlight.Add(1)
	go func() {
		defer d.inFlight.Done()
		time.Sleep(60 * time.Millisecond)
	}()
	d.inFlight.Wait()
}

func groupAddAfterWait() {
	d := &drainer{served: make(chan int, 64)}
	for id := 0; ; id++ {
		go d.accept(id)
		d.drain()
		<-d.served
		time.Sleep(20 * time.Millisecond)
	}
}

func init() { kernels["group-add-after-wait"] = groupAddAfterWait }
