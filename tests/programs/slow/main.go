// Slow does one thing for each line on stdin, and then nothing until the next.
//
// What one sees: "waiting", then for each line one line of JSON with what was done: for "c" a goroutine was `created` that
// receives from a channel, for "x" the oldest of them was let go and has `exited`, for "m" the oldest of them was sent on to
// wait for a `mutex`. Each names the function it runs. It ends with 0 when stdin closes.
package main

import (
	"bytes"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"time"
)

type worker struct {
	goid  string
	order chan bool
	ended chan struct{}
}

var (
	lock    sync.Mutex
	workers []*worker
)

func main() {
	lock.Lock()
	syscall.Write(1, []byte("waiting\n"))
	var b [1]byte
	for {
		n, err := syscall.Read(0, b[:])
		if err == syscall.EINTR {
			continue
		}
		if n != 1 {
			return
		}
		switch b[0] {
		case 'c':
			answer("created", create())
		case 'x':
			answer("exited", release(true))
		case 'm':
			answer("mutex", release(false))
		}
	}
}

func answer(what, goid string) {
	// Whoever was told to go on is parked, or gone, by then.
	time.Sleep(20 * time.Millisecond)
	syscall.Write(1, []byte(`{"`+what+`":`+goid+"}\n"))
}

func create() string {
	w := &worker{order: make(chan bool), ended: make(chan struct{})}
	known := make(chan string)
	go work(w, known)
	w.goid = <-known
	workers = append(workers, w)
	return w.goid
}

func release(end bool) string {
	w := workers[0]
	workers = workers[1:]
	w.order <- end
	if end {
		<-w.ended
	}
	return w.goid
}

func work(w *worker, known chan<- string) {
	defer close(w.ended)
	known <- goid()
	if !<-w.order {
		lock.Lock()
	}
}

func goid() string {
	var stack [64]byte
	text := stack[:runtime.Stack(stack[:], false)]
	text = bytes.TrimPrefix(text, []byte("goroutine "))
	id, _ := strconv.Atoi(string(text[:bytes.IndexByte(text, ' ')]))
	return strconv.Itoa(id)
}
