// pool-get-under-lock: Get waits for a free connection with the pool's lock held, and Put takes the lock before it frees one.
//
//goflow:class mixed-deadlock
//goflow:expect circular-wait goroutine-leak
package main

import (
	"sync"
	"time"
)

type dbConn struct{ queries int }

type connPool struct {
	mu   sync.Mutex
	free chan *dbConn
	gets int
}

func (p *connPool) Get() *dbConn {
	p.mu.Lock() // stuck: 2
	defer p.mu.Unlock()
	p.gets++
	return <-p.free // stuck
}

func (p *connPool) Put(c *dbConn) {
	p.mu.Lock() // stuck
	defer p.mu.Unlock()
	c.queries++
	p.free <- c
}

func poolGetUnderLock() {
	pool := &connPool{free: make(chan *dbConn, 1)}
	pool.free <- &dbConn{}
	got := make(chan bool)
	go func() {
		conn := pool.Get()
		close(got)
		time.Sleep(60 * time.Millisecond)
		pool.Put(conn)
	}()
	<-got
	for i := 0; i < 3; i++ {
		go func() { pool.Put(pool.Get()) }()
	}
	polledStatus(25 * time.Millisecond)
}

func init() { kernels["pool-get-under-lock"] = poolGetUnderLock }
