// Forkstorm DEPTH WIDTH SENDS MILLISECONDS starts WIDTH copies of itself with DEPTH-1, which do the same down to 0.
// Each copy sends SENDS numbers into a buffered channel, lives at least MILLISECONDS and then waits for its children.
//
// What one sees: one line per process with its pid, and status 0 if every descendant ended with 0.
package main

import (
	"os"
	"strconv"
	"syscall"
	"time"
)

func main() {
	start := time.Now()
	if len(os.Args) != 5 {
		os.Exit(64)
	}
	depth, width, sends, lifetime := number(1), number(2), number(3), number(4)
	c := make(chan int, sends)
	for i := 0; i < sends; i++ {
		c <- i
	}
	syscall.Write(1, []byte(strconv.Itoa(syscall.Getpid())+"\n"))
	var children []int
	if depth > 0 {
		args := append([]string(nil), os.Args...)
		args[1] = strconv.Itoa(depth - 1)
		for i := 0; i < width; i++ {
			pid, err := syscall.ForkExec("/proc/self/exe", args, &syscall.ProcAttr{
				Env: os.Environ(), Files: []uintptr{0, 1, 2},
			})
			if err != nil {
				os.Exit(2)
			}
			children = append(children, pid)
		}
	}
	time.Sleep(time.Duration(lifetime)*time.Millisecond - time.Since(start))
	for _, pid := range children {
		var status syscall.WaitStatus
		if _, err := wait(pid, &status); err != nil || !status.Exited() || status.ExitStatus() != 0 {
			os.Exit(1)
		}
	}
}

func wait(pid int, status *syscall.WaitStatus) (int, error) {
	for {
		n, err := syscall.Wait4(pid, status, 0, nil)
		if err != syscall.EINTR {
			return n, err
		}
	}
}

func number(i int) int {
	n, err := strconv.Atoi(os.Args[i])
	if err != nil {
		os.Exit(64)
	}
	return n
}
