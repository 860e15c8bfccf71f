// registry-reread: a reader reads again in a helper after a writer has queued, so that reader and writer wait for each other.
//
//goflow:class resource-deadlock
//goflow:expect circular-wait deadlock
package main

import (
	"sync"
	"time"
)

type serviceRegistry struct {
	mu        sync.RWMutex
	addresses map[string][]string
}

func (r *serviceRegistry) addressesOf(service string) []string {
	r.mu.RLock() // stuck
	defer r.mu.RUnlock()
	return r.addresses[service]
}

func (r *serviceRegistry) export(begun chan<- bool) map[string]int {
	r.mu.RLock()
	defer r.mu.RUnlock()
	close(begun)
	time.Sleep(100 * time.Millisecond)
	counts := map[string]int{}
	for service := range r.addresses {
		counts[service] = len(r.addressesOf(service))
	}
	return counts
}

func (r *serviceRegistry) register(service, address string) {
	r.mu.Lock() // stuck
	defer r.mu.Unlock()
	r.addresses[service] = append(r.addresses[service], address)
}

func registryReread() {
	registry := &serviceRegistry{addresses: map[string][]string{"billing": {"10.0.0.1"}}}
	begun := make(chan bool)
	go registry.export(begun)
	<-begun
	registry.register("billing", "10.0.0.2")
}

func init() { kernels["registry-reread"] = registryReread }
