// bursts-drained: samples come in bursts that fill a buffer half, and a slower consumer empties it before the next burst.
//
//goflow:class correct
package main

import "time"

type burstSample struct{ at, value int }

type sampleSink struct {
	samples chan burstSample
	sum     int
}

func (s *sampleSink) drain() {
	for sample := range s.samples {
		time.Sleep(3 * time.Millisecond)
		s.sum += sample.value
	}
}

func burstsDrained() {
	sink := &sampleSink{samples: make(chan burstSample, 64)}
	go sink.drain()
	for burst := 0; ; burst++ {
		for value := 0; value < 32; value++ {
			sink.samples <- burstSample{burst, value}
		}
		time.Sleep(400 * time.Millisecond)
	}
}

func init() { kernels["bursts-drained"] = burstsDrained }
