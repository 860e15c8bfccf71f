// transaction-foreign-unlock: a transaction locks its account in the request's goroutine and unlocks it in the committer's.
//
//goflow:class misuse
//goflow:expect mutex-unlocked-by-other
package main

import (
	"sync"
	"time"
)

type ledgerAccount struct {
	mu      sync.Mutex
	balance int
}

type transaction struct {
	account *ledgerAccount
	amount  int
}

func begin(account *ledgerAccount, amount int) transaction {
	account.mu.Lock()
	return transaction{account, amount}
}

func (t transaction) commit() {
	t.account.balance += t.amount
	t.account.mu.Unlock() // here
}

func committer(transactions <-chan transaction) {
	for t := range transactions {
		time.Sleep(2 * time.Millisecond)
		t.commit()
	}
}

func transactionForeignUnlock() {
	transactions := make(chan transaction)
	account := &ledgerAccount{}
	go committer(transactions)
	for {
		transactions <- begin(account, 1)
		time.Sleep(20 * time.Millisecond)
	}
}

func init() { kernels["transaction-foreign-unlock"] = transactionForeignUnlock }
