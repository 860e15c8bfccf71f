// locks-taken-out-of-sight: workers unlock a mutex that they have locked through its condition, through a function that gives it back
// only where it fails, and through a function that they were handed.
//
//goflow:class correct
package main

import (
	"errors"
	"sync"
	"time"
)

type depot struct {
	mu    sync.Mutex
	cond  *sync.Cond
	goods int
}

func (d *depot) work() {
	d.goods++
	time.Sleep(200 * time.Millisecond)
}

func (d *depot) byCondition() {
	for {
		d.cond.L.Lock()
		d.work()
		d.mu.Unlock()
		time.Sleep(10 * time.Millisecond)
	}
}

// acquire has the lock unless it returns an error.
func (d *depot) acquire() (err error) {
	d.mu.Lock()
	defer func() {
		if err != nil {
			d.mu.Unlock()
		}
	}()
	if d.goods < 0 {
		return errors.New("closed")
	}
	return nil
}

func (d *depot) byAcquire() {
	for {
		if d.acquire() == nil {
			d.work()
			d.mu.Unlock()
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func (d *depot) byFunction(lock func()) {
	for {
		lock()
		d.work()
		d.mu.Unlock()
		time.Sleep(10 * time.Millisecond)
	}
}

func locksTakenOutOfSight() {
	d := &depot{}
	d.cond = sync.NewCond(&d.mu)
	go d.byCondition()
	go d.byAcquire()
	go d.byFunction(d.mu.Lock)
	heartbeat(50 * time.Millisecond)
	select {}
}

func init() { kernels["locks-taken-out-of-sight"] = locksTakenOutOfSight }
