// timeout-drops-result: the caller gives up after a timeout, and the lookup that comes late sends its result to nobody.
//
//goflow:class leak
//goflow:expect goroutine-leak
package main

import (
	"errors"
	"time"
)

type geoLookup struct{ delay time.Duration }

var errLookupTimeout = errors.New("lookup took too long")

func (g geoLookup) country(address string) (string, error) {
	found := make(chan string)
	go func() {
		time.Sleep(g.delay)
		found <- "country of " + address // stuck
	}()
	select {
	case country := <-found:
		return country, nil
	case <-time.After(80 * time.Millisecond):
		return "", errLookupTimeout
	}
}

func timeoutDropsResult() {
	geoLookup{delay: 0}.country("192.0.2.1")
	geoLookup{delay: 160 * time.Millisecond}.country("192.0.2.2")
	busyWorkers(2)
}

func init() { kernels["timeout-drops-result"] = timeoutDropsResult }
