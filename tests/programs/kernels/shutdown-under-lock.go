// shutdown-under-lock: Close waits for the loop to end with the lock held that the loop takes for each job.
//
//goflow:class mixed-deadlock
//goflow:expect circular-wait goroutine-leak
package main

import (
	"sync"
	"time"
)

type mailer struct {
	mu      sync.Mutex
	sent    int
	letters chan string
	quit    chan struct{}
	done    chan struct{}
}

var outgoing = mailer{letters: make(chan string, 8), quit: make(chan struct{}), done: make(chan struct{})}

func (m *mailer) loop(sending chan<- bool) {
	defer close(m.done)
	for {
		select {
		case <-m.letters:
			sending <- true
			time.Sleep(30 * time.Millisecond)
			m.mu.Lock() // stuck
			m.sent++
			m.mu.Unlock()
		case <-m.quit:
			return
		}
	}
}

func (m *mailer) Close() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	close(m.quit)
	<-m.done // stuck
	return m.sent
}

func shutdownUnderLock() {
	sending := make(chan bool)
	go outgoing.loop(sending)
	outgoing.letters <- "dear customer"
	<-sending
	go outgoing.Close()
	polledStatus(50 * time.Millisecond)
}

func init() { kernels["shutdown-under-lock"] = shutdownUnderLock }
