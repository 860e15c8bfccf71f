// token-and-mutex: a reader of the archive has the only disk token and wants the index lock, a writer has the lock and wants the token.
//
//goflow:class mixed-deadlock
//goflow:expect circular-wait goroutine-leak
package main

import (
	"sync"
	"time"
)

type archive struct {
	diskTokens chan struct{}
	index      struct {
		sync.Mutex
		entries map[string]int
	}
	both sync.WaitGroup
}

func (a *archive) read(name string) int {
	a.diskTokens <- struct{}{}
	defer func() { <-a.diskTokens }()
	a.both.Done()
	a.both.Wait()
	a.index.Lock() // stuck
	defer a.index.Unlock()
	return a.index.entries[name]
}

func (a *archive) write(name string, size int) {
	a.index.Lock()
	defer a.index.Unlock()
	a.both.Done()
	a.both.Wait()
	a.diskTokens <- struct{}{} // stuck
	a.index.entries[name] = size
	<-a.diskTokens
}

func tokenAndMutex() {
	a := &archive{diskTokens: make(chan struct{}, 1)}
	a.index.entries = map[string]int{"2021": 7}
	a.both.Add(2)
	go a.read("2021")
	go a.write("2022", 9)
	heartbeat(90 * time.Millisecond)
}

func init() { kernels["token-and-mutex"] = tokenAndMutex }
