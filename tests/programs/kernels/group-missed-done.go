// group-missed-done: a feed that cannot be parsed returns before it is done, and the refresh waits for it for ever.
//
//goflow:class communication-deadlock
//goflow:expect goroutine-leak
package main

import (
	"errors"
	"sync"
	"time"
)

type feed struct {
	url   string
	items int
}

type feedReader struct {
	pending sync.WaitGroup
	feeds   []*feed
	ready   chan bool
}

func (r *feedReader) fetch(f *feed) error {
	if f.url == "" {
		return errors.New("feed has no URL")
	}
	f.items = len(f.url)
	r.pending.Done()
	return nil
}

func (r *feedReader) refresh() {
	for _, f := range r.feeds {
		r.pending.Add(1)
		go r.fetch(f)
	}
	r.pending.Wait() // stuck
	r.ready <- true
}

func groupMissedDone() {
	reader := &feedReader{ready: make(chan bool, 1)}
	reader.feeds = []*feed{{url: "https://a.example"}, {}, {url: "https://b.example"}}
	go reader.refresh()
	select {
	case <-reader.ready:
	case <-time.After(100 * time.Millisecond):
	}
	polledStatus(50 * time.Millisecond)
}

func init() { kernels["group-missed-done"] = groupMissedDone }
