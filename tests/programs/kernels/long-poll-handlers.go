// long-poll-handlers: web handlers wait for the next event or half a minute, and no event comes yet.
//
//goflow:class correct
package main

import (
	"net/http"
	"sync"
	"time"
)

type eventPage struct {
	mu   sync.Mutex
	next chan struct{}
}

func (p *eventPage) waitFor() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.next
}

func (p *eventPage) happen() {
	p.mu.Lock()
	defer p.mu.Unlock()
	close(p.next)
	p.next = make(chan struct{})
}

func (p *eventPage) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodPost {
		p.happen()
		return
	}
	select {
	case <-p.waitFor():
		w.WriteHeader(http.StatusOK)
	case <-time.After(30 * time.Second):
		w.WriteHeader(http.StatusNoContent)
	case <-r.Context().Done():
	}
}

func longPollHandlers() {
	url := serve(&eventPage{next: make(chan struct{})})
	for i := 0; i < 3; i++ {
		go func() {
			for {
				if response, err := http.Get(url); err == nil {
					response.Body.Close()
				}
			}
		}()
	}
}

func init() { kernels["long-poll-handlers"] = longPollHandlers }
