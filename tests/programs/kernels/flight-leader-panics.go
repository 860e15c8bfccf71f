// flight-leader-panics: the leader of a single flight panics and is recovered by its caller, and those who share the flight are never released.
//
//goflow:class leak
//goflow:expect goroutine-leak
package main

import (
	"sync"
	"time"
)

type flight struct {
	landed sync.WaitGroup
	value  string
}

type flightGroup struct {
	mu      sync.Mutex
	flights map[string]*flight
}

func (g *flightGroup) do(key string, load func() string) string {
	g.mu.Lock()
	if f, flying := g.flights[key]; flying {
		g.mu.Unlock()
		f.landed.Wait() // stuck: 2
		return f.value
	}
	f := &flight{}
	f.landed.Add(1)
	g.flights[key] = f
	g.mu.Unlock()
	f.value = load()
	f.landed.Done()
	return f.value
}

func recovered(do func()) {
	defer func() { recover() }()
	do()
}

func flightLeaderPanics() {
	group := &flightGroup{flights: map[string]*flight{}}
	loading := make(chan bool)
	go recovered(func() {
		group.do("user/1", func() string {
			close(loading)
			time.Sleep(50 * time.Millisecond)
			var rows []string
			return rows[0]
		})
	})
	<-loading
	for i := 0; i < 2; i++ {
		go group.do("user/1", func() string { return "unused" })
	}
	busyWorkers(2)
}

func init() { kernels["flight-leader-panics"] = flightLeaderPanics }
