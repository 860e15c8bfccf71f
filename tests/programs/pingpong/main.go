// Pingpong passes a number back and forth between two goroutines over two unbuffered channels, as fast as it goes.
//
// What one sees: "running", then for each line on stdin one line of JSON with the number of round trips so far (two
// sends and two receives each). It ends when stdin closes, with status 0, or with status 1 if a number came back wrong.
package main

import (
	"os"
	"strconv"
	"sync/atomic"
	"syscall"
)

var trips uint64 // atomic

func main() {
	ping, pong := make(chan uint64), make(chan uint64)
	go func() {
		for n := range ping {
			pong <- n + 1
		}
	}()
	go func() {
		for n := uint64(0); ; n++ {
			ping <- n
			if <-pong != n+1 {
				os.Exit(1)
			}
			atomic.StoreUint64(&trips, n+1)
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
			line := `{"operations":` + strconv.FormatUint(atomic.LoadUint64(&trips), 10) + "}\n"
			syscall.Write(1, []byte(line))
		}
	}
}
