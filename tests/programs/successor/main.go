// Successor executes another program in its place.
//
// What one sees: it starts a goroutine, sleeps for the number of milliseconds of its first argument, and becomes the
// command of its further ones; after "thread" it does so from a thread that is not the first of the process,
// and after "leaking" it leaves a goroutine behind that nobody can wake, and prints "running". With "work" as
// its only argument it starts a goroutine every ten milliseconds, until stdin closes.
package main

import (
	"os"
	"runtime"
	"strconv"
	"syscall"
	"time"
)

func init() {
	// The first thread is main's, so no other goroutine is ever on it.
	runtime.LockOSThread()
}

func main() {
	switch os.Args[1] {
	case "work":
		go work()
		os.Stdin.Read(make([]byte, 1))
	case "thread":
		go become(os.Args[2], os.Args[3:])
		select {}
	case "leaking":
		go func() { <-make(chan bool) }()
		syscall.Write(1, []byte("running\n"))
		become(os.Args[2], os.Args[3:])
	default:
		become(os.Args[1], os.Args[2:])
	}
}

func become(after string, command []string) {
	ms, err := strconv.Atoi(after)
	if err != nil {
		os.Exit(1)
	}
	begin()
	time.Sleep(time.Duration(ms) * time.Millisecond)
	syscall.Exec(command[0], command, os.Environ())
	os.Exit(1)
}

func work() {
	for {
		begin()
		time.Sleep(10 * time.Millisecond)
	}
}

func begin() {
	done := make(chan bool)
	go func() { done <- true }()
	<-done
}
