// hub-send-under-lock: the hub sends to a client with its lock held, and the client takes that lock before it reads on.
//
//goflow:class mixed-deadlock
//goflow:expect circular-wait goroutine-leak
package main

import (
	"sync"
	"time"
)

type chatClient struct {
	name  string
	lines chan string
}

type chatHub struct {
	mu      sync.Mutex
	clients []*chatClient
	seen    map[string]int
}

func (h *chatHub) broadcast(line string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, client := range h.clients {
		client.lines <- line // stuck
	}
}

func (h *chatHub) serve(client *chatClient) {
	for range client.lines {
		h.mu.Lock() // stuck
		h.seen[client.name]++
		h.mu.Unlock()
	}
}

func hubSendUnderLock() {
	hub := &chatHub{seen: map[string]int{}}
	client := &chatClient{name: "alice", lines: make(chan string)}
	hub.clients = append(hub.clients, client, client) // joined twice, from two windows
	go hub.serve(client)
	go hub.broadcast("hello")
	heartbeat(50 * time.Millisecond)
}

func init() { kernels["hub-send-under-lock"] = hubSendUnderLock }
