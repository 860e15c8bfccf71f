// Counts runs a fixed script of goroutine, channel, select and sync operations and then prints, as one line of JSON,
// exactly what each of its goroutines did.
//
// What one sees: "waiting" on stdout, then nothing until a line arrives on stdin (so that a tracer can attach), then
// the script (a few milliseconds a round; the number of rounds is the only argument), the JSON line, and silence until
// stdin closes.
//
// Why the counts are exact: no operation races with another. Whoever is to block is watched in the runtime's own
// traceback until it is parked, and only then does its counterpart act; the wait reason that is reported is the text
// the traceback showed. The main goroutine itself never parks. It allocates far less than one GC cycle's worth.
//
// The one thing not scripted: the tracebacks stop the world, which takes a runtime semaphore on the main goroutine, so
// that goroutine reports no count of semaphores.
package main

import (
	"os"
	"strconv"
	"syscall"
)

func main() {
	rounds := 3
	if len(os.Args) > 1 {
		rounds, _ = strconv.Atoi(os.Args[1])
	}
	write([]byte("waiting\n"))
	if !readLine() {
		os.Exit(3)
	}
	m := &tally{goid: 1, observer: true}
	m.identify()
	idle := numGoroutine()
	for i := 0; i < rounds; i++ {
		idle += round(m, idle)
	}
	write(report(m))
	for readLine() {
	}
}

// readLine blocks in read(2), which parks no goroutine; false at the end of the input.
func readLine() bool {
	var b [1]byte
	for {
		n, err := syscall.Read(0, b[:])
		if err == syscall.EINTR {
			continue
		}
		if n != 1 {
			return false
		}
		if b[0] == '\n' {
			return true
		}
	}
}

func write(b []byte) {
	for len(b) > 0 {
		n, err := syscall.Write(1, b)
		if err == syscall.EINTR {
			continue
		}
		if err != nil {
			os.Exit(4)
		}
		b = b[n:]
	}
}
