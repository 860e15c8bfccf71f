// Truth LOAD FILE does one kind of work and records it with Go's own execution tracer, so that what another tracer says of
// each goroutine can be held against the runtime's own account.
//
// What one sees: "waiting", then after a line on stdin "done" once FILE is complete; it ends when stdin closes. LOAD is a
// name in the table `loads`. All goroutines of the load are created and have ended while the recording runs.
package main

import (
	"os"
	"runtime"
	"runtime/trace"
	"syscall"
	"time"
)

var loads = map[string]func(){
	"unbuffered": unbuffered,
	"buffered":   buffered,
	"selects":    selects,
	"mutex":      mutex,
	"rwmutex":    rwmutex,
	"waitgroup":  waitgroup,
	"cond":       cond,
	"timers":     timers,
	"context":    contexts,
	"network":    network,
	"syscalls":   syscalls,
	"fanout":     fanout,
	"pool":       pool,
	"many":       many,
	"gc":         collection,
}

func main() {
	if len(os.Args) != 3 || loads[os.Args[1]] == nil {
		os.Exit(64)
	}
	syscall.Write(1, []byte("waiting\n"))
	readLine()
	file, err := os.Create(os.Args[2])
	check(err)
	before := runtime.NumGoroutine()
	check(trace.Start(file))
	done := make(chan struct{}) // of its own goroutine: one that was not there before has its whole life recorded
	go func() {
		loads[os.Args[1]]()
		close(done)
	}()
	<-done
	for runtime.NumGoroutine() > before+1 { // the tracer's own reader
		time.Sleep(time.Millisecond)
	}
	trace.Stop()
	check(file.Close())
	syscall.Write(1, []byte("done\n"))
	readLine()
}

func readLine() {
	var b [1]byte
	for b[0] != '\n' {
		n, err := syscall.Read(0, b[:])
		if err != syscall.EINTR && n != 1 {
			os.Exit(0)
		}
	}
}

func check(err error) {
	if err != nil {
		os.Stderr.WriteString(err.Error() + "\n")
		os.Exit(1)
	}
}

// work keeps a CPU busy for some microseconds.
func work(n int) {
	for i := 0; i < n*500; i++ {
		runtime.KeepAlive(i)
	}
}
