// semaphore-not-released: an export that fails keeps its place in the semaphore, until every place is lost and the next ones wait for ever.
//
//goflow:class leak
//goflow:expect goroutine-leak
package main

import (
	"errors"
	"time"
)

type exporter struct {
	places chan struct{}
	failed chan error
}

func (e *exporter) export(customer string) error {
	e.places <- struct{}{} // stuck: 2
	if customer == "" {
		return errors.New("no such customer")
	}
	time.Sleep(5 * time.Millisecond)
	<-e.places
	return nil
}

func semaphoreNotReleased() {
	e := &exporter{places: make(chan struct{}, 2), failed: make(chan error, 8)}
	e.failed <- e.export("acme")
	e.failed <- e.export("")
	e.failed <- e.export("")
	for _, customer := range []string{"globex", "initech"} {
		go func(customer string) { e.failed <- e.export(customer) }(customer)
	}
	polledStatus(40 * time.Millisecond)
}

func init() { kernels["semaphore-not-released"] = semaphoreNotReleased }
