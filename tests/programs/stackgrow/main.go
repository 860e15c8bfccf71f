// Stackgrow makes goroutine stacks grow inside the very operations that goflow probes: each operation is called from
// fresh goroutines at every recursion depth up to a few pages, so that for some depths the stack runs out exactly in
// the probed function, which then starts again on a larger stack.
//
// What one sees: "waiting", then after a line on stdin one line of JSON: how often each operation was called, and how
// often the caller's frame had moved when it returned ("grown": a stack did grow inside). A tracer that counts a
// restarted function twice counts more operations than were called. It lives until stdin closes.
package main

import (
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"
)

// Recursion depths, of some 50 bytes and more each: past the 2, 4 and 8 KiB boundaries.
const depths = 200

type operation int

const (
	send operation = iota
	receive
	closeChan
	makeChan
	selectTwo
	lockWriter
	waitGroup
	sleep
	operations
)

var names = [operations]string{
	"chan_send", "chan_recv", "chan_close", "chan_make", "select", "rwmutex", "waitgroup", "park",
}

func main() {
	syscall.Write(1, []byte("waiting\n"))
	line := make([]byte, 64)
	if n, _ := syscall.Read(0, line); n <= 0 {
		os.Exit(3)
	}
	syscall.Write(1, run())
	for {
		if n, err := syscall.Read(0, line); n <= 0 && err != syscall.EINTR {
			return
		}
	}
}

func run() []byte {
	calls, grown := []byte(`{"calls":{`), []byte(`},"grown":{`)
	for op, name := range names {
		moved := 0
		for depth := 0; depth < depths; depth++ {
			for _, dive := range []func(int, operation, *subject) bool{dive, diveWide, diveWider} {
				if onNewStack(dive, depth, operation(op)) {
					moved++
				}
			}
		}
		if op > 0 {
			calls, grown = append(calls, ','), append(grown, ',')
		}
		calls = append(calls, strconv.Quote(name)+":"+strconv.Itoa(3*depths)...)
		grown = append(grown, strconv.Quote(name)+":"+strconv.Itoa(moved)...)
	}
	return append(append(calls, grown...), "}}\n"...)
}

// A subject is what the operations operate on, prepared so that none of them blocks.
type subject struct {
	c    chan int
	mu   sync.RWMutex
	wg   sync.WaitGroup
	done int32 // atomic
}

// onNewStack runs one dive on a goroutine of its own and waits for it without any operation that goflow probes.
// For send, close and receive the channels are made here: run counts only the operation in question.
func onNewStack(dive func(int, operation, *subject) bool, depth int, op operation) bool {
	s := &subject{}
	switch op {
	case send, closeChan, selectTwo:
		s.c = make(chan int, 1)
	case receive:
		s.c = make(chan int)
		close(s.c)
	}
	moved := false
	go func() {
		moved = dive(depth, op, s)
		atomic.StoreInt32(&s.done, 1)
	}()
	for atomic.LoadInt32(&s.done) == 0 {
		ts := syscall.Timespec{Nsec: 10_000}
		_ = syscall.Nanosleep(&ts, nil)
	}
	return moved
}

//go:noinline
func dive(depth int, op operation, s *subject) bool {
	if depth > 0 {
		return dive(depth-1, op, s)
	}
	return operate(op, s)
}

// The same with other frame sizes, so that other depths meet a boundary.

//go:noinline
func diveWide(depth int, op operation, s *subject) bool {
	var pad [3]int
	pad[depth%3] = depth
	if depth > 0 {
		return diveWide(depth-1, op, s) || pad[(depth+1)%3] != 0
	}
	return operate(op, s)
}

//go:noinline
func diveWider(depth int, op operation, s *subject) bool {
	var pad [7]int
	pad[depth%7] = depth
	if depth > 0 {
		return diveWider(depth-1, op, s) || pad[(depth+1)%7] != 0
	}
	return operate(op, s)
}

// operate says whether its own frame moved during the operation.
//
//go:noinline
func operate(op operation, s *subject) bool {
	var mark byte
	before := uintptr(unsafe.Pointer(&mark))
	switch op {
	case send:
		s.c <- 1
	case receive:
		<-s.c
	case closeChan:
		close(s.c)
	case makeChan:
		s.c = make(chan int, 1)
	case selectTwo:
		select {
		case s.c <- 1:
		case <-s.c:
		}
	case lockWriter:
		s.mu.Lock()
	case waitGroup:
		s.wg.Wait()
	case sleep:
		time.Sleep(time.Microsecond)
	}
	return uintptr(unsafe.Pointer(&mark)) != before
}
