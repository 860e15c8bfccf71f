// empty-select: a supervisor keeps itself alive with an empty select after its last child has ended.
//
//goflow:class leak
//goflow:expect goroutine-leak
package main

import "time"

type supervised struct {
	name string
	run  func() error
}

func supervise(children []supervised, ended chan<- string) {
	for _, child := range children {
		child := child
		go func() {
			for child.run() != nil {
				time.Sleep(time.Millisecond)
			}
			ended <- child.name
		}()
	}
	select {} // stuck
}

func emptySelect() {
	ended := make(chan string)
	children := []supervised{
		{"resolver", func() error { return nil }},
		{"sweeper", func() error { return nil }},
	}
	go supervise(children, ended)
	for range children {
		<-ended
	}
	polledStatus(60 * time.Millisecond)
}

func init() { kernels["empty-select"] = emptySelect }
