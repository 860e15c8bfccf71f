// hub-copies-then-sends: the hub copies its list of clients under the lock and sends without it, so that clients may take the lock.
//
//goflow:class correct
package main

import (
	"sync"
	"time"
)

type lineHub struct {
	mu      sync.Mutex
	clients map[int]chan string
	seen    map[int]int
}

func (h *lineHub) broadcast(line string) {
	h.mu.Lock()
	clients := make([]chan string, 0, len(h.clients))
	for _, client := range h.clients {
		clients = append(clients, client)
	}
	h.mu.Unlock()
	for _, client := range clients {
		client <- line
	}
}

func (h *lineHub) serve(id int) {
	for range h.clients[id] {
		h.mu.Lock()
		h.seen[id]++
		h.mu.Unlock()
	}
}

func hubCopiesThenSends() {
	hub := &lineHub{clients: map[int]chan string{}, seen: map[int]int{}}
	for id := 0; id < 4; id++ {
		hub.clients[id] = make(chan string)
	}
	for id := range hub.clients {
		go hub.serve(id)
	}
	for {
		hub.broadcast("hello")
		time.Sleep(10 * time.Millisecond)
	}
}

func init() { kernels["hub-copies-then-sends"] = hubCopiesThenSends }
