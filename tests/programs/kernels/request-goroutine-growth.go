// request-goroutine-growth: each request starts a goroutine that waits for an acknowledgement which never comes, twenty a second.
//
//goflow:class leak
//goflow:expect unbounded-growth goroutine-leak
package main

import "time"

type delivery struct {
	id           int
	acknowledged chan bool
}

type deliveryService struct{ sent int }

func (s *deliveryService) deliver(id int) {
	d := &delivery{id: id, acknowledged: make(chan bool)}
	s.sent++
	go func() {
		<-d.acknowledged // here
		d.id = 0
	}()
}

func requestGoroutineGrowth() {
	service := &deliveryService{}
	for id := 1; ; id++ {
		service.deliver(id)
		time.Sleep(50 * time.Millisecond)
	}
}

func init() { kernels["request-goroutine-growth"] = requestGoroutineGrowth }
