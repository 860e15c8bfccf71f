// backlog-growth: metrics come four times as fast as they are written, and the backlog in the channel only grows.
//
//goflow:class leak
//goflow:expect unbounded-growth slow-consumer
package main

import "time"

type metricPoint struct {
	name  string
	value int
}

type metricWriter struct {
	points  chan metricPoint
	written int
}

func (w *metricWriter) run() {
	for range w.points {
		w.written++
		time.Sleep(20 * time.Millisecond)
	}
}

func (w *metricWriter) emit(name string) {
	for value := 0; ; value++ {
		w.points <- metricPoint{name, value} // here
		time.Sleep(5 * time.Millisecond)
	}
}

func backlogGrowth() {
	writer := &metricWriter{points: make(chan metricPoint, 1<<16)}
	go writer.run()
	writer.emit("latency")
}

func init() { kernels["backlog-growth"] = backlogGrowth }
