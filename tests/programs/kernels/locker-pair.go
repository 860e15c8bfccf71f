// locker-pair: two copies between a journal and an index take both through sync.Locker, each in its own order.
//
//goflow:class resource-deadlock
//goflow:expect circular-wait
package main

import (
	"sync"
	"time"
)

type lockedFile struct {
	sync.Locker
	lines []string
}

func copyLines(from, to *lockedFile, met chan struct{}) {
	from.Lock()
	defer from.Unlock()
	select {
	case met <- struct{}{}:
	case <-met:
	}
	to.Lock() // stuck: 2
	defer to.Unlock()
	to.lines = append(to.lines, from.lines...)
}

func lockerPair() {
	journal := &lockedFile{Locker: &sync.Mutex{}, lines: []string{"begin", "commit"}}
	index := &lockedFile{Locker: &sync.RWMutex{}}
	met := make(chan struct{})
	copies := [][2]*lockedFile{{journal, index}, {index, journal}}
	for i := range copies {
		go copyLines(copies[i][0], copies[i][1], met)
	}
	polledStatus(50 * time.Millisecond)
}

func init() { kernels["locker-pair"] = lockerPair }
