// Deep parks many goroutines at the bottom of known calls, each on a stack that has grown: the end of such a stack is often
// the end of what is in memory.
//
// Half of them wait in f0, called by f1 … f9, called by receive; the others in the select of choose, their first function.
package main

import (
	"runtime/debug"
	"time"
)

const goroutines = 100

var (
	never, neither = make(chan int), make(chan int)
	sink           int
)

//go:noinline
func f0() { <-never; sink++ }

//go:noinline
func f1() { f0(); sink++ }

//go:noinline
func f2() { f1(); sink++ }

//go:noinline
func f3() { f2(); sink++ }

//go:noinline
func f4() { f3(); sink++ }

//go:noinline
func f5() { f4(); sink++ }

//go:noinline
func f6() { f5(); sink++ }

//go:noinline
func f7() { f6(); sink++ }

//go:noinline
func f8() { f7(); sink++ }

//go:noinline
func f9() { f8(); sink++ }

// grow makes the stack of its goroutine 32 KiB at least.
//
//go:noinline
func grow(n int) int {
	var frame [512]byte
	frame[n%512] = 1
	if n == 0 {
		return int(frame[3])
	}
	return grow(n-1) + int(frame[n%512])
}

//go:noinline
func receive() {
	grow(60)
	f9()
	sink++
}

//go:noinline
func choose() {
	grow(60)
	select {
	case <-never:
	case <-neither:
	}
	sink++
}

func main() {
	// A collection would shrink the stacks.
	debug.SetGCPercent(-1)
	for i := 0; i < goroutines; i++ {
		go receive()
		go choose()
	}
	time.Sleep(300 * time.Millisecond)
}
