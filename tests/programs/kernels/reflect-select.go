// reflect-select: a multiplexer waits with reflect.Select for any of several sources, of which one speaks every four seconds.
//
//goflow:class correct
package main

import (
	"reflect"
	"time"
)

type multiplexer struct {
	cases  []reflect.SelectCase
	counts []int
}

func (m *multiplexer) add(source <-chan int) {
	m.cases = append(m.cases, reflect.SelectCase{Dir: reflect.SelectRecv, Chan: reflect.ValueOf(source)})
	m.counts = append(m.counts, 0)
}

func (m *multiplexer) run() {
	for {
		chosen, _, open := reflect.Select(m.cases)
		if !open {
			return
		}
		m.counts[chosen]++
	}
}

func reflectSelect() {
	var m multiplexer
	for i := 1; i <= 3; i++ {
		source := make(chan int)
		m.add(source)
		go func(pause time.Duration) {
			for n := 0; ; n++ {
				source <- n
				time.Sleep(pause)
			}
		}(time.Duration(i) * 4 * time.Second)
	}
	m.run()
}

func init() { kernels["reflect-select"] = reflectSelect }
