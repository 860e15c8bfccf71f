// account-transfer: two transfers in opposite directions each hold the payer's lock and want the payee's.
//
//goflow:class resource-deadlock
//goflow:expect circular-wait
package main

import (
	"sync"
	"time"
)

type account struct {
	mu      sync.Mutex
	balance int
}

// transfer locks the payer before the payee, whichever they are.
func transfer(from, to *account, amount int, met *sync.WaitGroup) {
	from.mu.Lock()
	defer from.mu.Unlock()
	met.Done()
	met.Wait()
	to.mu.Lock() // stuck: 2
	defer to.mu.Unlock()
	from.balance -= amount
	to.balance += amount
}

func accountTransfer() {
	savings, checking := &account{balance: 100}, &account{balance: 100}
	var met sync.WaitGroup
	met.Add(2)
	go transfer(savings, checking, 10, &met)
	go transfer(checking, savings, 20, &met)
	heartbeat(50 * time.Millisecond)
}

func init() { kernels["account-transfer"] = accountTransfer }
