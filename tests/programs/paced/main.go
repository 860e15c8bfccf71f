// Paced does some work of its own for each message: it sends to a channel with room, receives from it at once, in one
// goroutine that never parks, and then counts for as long as its argument says.
//
// What one sees: "running", then for each line feed on stdin one line of JSON with the number of sends so far (and as many
// receives). The argument is how far it counts between two messages: about as many nanoseconds. So a probe on either
// takes a share of its time that one can choose. Of several arguments the first holds until an 'n' comes on stdin, which is
// answered as a line feed is, then the next. It ends when stdin closes.
package main

import (
	"os"
	"strconv"
	"sync/atomic"
	"syscall"
)

var sends, rounds uint64 // atomic

//go:noinline
func work(rounds uint64) (sum uint64) {
	for n := uint64(0); n < rounds; n++ {
		sum = sum*3 + n
	}
	return sum
}

func main() {
	paces := os.Args[1:]
	next := func() {
		pace, err := strconv.ParseUint(paces[0], 10, 64)
		if err != nil {
			panic(err)
		}
		atomic.StoreUint64(&rounds, pace)
		paces = paces[1:]
	}
	next()
	go func() {
		c := make(chan uint64, 1)
		sum := uint64(0)
		for n := uint64(1); ; n++ {
			c <- n
			sum += <-c + work(atomic.LoadUint64(&rounds))
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
		if b[0] == 'n' {
			next()
		}
		if b[0] == '\n' || b[0] == 'n' {
			line := `{"operations":` + strconv.FormatUint(atomic.LoadUint64(&sends), 10) + "}\n"
			syscall.Write(1, []byte(line))
		}
	}
}
