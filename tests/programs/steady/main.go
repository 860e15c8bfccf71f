// Steady has many goroutines that all do a little: each waits for a message of its own, and messages go round.
//
// What one sees: "running", then for each line on stdin one line of JSON with the number of messages so far. The arguments
// are the number of goroutines and that of messages a second, sent in a burst each millisecond. A message is a send, a
// wake-up, a receive and a park. It ends when stdin closes.
package main

import (
	"os"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"
)

var messages uint64 // atomic

func receive(c chan uint64) {
	for range c {
		atomic.AddUint64(&messages, 1)
	}
}

func send(channels []chan uint64, rate int) {
	start, sent := time.Now(), 0
	for range time.Tick(time.Millisecond) {
		due := int(time.Since(start).Seconds() * float64(rate))
		for ; sent < due; sent++ {
			channels[sent%len(channels)] <- uint64(sent)
		}
	}
}

func main() {
	goroutines, err := strconv.Atoi(os.Args[1])
	if err != nil {
		panic(err)
	}
	rate, err := strconv.Atoi(os.Args[2])
	if err != nil {
		panic(err)
	}
	channels := make([]chan uint64, goroutines)
	for i := range channels {
		channels[i] = make(chan uint64)
		go receive(channels[i])
	}
	go send(channels, rate)
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
			line := `{"operations":` + strconv.FormatUint(atomic.LoadUint64(&messages), 10) + "}\n"
			syscall.Write(1, []byte(line))
		}
	}
}
