// slow-feed: four encoders are always waiting for a source that yields a frame every quarter of a second.
//
//goflow:class stall
//goflow:expect slow-producer
package main

import (
	"sync/atomic"
	"time"
)

type frameSource struct {
	frames  chan []byte
	encoded int64
}

func (s *frameSource) produce() {
	for {
		time.Sleep(250 * time.Millisecond)
		s.frames <- make([]byte, 64)
	}
}

func (s *frameSource) encode() {
	for {
		frame := <-s.frames // here
		for i := range frame {
			frame[i] ^= 0x5a
		}
		atomic.AddInt64(&s.encoded, 1)
	}
}

func slowFeed() {
	source := &frameSource{frames: make(chan []byte, 8)}
	for i := 0; i < 4; i++ {
		go source.encode()
	}
	source.produce()
}

func init() { kernels["slow-feed"] = slowFeed }
