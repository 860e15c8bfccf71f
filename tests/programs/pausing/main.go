// Pausing has four goroutines that talk to a partner each over an unbuffered channel and create short-lived ones, and that
// can be held: then every goroutine but main's is parked and stays so.
//
// What one sees: "running", then for each line on stdin "held" once everybody is parked, or "running" when they go on. It
// ends with 0 when stdin closes.
package main

import (
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const pairs = 4

var (
	gate    sync.Mutex
	held    int32 // atomic
	arrived int32 // atomic
	through = make(chan struct{})
)

func main() {
	for i := 0; i < pairs; i++ {
		values := make(chan int)
		go send(values)
		go receive(values)
	}
	tell("running\n")
	var b [1]byte
	for {
		n, err := syscall.Read(0, b[:])
		if err == syscall.EINTR {
			continue
		}
		if n != 1 {
			return
		}
		if b[0] != '\n' {
			continue
		}
		if atomic.LoadInt32(&held) == 0 {
			hold()
			tell("held\n")
		} else {
			release()
			tell("running\n")
		}
	}
}

func tell(word string) { syscall.Write(1, []byte(word)) }

func hold() {
	atomic.StoreInt32(&held, 1)
	for atomic.LoadInt32(&arrived) < pairs {
		runtime.Gosched()
	}
	// Who has arrived is about to park, and whom it last woke too.
	time.Sleep(50 * time.Millisecond)
}

func release() {
	atomic.StoreInt32(&arrived, 0)
	atomic.StoreInt32(&held, 0)
	for i := 0; i < pairs; i++ {
		through <- struct{}{}
	}
}

func send(values chan<- int) {
	for n := 0; ; n++ {
		if atomic.LoadInt32(&held) == 1 {
			atomic.AddInt32(&arrived, 1)
			<-through
		}
		values <- n
		var done sync.WaitGroup
		done.Add(1)
		go func() {
			gate.Lock()
			gate.Unlock()
			done.Done()
		}()
		done.Wait()
		if n%64 == 0 {
			time.Sleep(100 * time.Microsecond)
		}
	}
}

func receive(values <-chan int) {
	for range values {
		gate.Lock()
		gate.Unlock()
	}
}
