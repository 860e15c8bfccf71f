// Storm keeps every CPU busy with goroutines that are born, talk over channels, select, take locks and die.
//
// What one sees: "running", then for each line on stdin one line of JSON with the number of batches finished so far.
// Each batch checks its own sum; a wrong one ends the program with status 1. It ends with 0 when stdin closes.
package main

import (
	"os"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
)

var batches uint64 // atomic

func main() {
	for i := 0; i < 2*runtime.NumCPU(); i++ {
		go func() {
			for {
				batch()
				atomic.AddUint64(&batches, 1)
			}
		}()
	}
	syscall.Write(1, []byte("running\n"))
	var b [1]byte
	for {
		n, err := syscall.Read(0, b[:])
		if err == syscall.EINTR {
			continue
		}
		if n != 1 {
			return
		}
		if b[0] == '\n' {
			line := `{"operations":` + strconv.FormatUint(atomic.LoadUint64(&batches), 10) + "}\n"
			syscall.Write(1, []byte(line))
		}
	}
}

// batch lets eight goroutines send the numbers 0 to 7 sixteen times over and adds them up twice.
func batch() {
	const workers, times = 8, 16
	work, quit := make(chan int), make(chan struct{})
	var mu sync.Mutex
	var wg sync.WaitGroup
	locked := 0
	for w := 0; w < workers; w++ {
		wg.Add(1)
		go func(w int) {
			defer wg.Done()
			for i := 0; i < times; i++ {
				select {
				case work <- w:
				case <-quit:
				}
				mu.Lock()
				locked += w
				mu.Unlock()
			}
		}(w)
	}
	received := 0
	for i := 0; i < workers*times; i++ {
		received += <-work
	}
	wg.Wait()
	close(quit)
	if want := times * workers * (workers - 1) / 2; received != want || locked != want {
		os.Exit(1)
	}
}
