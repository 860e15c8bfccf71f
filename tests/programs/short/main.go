// Short SENDS MILLISECONDS END sends SENDS numbers into a buffered channel, lives MILLISECONDS, and ends: END is an
// exit status, or "kill" for a death by SIGKILL.
//
// What one sees: its user id and process id on stdout as "uid pid", and the end. Nothing blocks but one sleep.
package main

import (
	"os"
	"strconv"
	"syscall"
	"time"
)

func main() {
	start := time.Now()
	sends, end := argument(1, 1), "0"
	lifetime := time.Duration(argument(2, 100)) * time.Millisecond
	if len(os.Args) > 3 {
		end = os.Args[3]
	}
	c := make(chan int, sends)
	for i := 0; i < sends; i++ {
		c <- i
	}
	syscall.Write(1, []byte(strconv.Itoa(syscall.Getuid())+" "+strconv.Itoa(syscall.Getpid())+"\n"))
	time.Sleep(lifetime - time.Since(start))
	if end == "kill" {
		syscall.Kill(syscall.Getpid(), syscall.SIGKILL)
		select {}
	}
	status, err := strconv.Atoi(end)
	if err != nil {
		status = 64
	}
	os.Exit(status)
}

func argument(i, otherwise int) int {
	if i >= len(os.Args) {
		return otherwise
	}
	n, err := strconv.Atoi(os.Args[i])
	if err != nil {
		os.Exit(64)
	}
	return n
}
