// Heartbeat does a little of every level some thousand times a second: a goroutine is created, sends on a channel without a
// buffer to whoever created it, and ends.
//
// What one sees: "running", then for each line on stdin one line of JSON with the number of beats so far. Each checks what
// was sent; a wrong number ends the program with status 1. It ends with 0 when stdin closes.
package main

import (
	"os"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"
)

var beats uint64 // atomic

func beat(n uint64) {
	c := make(chan uint64)
	go func() { c <- n }()
	if <-c != n {
		os.Exit(1)
	}
}

func main() {
	go func() {
		for n := uint64(1); ; n++ {
			time.Sleep(200 * time.Microsecond)
			beat(n)
			atomic.StoreUint64(&beats, n)
		}
	}()
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
			line := `{"operations":` + strconv.FormatUint(atomic.LoadUint64(&beats), 10) + "}\n"
			syscall.Write(1, []byte(line))
		}
	}
}
