// wait-before-close: the importer waits for its writers before it closes the channel that they range over.
//
//goflow:class communication-deadlock
//goflow:expect circular-wait goroutine-leak channel-not-closed deadlock
package main

import "sync"

type importer struct {
	rows    chan string
	writers sync.WaitGroup
	mu      sync.Mutex
	written []string
}

func (i *importer) write() {
	defer i.writers.Done()
	for row := range i.rows { // stuck: 3
		i.mu.Lock()
		i.written = append(i.written, row)
		i.mu.Unlock()
	}
}

func (i *importer) run(rows []string) int {
	for n := 0; n < 3; n++ {
		i.writers.Add(1)
		go i.write()
	}
	for _, row := range rows {
		i.rows <- row
	}
	i.writers.Wait() // stuck
	close(i.rows)
	return len(i.written)
}

func waitBeforeClose() {
	job := &importer{rows: make(chan string)}
	job.run([]string{"a;1", "b;2", "c;3", "d;4"})
}

func init() { kernels["wait-before-close"] = waitBeforeClose }
