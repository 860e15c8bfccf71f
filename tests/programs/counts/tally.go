package main

import (
	"bytes"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
)

// A tally is what one goroutine did. Only that goroutine writes to it while it runs, and the observer while it is
// parked or gone, which the observer knows from the runtime, with the world stopped. (The race detector cannot see
// that order; a channel or a lock that would show it to it would have to be counted.)
type tally struct {
	goid      int64 // atomic: 0 until the goroutine has started
	parent    int64
	createdBy string // function with the go statement, as the traceback spells it; empty for main
	createdAt string // file:line of the go statement
	observer  bool
	exited    bool

	creates, makes, sends, recvs, closes, selects int
	semaphore, mutex, rwmutex, waitgroup, cond    int
	waitgroupAdds                                 int
	readies, woken, timerWoken                    int
	parks                                         []park
	children                                      []*tally
}

type park struct {
	reason string
	count  int
}

// spawn starts body on a goroutine of its own.
//
//go:noinline
func (t *tally) spawn(body func(*tally)) *tally {
	w := &tally{parent: atomic.LoadInt64(&t.goid)}
	t.children = append(t.children, w)
	t.creates++
	go w.run(body)
	return w
}

func (t *tally) run(body func(*tally)) {
	t.identify()
	t.exited = true // before the fact: whoever never returns from body clears it
	body(t)
}

// identify reads the goroutine's id and creation site from its own traceback, which stops nobody.
func (t *tally) identify() {
	buf := make([]byte, 8192)
	trace := buf[:runtime.Stack(buf, false)]
	if i := bytes.Index(trace, []byte("created by ")); i >= 0 {
		lines := bytes.Split(trace[i+len("created by "):], []byte("\n"))
		t.createdBy = string(cut(lines[0], " in goroutine "))
		t.createdAt = string(cut(bytes.TrimSpace(lines[1]), " +0x"))
	}
	id := cut(bytes.TrimPrefix(trace, []byte("goroutine ")), " ")
	goid, err := strconv.ParseInt(string(id), 10, 64)
	if err != nil {
		panic("no goroutine id in the traceback: " + string(trace))
	}
	atomic.StoreInt64(&t.goid, goid)
}

// cut is what stands before the first sep.
func cut(b []byte, sep string) []byte {
	if i := bytes.Index(b, []byte(sep)); i >= 0 {
		return b[:i]
	}
	return b
}

var traceback = make([]byte, 1<<18)

// parked spins until w is parked and notes the reason that the runtime gives.
func (t *tally) parked(w *tally) {
	for {
		if goid := atomic.LoadInt64(&w.goid); goid != 0 {
			all := traceback[:runtime.Stack(traceback, true)]
			header := []byte("goroutine " + strconv.FormatInt(goid, 10) + " [")
			if i := bytes.Index(all, header); i >= 0 {
				state := string(cut(cut(all[i+len(header):], "]"), ","))
				if state != "running" && state != "runnable" && state != "syscall" && state != "preempted" {
					w.park(state)
					return
				}
			}
		}
		pause()
	}
}

func (t *tally) park(reason string) {
	for i := range t.parks {
		if t.parks[i].reason == reason {
			t.parks[i].count++
			return
		}
	}
	t.parks = append(t.parks, park{reason, 1})
}

// wakes notes that t has just made w runnable.
func (t *tally) wakes(w *tally) {
	t.readies++
	w.woken++
}

// settled spins until only n goroutines are left: the others have gone through the runtime's exit.
func settled(n int) {
	for numGoroutine() != n {
		pause()
	}
}

func numGoroutine() int { return runtime.NumGoroutine() }

// pause gives the CPU away without parking the goroutine.
func pause() {
	ts := syscall.Timespec{Nsec: 20_000}
	_ = syscall.Nanosleep(&ts, nil)
}

// The operations; each counts first, because goflow counts an operation when it is called.

func (t *tally) makeChan(n int) chan int { t.makes++; return make(chan int, n) }
func (t *tally) send(c chan int, v int)  { t.sends++; c <- v }
func (t *tally) recv(c chan int) int     { t.recvs++; return <-c }
func (t *tally) close(c chan int)        { t.closes++; close(c) }

func (t *tally) add(wg *sync.WaitGroup, n int) { t.waitgroupAdds++; wg.Add(n) }

// done counts as an addition, which it is of -1.
func (t *tally) done(wg *sync.WaitGroup) { t.waitgroupAdds++; wg.Done() }

// report is every goroutine as JSON, main first.
func report(m *tally) []byte {
	out := []byte(`{"go":` + strconv.Quote(runtime.Version()) + `,"cgo":` + strconv.FormatBool(callC() == 42) +
		`,"goroutines":[`)
	out = m.appendJSON(out)
	return append(out, "]}\n"...)
}

func (t *tally) appendJSON(out []byte) []byte {
	number := func(name string, n int64) {
		out = append(out, `,"`+name+`":`...)
		out = strconv.AppendInt(out, n, 10)
	}
	out = append(out, `{"goid":`...)
	out = strconv.AppendInt(out, t.goid, 10)
	number("parent", t.parent)
	out = append(out, `,"created_by":`+strconv.Quote(t.createdBy)+`,"created_at":`+strconv.Quote(t.createdAt)...)
	out = append(out, `,"exited":`+strconv.FormatBool(t.exited)...)
	number("goroutine_create", int64(t.creates))
	number("chan_make", int64(t.makes))
	number("chan_send", int64(t.sends))
	number("chan_recv", int64(t.recvs))
	number("chan_close", int64(t.closes))
	number("select", int64(t.selects))
	if !t.observer {
		number("semaphore", int64(t.semaphore))
	}
	number("mutex", int64(t.mutex))
	number("rwmutex", int64(t.rwmutex))
	number("waitgroup", int64(t.waitgroup))
	number("waitgroup_add", int64(t.waitgroupAdds))
	number("cond", int64(t.cond))
	number("readies", int64(t.readies))
	number("woken", int64(t.woken))
	number("timer_woken", int64(t.timerWoken))
	out = append(out, `,"parks":{`...)
	for i, p := range t.parks {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(out, strconv.Quote(p.reason)+":"+strconv.Itoa(p.count)...)
	}
	out = append(out, "}}"...)
	for _, w := range t.children {
		out = append(out, ',')
		out = w.appendJSON(out)
	}
	return out
}
