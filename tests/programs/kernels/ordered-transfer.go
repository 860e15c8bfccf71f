// ordered-transfer: transfers run in all directions under load, and always lock the account with the lower number first.
//
//goflow:class correct
package main

import (
	"sync"
	"time"
)

type orderedAccount struct {
	number  int
	mu      sync.Mutex
	balance int
}

func orderedMove(from, to *orderedAccount, amount int) {
	first, second := from, to
	if second.number < first.number {
		first, second = second, first
	}
	first.mu.Lock()
	defer first.mu.Unlock()
	second.mu.Lock()
	defer second.mu.Unlock()
	time.Sleep(time.Millisecond)
	from.balance -= amount
	to.balance += amount
}

func orderedTransfer() {
	var accounts []*orderedAccount
	for number := 0; number < 4; number++ {
		accounts = append(accounts, &orderedAccount{number: number, balance: 100})
	}
	for i := range accounts {
		go func(i int) {
			for round := 0; ; round++ {
				from, to := accounts[i], accounts[(i+1+round%3)%4]
				orderedMove(from, to, 1)
				time.Sleep(3 * time.Millisecond)
			}
		}(i)
	}
}

func init() { kernels["ordered-transfer"] = orderedTransfer }
