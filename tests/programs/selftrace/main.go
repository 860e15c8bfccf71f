// Selftrace FILE does a mixed, unscripted load and records it with Go's own execution tracer, so that another tracer's
// view of the same goroutines can be compared with the runtime's.
//
// What one sees: "waiting", then after a line on stdin "done" once FILE is complete; it ends when stdin closes. All
// goroutines of the load are created and have ended while the recording runs.
package main

import (
	"os"
	"runtime"
	"runtime/trace"
	"sync"
	"syscall"
	"time"
)

func main() {
	if len(os.Args) != 2 {
		os.Exit(64)
	}
	syscall.Write(1, []byte("waiting\n"))
	readLine()
	file, err := os.Create(os.Args[1])
	check(err)
	before := runtime.NumGoroutine()
	check(trace.Start(file))
	load()
	for runtime.NumGoroutine() > before+1 { // the tracer's own reader
		time.Sleep(time.Millisecond)
	}
	trace.Stop()
	check(file.Close())
	syscall.Write(1, []byte("done\n"))
	readLine()
}

// load meets every reason to wait: receiving, sending, selecting, locking, waiting for a group, a condition, a moment.
func load() {
	work, results := make(chan int), make(chan int, 4)
	var group sync.WaitGroup
	var mutex sync.Mutex
	ready := sync.NewCond(&mutex)
	started := 0
	for w := 0; w < 8; w++ {
		group.Add(1)
		go func() {
			defer group.Done()
			mutex.Lock()
			if started++; started == 8 {
				ready.Broadcast()
			}
			for started < 8 {
				ready.Wait()
			}
			mutex.Unlock()
			for n := range work {
				child := make(chan int)
				go func() { child <- square(n, &mutex) }()
				results <- <-child
			}
		}()
	}
	go func() {
		for n := 0; n < 400; n++ {
			select {
			case work <- n:
			case <-time.After(time.Second):
				panic("nobody works")
			}
		}
		close(work)
		group.Wait()
		close(results)
	}()
	sum := 0
	for r := range results {
		sum += r
	}
	if sum != 399*400*799/6 {
		os.Exit(1)
	}
}

func square(n int, mutex *sync.Mutex) int {
	if n%8 == 0 {
		time.Sleep(100 * time.Microsecond)
	}
	mutex.Lock()
	defer mutex.Unlock()
	for i := 0; i < 2000; i++ { // long enough to be waited for
		runtime.KeepAlive(i)
	}
	return n * n
}

func readLine() {
	var b [1]byte
	for b[0] != '\n' {
		n, err := syscall.Read(0, b[:])
		if err != syscall.EINTR && n != 1 {
			os.Exit(0)
		}
	}
}

func check(err error) {
	if err != nil {
		os.Stderr.WriteString(err.Error() + "\n")
		os.Exit(1)
	}
}
