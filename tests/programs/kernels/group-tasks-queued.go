// group-tasks-queued: workers that no group counts take tasks from a queue, and count what each task adds to it, while the caller waits.
//
//goflow:class correct
package main

import (
	"sync"
	"time"
)

type taskQueue struct {
	pending sync.WaitGroup
	mu      sync.Mutex
	queue   []int
	ended   bool
}

// push counts a task, which whoever takes it is done with.
func (c *taskQueue) push(depth int) {
	c.pending.Add(1)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.queue = append(c.queue, depth)
}

func (c *taskQueue) pop() (depth int, found, ended bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.queue) == 0 {
		return 0, false, c.ended
	}
	depth, c.queue = c.queue[0], c.queue[1:]
	return depth, true, false
}

func (c *taskQueue) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = true
}

func (c *taskQueue) work() {
	for {
		depth, found, ended := c.pop()
		if ended {
			return
		}
		if !found {
			time.Sleep(time.Millisecond)
			continue
		}
		time.Sleep(2 * time.Millisecond)
		if depth > 0 {
			c.push(depth - 1)
		}
		c.pending.Done()
	}
}

func groupTasksQueued() {
	for first := 0; ; first = 1 - first {
		c := &taskQueue{}
		if first == 0 {
			c.push(5)
		}
		for worker := 0; worker < 3; worker++ {
			go c.work()
		}
		if first == 1 {
			c.push(5)
		}
		c.pending.Wait()
		c.end()
		time.Sleep(5 * time.Millisecond)
	}
}

func init() { kernels["group-tasks-queued"] = groupTasksQueued }
