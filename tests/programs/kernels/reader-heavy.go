// reader-heavy: many readers and a rare writer share an RWMutex, and each is soon done with it.
//
//goflow:class correct
package main

import (
	"sync"
	"sync/atomic"
	"time"
)

type exchangeRates struct {
	sync.RWMutex
	rates map[string]int
	reads int64
}

func (e *exchangeRates) rate(currency string) int {
	e.RLock()
	defer e.RUnlock()
	atomic.AddInt64(&e.reads, 1)
	return e.rates[currency]
}

func (e *exchangeRates) set(currency string, rate int) {
	e.Lock()
	defer e.Unlock()
	e.rates[currency] = rate
}

func readerHeavy() {
	rates := &exchangeRates{rates: map[string]int{"EUR": 100, "USD": 110}}
	for i := 0; i < 10; i++ {
		go func() {
			for {
				rates.rate("USD")
				time.Sleep(3 * time.Millisecond)
			}
		}()
	}
	for rate := 110; ; rate++ {
		rates.set("USD", rate)
		time.Sleep(100 * time.Millisecond)
	}
}

func init() { kernels["reader-heavy"] = readerHeavy }
