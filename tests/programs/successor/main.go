// Successor executes another program in its place.
//
// What one sees: it starts a goroutine, sleeps for the number of milliseconds of its first argument, and becomes the
// command of its further ones.
package main

import (
	"os"
	"strconv"
	"syscall"
	"time"
)

func main() {
	ms, err := strconv.Atoi(os.Args[1])
	if err != nil {
		os.Exit(1)
	}
	done := make(chan bool)
	go func() { done <- true }()
	<-done
	time.Sleep(time.Duration(ms) * time.Millisecond)
	syscall.Exec(os.Args[2], os.Args[2:], os.Environ())
	os.Exit(1)
}
