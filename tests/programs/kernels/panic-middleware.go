// panic-middleware: a handler panics with the lock held, the middleware recovers, and later requests wait for a holder that has ended.
//
//goflow:class resource-deadlock
//goflow:expect goroutine-leak
package main

import (
	"net/http"
	"sync"
)

type visitCounter struct {
	mu     sync.Mutex
	visits map[string]int
}

func (c *visitCounter) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock() // stuck: 2
	c.visits[r.URL.Path]++
	if r.URL.Path == "/broken" {
		panic("no template for this page")
	}
	c.mu.Unlock()
}

func recovering(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			if recover() != nil {
				w.WriteHeader(http.StatusInternalServerError)
			}
		}()
		next.ServeHTTP(w, r)
	})
}

func panicMiddleware() {
	url := serve(recovering(&visitCounter{visits: map[string]int{}}))
	get(url + "/home")
	get(url + "/broken")
	go get(url + "/home")
	get(url + "/about")
}

func init() { kernels["panic-middleware"] = panicMiddleware }
