// cancel-needs-lock: a task waits for its context to end with the scheduler's lock held, which whoever cancels it has to take.
//
//goflow:class mixed-deadlock
//goflow:expect circular-wait goroutine-leak
package main

import (
	"context"
	"sync"
	"time"
)

type taskScheduler struct {
	mu      sync.Mutex
	cancels map[string]context.CancelFunc
	ended   []string
}

func (s *taskScheduler) start(name string) {
	ctx, cancel := context.WithCancel(context.Background())
	s.mu.Lock()
	s.cancels[name] = cancel
	s.mu.Unlock()
	go s.await(ctx, name)
}

func (s *taskScheduler) await(ctx context.Context, name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	<-ctx.Done() // stuck
	s.ended = append(s.ended, name)
}

func (s *taskScheduler) stop(name string) {
	s.mu.Lock() // stuck
	defer s.mu.Unlock()
	s.cancels[name]()
	delete(s.cancels, name)
}

func cancelNeedsLock() {
	scheduler := &taskScheduler{cancels: map[string]context.CancelFunc{}}
	scheduler.start("backup")
	time.Sleep(100 * time.Millisecond)
	go scheduler.stop("backup")
	busyWorkers(2)
}

func init() { kernels["cancel-needs-lock"] = cancelNeedsLock }
