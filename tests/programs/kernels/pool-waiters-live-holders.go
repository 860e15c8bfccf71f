// pool-waiters-live-holders: six queries wait for the two connections of a pool, whose holders take three seconds each.
//
//goflow:class correct
package main

import (
	"sync"
	"time"
)

type pooledConn struct{ queries int }

type waitingPool struct {
	mu   sync.Mutex
	made int
	free chan *pooledConn
}

func (p *waitingPool) get() *pooledConn {
	p.mu.Lock()
	if p.made < cap(p.free) {
		p.made++
		p.mu.Unlock()
		return &pooledConn{}
	}
	p.mu.Unlock()
	return <-p.free
}

func (p *waitingPool) put(conn *pooledConn) {
	conn.queries++
	p.free <- conn
}

func poolWaitersLiveHolders() {
	pool := &waitingPool{free: make(chan *pooledConn, 2)}
	for i := 0; i < 6; i++ {
		go func() {
			for {
				conn := pool.get()
				time.Sleep(3 * time.Second)
				pool.put(conn)
				time.Sleep(10 * time.Second)
			}
		}()
	}
}

func init() { kernels["pool-waiters-live-holders"] = poolWaitersLiveHolders }
