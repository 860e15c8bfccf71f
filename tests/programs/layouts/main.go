// Layouts uses every part of the runtime whose structs goflow reads, so that its debug information describes them all.
//
// What one sees: nothing; it is built and not run.
package main

import (
	"os"
	"sync"
	"time"
)

func main() {
	var mu sync.Mutex
	var rw sync.RWMutex
	var wg sync.WaitGroup
	cond := sync.NewCond(&mu)
	ch := make(chan int, len(os.Args))
	wg.Add(1)
	go func() {
		defer wg.Done()
		rw.Lock()
		defer rw.Unlock()
		mu.Lock()
		cond.Broadcast()
		mu.Unlock()
	}()
	mu.Lock()
	cond.Wait()
	mu.Unlock()
	rw.RLock()
	rw.RUnlock()
	wg.Wait()
	select {
	case <-time.After(time.Second):
	case ch <- 1:
	}
	read, write, _ := os.Pipe()
	read.Close()
	write.Close()
	close(ch)
}
