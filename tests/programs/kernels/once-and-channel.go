// once-and-channel: the client's sync.Once waits for its dialer, and the dialer asks for the client through the same Once.
//
//goflow:class mixed-deadlock
//goflow:expect circular-wait goroutine-leak deadlock
package main

import "sync"

type rpcClient struct {
	addresses chan string
	address   string
}

var (
	clientOnce   sync.Once
	sharedClient *rpcClient
)

func client() *rpcClient {
	clientOnce.Do(func() { // stuck
		c := &rpcClient{addresses: make(chan string)}
		go resolve(c.addresses)
		c.address = <-c.addresses // stuck
		sharedClient = c
	})
	return sharedClient
}

// resolve finds the server, and prefers the one that the client had before.
func resolve(found chan<- string) {
	address := "10.0.0.1:7000"
	if previous := client(); previous != nil && previous.address != "" {
		address = previous.address
	}
	found <- address
}

func onceAndChannel() {
	client()
}

func init() { kernels["once-and-channel"] = onceAndChannel }
