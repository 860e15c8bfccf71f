// Idle has a goroutine parked in each of the usual ways and does nothing.
//
// What one sees: "running", then "still running" for each line on stdin, and the end, status 0, when stdin closes.
package main

import (
	"sync"
	"syscall"
	"time"
)

func main() {
	a, b, c := make(chan int), make(chan int), make(chan int)
	var mu sync.Mutex
	mu.Lock()
	var wg sync.WaitGroup
	wg.Add(1)
	for _, wait := range []func(){
		func() { <-a },
		func() { b <- 1 },
		func() {
			select {
			case <-c:
			case c <- 1:
			}
		},
		mu.Lock,
		wg.Wait,
		func() { time.Sleep(time.Hour) },
	} {
		go wait()
	}
	syscall.Write(1, []byte("running\n"))
	var in [1]byte
	for {
		n, err := syscall.Read(0, in[:])
		if err == syscall.EINTR {
			continue
		}
		if n != 1 {
			return
		}
		if in[0] == '\n' {
			syscall.Write(1, []byte("still running\n"))
		}
	}
}
