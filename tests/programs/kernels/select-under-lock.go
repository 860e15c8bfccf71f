// select-under-lock: a lease is awaited in a select with the lock held that both the granting and the refusing side need first.
//
//goflow:class mixed-deadlock
//goflow:expect circular-wait goroutine-leak
package main

import "sync"

type leaseManager struct {
	mu      sync.Mutex
	holders map[string]bool
	granted chan string
	refused chan error
}

func (m *leaseManager) acquire(asked chan<- bool) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	close(asked)
	select { // stuck
	case holder := <-m.granted:
		m.holders[holder] = true
		return true
	case <-m.refused:
		return false
	}
}

func (m *leaseManager) grant(holder string) {
	m.mu.Lock() // stuck
	known := m.holders[holder]
	m.mu.Unlock()
	if !known {
		m.granted <- holder
	}
}

func (m *leaseManager) refuse(err error) {
	m.mu.Lock() // stuck
	defer m.mu.Unlock()
	m.refused <- err
}

func selectUnderLock() {
	leases := &leaseManager{holders: map[string]bool{}, granted: make(chan string), refused: make(chan error)}
	asked := make(chan bool)
	go leases.acquire(asked)
	<-asked
	go leases.grant("node-1")
	go leases.refuse(nil)
	busyWorkers(1)
}

func init() { kernels["select-under-lock"] = selectUnderLock }
