// single-flight-slow: four requests share the flight of a leader whose query takes six seconds.
//
//goflow:class correct
package main

import (
	"sync"
	"time"
)

type sharedQuery struct {
	done chan struct{}
	rows int
}

type queryGroup struct {
	mu      sync.Mutex
	queries map[string]*sharedQuery
}

func (g *queryGroup) rows(sql string, run func() int) int {
	g.mu.Lock()
	if query, running := g.queries[sql]; running {
		g.mu.Unlock()
		<-query.done
		return query.rows
	}
	query := &sharedQuery{done: make(chan struct{})}
	g.queries[sql] = query
	g.mu.Unlock()

	query.rows = run()
	close(query.done)
	g.mu.Lock()
	delete(g.queries, sql)
	g.mu.Unlock()
	return query.rows
}

func singleFlightSlow() {
	group := &queryGroup{queries: map[string]*sharedQuery{}}
	slow := func() int {
		time.Sleep(6 * time.Second)
		return 42
	}
	var requests sync.WaitGroup
	for i := 0; i < 5; i++ {
		requests.Add(1)
		go func() {
			defer requests.Done()
			group.rows("select count(*) from orders", slow)
		}()
	}
	requests.Wait()
}

func init() { kernels["single-flight-slow"] = singleFlightSlow }
