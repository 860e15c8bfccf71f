// main-select-forever: main keeps the process alive with an empty select, while a web server and its client are at work.
//
//goflow:class correct
package main

import (
	"net/http"
	"sync/atomic"
	"time"
)

type hitCounter struct{ hits int64 }

func (c *hitCounter) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	atomic.AddInt64(&c.hits, 1)
	w.WriteHeader(http.StatusNoContent)
}

func mainSelectForever() {
	url := serve(&hitCounter{})
	go func() {
		for range time.Tick(50 * time.Millisecond) {
			get(url)
		}
	}()
	select {}
}

func init() { kernels["main-select-forever"] = mainSelectForever }
