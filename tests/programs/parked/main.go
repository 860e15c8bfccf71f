// Parked has a known number of goroutines in each kind of wait, and tells what it knows of them itself.
//
// What one sees: "running" once all are parked, then for each line on stdin one line of JSON: `dump`, what runtime.Stack
// says of all goroutines, and `objects`, the addresses of what they wait for. It ends with 0 when stdin closes.
package main

import (
	"context"
	"encoding/json"
	"os"
	"runtime"
	"runtime/pprof"
	"sync"
	"syscall"
	"time"
	"unsafe"
)

type order struct{ id, amount int }

var (
	sends    = make(chan order)
	full     = make(chan string, 2)
	receives = make(chan *order)
	selected = make(chan int)
	selects  = make(chan int)
	ticks    = time.NewTicker(time.Hour)

	mutex   sync.Mutex
	read    sync.RWMutex
	written sync.RWMutex
	group   sync.WaitGroup
	cond    = sync.NewCond(&sync.Mutex{})
	pipe    *os.File

	descriptor int
)

func sendUnbuffered() { sends <- order{} }
func sendFull()       { full <- "three" }
func receive()        { <-receives }
func receiveNil()     { <-(chan int)(nil) }
func sendNil()        { (chan int)(nil) <- 1 }
func tick()           { <-ticks.C }
func sleep()          { time.Sleep(time.Hour) }
func lock()           { mutex.Lock() }
func lockRead()       { written.RLock() }
func lockWrite()      { read.Lock() }
func waitGroup()      { group.Wait() }
func selectNothing()  { select {} }

func selectTwo() {
	select {
	case <-selected:
	case selects <- 1:
	}
}

func waitCond() {
	cond.L.Lock()
	cond.Wait()
}

func readPipe() {
	var b [1]byte
	pipe.Read(b[:])
}

func locked() {
	runtime.LockOSThread()
	<-receives
}

func labelled() {
	pprof.Do(context.Background(), pprof.Labels("tenant", "blue", "job", "nightly"), func(context.Context) {
		<-receives
	})
}

// recurse has a stack of some kilobytes below its wait.
func recurse(depth int) int {
	var pad [64]byte
	if depth == 0 {
		<-receives
		return 0
	}
	return recurse(depth-1) + int(pad[depth%64])
}

func deep() { recurse(40) }

func start(count int, wait func()) {
	for i := 0; i < count; i++ {
		go wait()
	}
}

func main() {
	full <- "one"
	full <- "two"
	mutex.Lock()
	written.Lock()
	read.RLock()
	group.Add(1)
	var ends [2]int
	if err := syscall.Pipe(ends[:]); err != nil {
		panic(err)
	}
	// os.File.Fd would take the descriptor away from the poller.
	descriptor = ends[0]
	syscall.SetNonblock(descriptor, true)
	pipe = os.NewFile(uintptr(descriptor), "pipe")
	start(3, sendUnbuffered)
	start(2, sendFull)
	start(4, receive)
	start(1, receiveNil)
	start(1, sendNil)
	start(1, tick)
	start(2, sleep)
	start(3, lock)
	start(2, lockRead)
	start(2, lockWrite)
	start(2, waitGroup)
	start(3, waitCond)
	start(2, selectTwo)
	start(1, selectNothing)
	start(2, readPipe)
	start(1, locked)
	start(1, labelled)
	start(1, deep)
	// Without work for the scheduler everybody gets to where it waits.
	time.Sleep(200 * time.Millisecond)
	runtime.GC()
	time.Sleep(50 * time.Millisecond)
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

func answer() {
	buffer := make([]byte, 1<<20)
	dump := string(buffer[:runtime.Stack(buffer, true)])
	line, err := json.Marshal(map[string]any{"dump": dump, "objects": objects()})
	if err != nil {
		panic(err)
	}
	os.Stdout.Write(append(line, '\n'))
}

func objects() map[string]uint64 {
	address := func(p unsafe.Pointer) uint64 { return uint64(uintptr(p)) }
	return map[string]uint64{
		"sends":    address(*(*unsafe.Pointer)(unsafe.Pointer(&sends))),
		"full":     address(*(*unsafe.Pointer)(unsafe.Pointer(&full))),
		"receives": address(*(*unsafe.Pointer)(unsafe.Pointer(&receives))),
		"selected": address(*(*unsafe.Pointer)(unsafe.Pointer(&selected))),
		"selects":  address(*(*unsafe.Pointer)(unsafe.Pointer(&selects))),
		"ticks":    address(*(*unsafe.Pointer)(unsafe.Pointer(&ticks.C))),
		"mutex":    address(unsafe.Pointer(&mutex)),
		"read":     address(unsafe.Pointer(&read)),
		"written":  address(unsafe.Pointer(&written)),
		"group":    address(unsafe.Pointer(&group)),
		"cond":     address(unsafe.Pointer(cond)),
		"pipe":     uint64(descriptor),
	}
}
