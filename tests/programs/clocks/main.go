// Clocks waits on a channel of each kind that time feeds, and on one like them that it does not.
//
// What one sees: "running" once all are parked, then for each line on stdin one line of JSON: for each channel its address,
// and its length and capacity as the program has them. It ends with 0 when stdin closes.
package main

import (
	"encoding/json"
	"os"
	"runtime"
	"syscall"
	"time"
	"unsafe"
)

var (
	after   = time.After(time.Hour)
	timer   = time.NewTimer(2 * time.Hour)
	ticker  = time.NewTicker(3 * time.Hour)
	stopped = time.NewTimer(4 * time.Hour)
	reset   = time.NewTimer(time.Millisecond)
	plain   = make(chan time.Time, 1)
	quick   = time.NewTicker(time.Millisecond)
	never   = make(chan int)
)

func onAfter()   { <-after }
func onTimer()   { <-timer.C }
func onTicker()  { <-ticker.C }
func onStopped() { <-stopped.C }
func onReset()   { <-reset.C }
func onPlain()   { <-plain }

// onQuick receives some ticks before it waits for the next, which is a long way off.
func onQuick() {
	for i := 0; i < 5; i++ {
		<-quick.C
	}
	quick.Reset(5 * time.Hour)
	// Where a tick waits in the buffer it is taken first.
	for {
		select {
		case <-quick.C:
		case <-never:
		}
	}
}

func main() {
	stopped.Stop()
	// It fires, nobody receives, and it is set again.
	time.Sleep(5 * time.Millisecond)
	if !reset.Stop() {
		select {
		case <-reset.C:
		default:
		}
	}
	reset.Reset(6 * time.Hour)
	for _, wait := range []func(){onAfter, onTimer, onTicker, onStopped, onReset, onPlain, onQuick} {
		go wait()
	}
	time.Sleep(200 * time.Millisecond)
	runtime.GC()
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
			answer()
		}
	}
}

type channel struct {
	Address uint64 `json:"address"`
	Len     int    `json:"len"`
	Cap     int    `json:"cap"`
}

func answer() {
	of := func(c <-chan time.Time) channel {
		return channel{uint64(uintptr(*(*unsafe.Pointer)(unsafe.Pointer(&c)))), len(c), cap(c)}
	}
	line, err := json.Marshal(map[string]channel{
		"after":   of(after),
		"timer":   of(timer.C),
		"ticker":  of(ticker.C),
		"stopped": of(stopped.C),
		"reset":   of(reset.C),
		"plain":   of(plain),
		"quick":   of(quick.C),
	})
	if err != nil {
		panic(err)
	}
	os.Stdout.Write(append(line, '\n'))
}
