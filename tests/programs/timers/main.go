// Timers waits for time in every way that does not involve another goroutine of the program.
//
// What one sees: "running", then for each line on stdin, by the main goroutine, ten of each: a time.Sleep, a receive from
// time.After, one from a ticker; and "done". It ends when stdin closes.
package main

import (
	"syscall"
	"time"
)

func main() {
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
			wait()
			syscall.Write(1, []byte("done\n"))
		}
	}
}

//go:noinline
func wait() {
	ticker := time.NewTicker(5 * time.Millisecond)
	for i := 0; i < 10; i++ {
		time.Sleep(2 * time.Millisecond)
		<-time.After(2 * time.Millisecond)
		<-ticker.C
	}
	ticker.Stop()
}
