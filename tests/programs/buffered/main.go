// Buffered sends to a channel with room and receives from it at once, in one goroutine that never parks.
//
// What one sees: "running", then for each line on stdin one line of JSON with the number of sends so far (and as many
// receives). Each is exactly one hit of one probe, which makes it the program to measure a probe with. It ends when
// stdin closes.
package main

import (
	"strconv"
	"sync/atomic"
	"syscall"
)

var sends uint64 // atomic

func main() {
	go func() {
		c := make(chan uint64, 1)
		for n := uint64(1); ; n++ {
			c <- n
			<-c
			atomic.StoreUint64(&sends, n)
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
			line := `{"operations":` + strconv.FormatUint(atomic.LoadUint64(&sends), 10) + "}\n"
			syscall.Write(1, []byte(line))
		}
	}
}
