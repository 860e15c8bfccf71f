// route-two-upgraders: two readers of a routing table both turn to writing, and each waits for the other to stop reading.
//
//goflow:class resource-deadlock
//goflow:expect circular-wait
package main

import (
	"sync"
	"time"
)

var routes = struct {
	sync.RWMutex
	next map[string]string
}{next: map[string]string{}}

// learn adds a route that nobody knows yet.
func learn(host, via string, reading *sync.WaitGroup) {
	routes.RLock()
	_, known := routes.next[host]
	reading.Done()
	reading.Wait()
	if !known {
		routes.Lock() // stuck: 2
		routes.next[host] = via
		routes.Unlock()
	}
	routes.RUnlock()
}

func routeTwoUpgraders() {
	reading := new(sync.WaitGroup)
	reading.Add(2)
	for _, via := range []string{"eth0", "eth1"} {
		go learn("10.0.0.7", via, reading)
	}
	heartbeat(20 * time.Millisecond)
}

func init() { kernels["route-two-upgraders"] = routeTwoUpgraders }
