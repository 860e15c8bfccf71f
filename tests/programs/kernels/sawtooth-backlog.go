// sawtooth-backlog: a queue fills for two seconds until the batch writer comes and empties it.
//
//goflow:class correct
package main

import "time"

type batchedEvent struct{ id int }

type batchWriter struct {
	queue   chan batchedEvent
	written int
}

func (w *batchWriter) run(every time.Duration) {
	for range time.Tick(every) {
		for empty := false; !empty; {
			select {
			case <-w.queue:
				w.written++
			default:
				empty = true
			}
		}
	}
}

func sawtoothBacklog() {
	writer := &batchWriter{queue: make(chan batchedEvent, 1000)}
	go writer.run(2 * time.Second)
	for id := 0; ; id++ {
		writer.queue <- batchedEvent{id}
		time.Sleep(10 * time.Millisecond)
	}
}

func init() { kernels["sawtooth-backlog"] = sawtoothBacklog }
