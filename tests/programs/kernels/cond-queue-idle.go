// cond-queue-idle: consumers wait on the Cond of a queue which a web handler fills, and nobody posts just now.
//
//goflow:class correct
package main

import (
	"net/http"
	"sync"
)

type postedQueue struct {
	mu     sync.Mutex
	posted *sync.Cond
	paths  []string
}

func (q *postedQueue) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q.mu.Lock()
	q.paths = append(q.paths, r.URL.Path)
	q.mu.Unlock()
	q.posted.Signal()
}

func (q *postedQueue) consume(counts map[string]int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for {
		for len(q.paths) == 0 {
			q.posted.Wait()
		}
		counts[q.paths[0]]++
		q.paths = q.paths[1:]
	}
}

func condQueueIdle() {
	queue := &postedQueue{}
	queue.posted = sync.NewCond(&queue.mu)
	counts := map[string]int{}
	for i := 0; i < 3; i++ {
		go queue.consume(counts)
	}
	get(serve(queue) + "/order")
}

func init() { kernels["cond-queue-idle"] = condQueueIdle }
