package main

import (
	"runtime"
	"sync"
	"time"
)

// round is one pass through the script, starting with n goroutines; it returns how many it leaves parked for good.
func round(m *tally, n int) int {
	for _, step := range []func(*tally){
		receiverWaits, senderWaits, buffered, closeWakesAll, nonBlocking, selectWaits, selectDefault,
		sleeps, mutex, writerWaits, readerWaits, waitGroup, cond, nested, goexit,
	} {
		step(m)
		settled(n)
	}
	return forever(m)
}

func receiverWaits(m *tally) {
	c := m.makeChan(0)
	w := m.spawn(func(w *tally) { w.recv(c) })
	m.parked(w)
	m.send(c, 1)
	m.wakes(w)
}

func senderWaits(m *tally) {
	c := m.makeChan(0)
	w := m.spawn(func(w *tally) { w.send(c, 1) })
	m.parked(w)
	m.recv(c)
	m.wakes(w)
}

func buffered(m *tally) {
	c := m.makeChan(4)
	for i := 0; i < 4; i++ {
		m.send(c, i)
	}
	m.close(c)
	for i := 0; i < 5; i++ { // the fifth finds the channel closed
		m.recv(c)
	}
}

func closeWakesAll(m *tally) {
	c := m.makeChan(0)
	var ws []*tally
	for i := 0; i < 3; i++ {
		w := m.spawn(func(w *tally) { w.recv(c) })
		m.parked(w)
		ws = append(ws, w)
	}
	m.close(c)
	for _, w := range ws {
		m.wakes(w)
	}
}

// One case and default compile to a send or a receive that does not block, not to a select.
func nonBlocking(m *tally) {
	c := m.makeChan(1)
	for i := 0; i < 2; i++ {
		m.sends++
		select {
		case c <- i:
		default:
		}
	}
	for i := 0; i < 2; i++ {
		m.recvs++
		select {
		case <-c:
		default:
		}
	}
}

func selectWaits(m *tally) {
	a, b := m.makeChan(0), m.makeChan(0)
	w := m.spawn(func(w *tally) {
		for i := 0; i < 2; i++ {
			w.selects++
			select {
			case <-a:
			case b <- i:
			}
		}
	})
	m.parked(w)
	m.send(a, 1)
	m.wakes(w)
	m.parked(w)
	m.recv(b)
	m.wakes(w)
}

func selectDefault(m *tally) {
	a, b := m.makeChan(0), m.makeChan(0)
	m.selects++
	select {
	case <-a:
	case b <- 1:
	default:
	}
}

func sleeps(m *tally) {
	m.spawn(func(w *tally) {
		w.park("sleep")
		w.timerWoken++
		time.Sleep(time.Millisecond)
	})
}

func mutex(m *tally) {
	var mu sync.Mutex
	mu.Lock()
	w := m.spawn(func(w *tally) {
		w.mutex++
		w.semaphore++
		mu.Lock()
		mu.Unlock()
	})
	m.parked(w)
	mu.Unlock()
	m.wakes(w)
}

func writerWaits(m *tally) {
	var mu sync.RWMutex
	mu.RLock()
	w := m.spawn(func(w *tally) {
		w.rwmutex++
		w.semaphore++
		mu.Lock()
		mu.Unlock()
	})
	m.parked(w)
	mu.RUnlock()
	m.wakes(w)
}

func readerWaits(m *tally) {
	var mu sync.RWMutex
	mu.Lock() // nobody holds it
	w := m.spawn(func(w *tally) {
		w.semaphore++
		mu.RLock()
		mu.RUnlock()
	})
	m.parked(w)
	mu.Unlock()
	m.wakes(w)
}

func waitGroup(m *tally) {
	var wg sync.WaitGroup
	m.add(&wg, 1)
	w := m.spawn(func(w *tally) {
		w.waitgroup++
		w.semaphore++
		wg.Wait()
	})
	m.parked(w)
	m.done(&wg)
	m.wakes(w)
	wg.Wait() // nothing to wait for
}

func cond(m *tally) {
	c := sync.NewCond(new(sync.Mutex))
	w := m.spawn(func(w *tally) {
		c.L.Lock()
		w.cond++
		c.Wait()
		c.L.Unlock()
	})
	m.parked(w)
	c.Signal()
	m.wakes(w)
}

func nested(m *tally) {
	m.spawn(func(w *tally) {
		for i := 0; i < 2; i++ {
			w.spawn(func(*tally) {})
		}
	})
}

func goexit(m *tally) {
	m.spawn(func(*tally) { runtime.Goexit() })
}

// forever leaves two goroutines behind that nothing can wake.
func forever(m *tally) int {
	var none chan int
	for _, body := range []func(*tally){
		func(w *tally) { w.exited = false; w.recv(none) },
		func(w *tally) { w.exited = false; select {} },
	} {
		m.parked(m.spawn(body))
	}
	return 2
}
