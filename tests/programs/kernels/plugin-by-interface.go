// plugin-by-interface: what is registered at the start is called through an interface later, and only its method sends to the channel.
//
//goflow:class correct
package main

import (
	"sync/atomic"
	"time"
)

type rotator interface{ rotate(generation int) }

type logFiles struct{ limit int }

var (
	rotated    = make(chan int)
	rotators   []rotator
	rotatedAll int64
)

func (l *logFiles) rotate(generation int) {
	if generation > l.limit {
		rotated <- generation
	}
}

func archiveRotated() {
	for range rotated {
		atomic.AddInt64(&rotatedAll, 1)
	}
}

func pluginByInterface() {
	rotators = append(rotators, &logFiles{limit: 1 << 30})
	go archiveRotated()
	generation := 0
	for range time.Tick(50 * time.Millisecond) {
		generation++
		for _, one := range rotators {
			one.rotate(generation)
		}
	}
}

func init() { kernels["plugin-by-interface"] = pluginByInterface }
