// quota-error-path: a request over its quota returns without unlocking, and every later request waits for a holder that has ended.
//
//goflow:class resource-deadlock
//goflow:expect goroutine-leak
package main

import (
	"errors"
	"sync"
	"time"
)

type quota struct {
	mu   sync.Mutex
	used map[string]int
}

var errOverQuota = errors.New("over quota")

func (q *quota) charge(tenant string, amount int) error {
	q.mu.Lock() // stuck: 3
	if q.used[tenant]+amount > 10 {
		return errOverQuota
	}
	q.used[tenant] += amount
	q.mu.Unlock()
	return nil
}

func quotaErrorPath() {
	limits := &quota{used: map[string]int{}}
	over := make(chan error)
	go func() {
		limits.charge("acme", 8)
		over <- limits.charge("acme", 8)
	}()
	<-over
	for _, tenant := range []string{"acme", "globex", "initech"} {
		go limits.charge(tenant, 1)
	}
	heartbeat(100 * time.Millisecond)
}

func init() { kernels["quota-error-path"] = quotaErrorPath }
