// lock-over-live-reply: a register holds its lock while it waits for a slow terminal, which does not need the lock.
//
//goflow:class correct
package main

import (
	"sync"
	"time"
)

type cardTerminal struct{ amounts, approved chan int }

func (t *cardTerminal) run() {
	for amount := range t.amounts {
		time.Sleep(3 * time.Second)
		t.approved <- amount
	}
}

type cashRegister struct {
	mu       sync.Mutex
	terminal *cardTerminal
	total    int
}

func (r *cashRegister) charge(amount int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.terminal.amounts <- amount
	r.total += <-r.terminal.approved
}

func lockOverLiveReply() {
	terminal := &cardTerminal{make(chan int), make(chan int)}
	go terminal.run()
	register := &cashRegister{terminal: terminal}
	for cashier := 1; cashier <= 2; cashier++ {
		go func(cashier int) {
			for {
				register.charge(cashier * 10)
				time.Sleep(30 * time.Second)
			}
		}(cashier)
	}
}

func init() { kernels["lock-over-live-reply"] = lockOverLiveReply }
