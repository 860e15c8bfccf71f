// bulk-starved: a dispatcher serves urgent jobs first, urgent jobs never run out, and the bulk job is never taken.
//
//goflow:class stall
//goflow:expect starvation slow-consumer
package main

import "time"

type dispatcher struct {
	urgent, bulk chan string
	served       map[string]int
}

func (d *dispatcher) next() string {
	select {
	case job := <-d.urgent:
		return job
	default:
	}
	select {
	case job := <-d.urgent:
		return job
	case job := <-d.bulk:
		return job
	}
}

func (d *dispatcher) run() {
	for {
		d.served[d.next()]++
		time.Sleep(5 * time.Millisecond)
	}
}

func bulkStarved() {
	d := &dispatcher{urgent: make(chan string, 16), bulk: make(chan string), served: map[string]int{}}
	for i := 0; i < 2; i++ {
		go func() {
			for {
				d.urgent <- "invoice"
			}
		}()
	}
	time.Sleep(20 * time.Millisecond)
	go d.run()
	d.bulk <- "newsletter" // here
}

func init() { kernels["bulk-starved"] = bulkStarved }
