// Many has as many goroutines as its first argument says, half of them waiting on a channel each and half on one they
// share, and as many workers as its second argument says, which pass numbers through a buffered channel.
//
// What one sees: "running" once all wait, then for each line on stdin one line of JSON with the number of values passed so
// far. It ends with 0 when stdin closes.
package main

import (
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

var passed uint64 // atomic

func main() {
	goroutines, _ := strconv.Atoi(os.Args[1])
	workers, _ := strconv.Atoi(os.Args[2])
	shared := make(chan int)
	var started sync.WaitGroup
	for i := 0; i < goroutines; i++ {
		on := shared
		if i%2 == 0 {
			on = make(chan int)
		}
		started.Add(1)
		go func() {
			started.Done()
			<-on
		}()
	}
	started.Wait()
	time.Sleep(200 * time.Millisecond)
	for i := 0; i < workers; i++ {
		go work()
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
			line := `{"operations":` + strconv.FormatUint(atomic.LoadUint64(&passed), 10) + "}\n"
			syscall.Write(1, []byte(line))
		}
	}
}

func work() {
	values := make(chan int, 64)
	go func() {
		for range values {
		}
	}()
	for i := 0; ; i++ {
		values <- i
		atomic.AddUint64(&passed, 1)
	}
}
