// Crash has a goroutine that runs when the program dies, or when somebody makes a core file of it.
//
// Its argument says how it ends: `panic`, `fault` (a nil pointer), `signal` (one that its own thread gets while it runs), or
// `spin` (it does not). What one sees: "running", then what Go prints when it crashes.
package main

import (
	"os"
	"runtime/debug"
	"syscall"
	"time"
)

var total int

//go:noinline
func inner(how string, depth int) int {
	if depth > 0 {
		return inner(how, depth-1) + 1
	}
	switch how {
	case "panic":
		panic("on purpose")
	case "fault":
		var none *int
		*none = 7
	case "signal":
		// Not an entry into the scheduler: the goroutine is a running one.
		pid, tid := uintptr(syscall.Getpid()), uintptr(syscall.Gettid())
		syscall.RawSyscall(syscall.SYS_TGKILL, pid, tid, uintptr(syscall.SIGQUIT))
	case "spin":
		for {
			total = leaf(total)
		}
	}
	return 0
}

//go:noinline
func leaf(n int) int { return n*3 + 1 }

func outer(how string) { inner(how, 2) }

func main() {
	debug.SetTraceback("crash")
	os.Stdout.WriteString("running\n")
	go outer(os.Args[1])
	time.Sleep(time.Hour)
}
