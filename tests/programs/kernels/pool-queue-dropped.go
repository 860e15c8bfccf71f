// pool-queue-dropped: a resize replaces the pool with a larger one, and the workers of the old one wait on a queue that is gone.
//
//goflow:class leak
//goflow:expect goroutine-leak channel-not-closed
package main

import (
	"sync"
	"time"
)

type thumbnailPool struct {
	queue   chan string
	pending sync.WaitGroup
}

func newThumbnailPool(workers int) *thumbnailPool {
	pool := &thumbnailPool{queue: make(chan string, 16)}
	for i := 0; i < workers; i++ {
		go pool.work()
	}
	return pool
}

func (p *thumbnailPool) work() {
	for range p.queue { // stuck: 4
		p.pending.Done()
	}
}

func (p *thumbnailPool) submit(images ...string) {
	p.pending.Add(len(images))
	for _, image := range images {
		p.queue <- image
	}
}

func poolQueueDropped() {
	pool := newThumbnailPool(4)
	pool.submit("a.png", "b.png", "c.png")
	pool.pending.Wait()
	pool = nil // no longer used: thumbnails are made elsewhere now
	busyWorkers(4)
	heartbeat(100 * time.Millisecond)
}

func init() { kernels["pool-queue-dropped"] = poolQueueDropped }
