// stringer-logger: the logger formats a value under its lock, and the value's String method logs.
//
//goflow:class resource-deadlock
//goflow:expect circular-wait deadlock
package main

import (
	"fmt"
	"io"
	"sync"
)

type serviceLog struct {
	mu  sync.Mutex
	out io.Writer
}

func (l *serviceLog) Logf(format string, args ...interface{}) {
	l.mu.Lock() // stuck
	defer l.mu.Unlock()
	fmt.Fprintf(l.out, format+"\n", args...)
}

type parcel struct {
	id      int
	address string
	log     *serviceLog
}

func (p *parcel) String() string {
	if p.address == "" {
		p.log.Logf("parcel %d has no address", p.id)
	}
	return fmt.Sprintf("parcel %d for %s", p.id, p.address)
}

func stringerLogger() {
	log := &serviceLog{out: io.Discard}
	for _, p := range []*parcel{{1, "Main Street", log}, {2, "", log}} {
		log.Logf("sent %v", p)
	}
}

func init() { kernels["stringer-logger"] = stringerLogger }
