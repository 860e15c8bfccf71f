// Short SENDS MILLISECONDS END sends SENDS numbers into a buffered channel, lives MILLISECONDS, and ends: END is an
// exit status, or "kill" for a death by SIGKILL.
//
// What one sees: one line of JSON with its user, its process id and whether stdin and stdout are a terminal, a line of
// its input given back if MILLISECONDS is 0, and the end. No goroutine parks but for one sleep.
package main

import (
	"os"
	"strconv"
	"syscall"
	"time"
	"unsafe"
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
	syscall.Write(1, []byte(`{"uid":`+strconv.Itoa(syscall.Getuid())+`,"gid":`+strconv.Itoa(syscall.Getgid())+
		`,"pid":`+strconv.Itoa(syscall.Getpid())+`,"terminal":`+strconv.FormatBool(isTerminal(0) && isTerminal(1))+"}\n"))
	if lifetime == 0 {
		echoLine()
	}
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

func echoLine() {
	var b [1]byte
	for b[0] != '\n' {
		n, err := syscall.Read(0, b[:])
		if err == syscall.EINTR {
			continue
		}
		if n != 1 {
			return
		}
		syscall.Write(1, b[:])
	}
}

func isTerminal(fd uintptr) bool {
	var size [4]uint16
	_, _, errno := syscall.Syscall(syscall.SYS_IOCTL, fd, syscall.TIOCGWINSZ, uintptr(unsafe.Pointer(&size)))
	return errno == 0
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
