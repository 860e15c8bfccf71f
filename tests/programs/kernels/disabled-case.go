// disabled-case: a relay sets a channel to nil while it has nothing to send, so that its select waits for input only.
//
//goflow:class correct
package main

import "time"

type relay struct {
	in, out chan int
	backlog []int
}

func (r *relay) run() {
	for {
		var out chan int
		var first int
		if len(r.backlog) > 0 {
			out, first = r.out, r.backlog[0]
		}
		select {
		case value := <-r.in:
			r.backlog = append(r.backlog, value)
		case out <- first:
			r.backlog = r.backlog[1:]
		}
	}
}

func disabledCase() {
	r := &relay{in: make(chan int), out: make(chan int)}
	go r.run()
	go func() {
		for range r.out {
		}
	}()
	for value := 0; ; value++ {
		r.in <- value
		if value%10 == 9 {
			time.Sleep(6 * time.Second)
		}
	}
}

func init() { kernels["disabled-case"] = disabledCase }
