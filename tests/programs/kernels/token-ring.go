// token-ring: five stations in a ring wait for the one before them, and the one with the token keeps it for two seconds.
//
//goflow:class correct
package main

import "time"

type station struct {
	from <-chan int
	to   chan<- int
}

func (s station) run(keep time.Duration) {
	for token := range s.from {
		time.Sleep(keep)
		s.to <- token + 1
	}
}

func tokenRing() {
	var wires []chan int
	for i := 0; i < 5; i++ {
		wires = append(wires, make(chan int))
	}
	for i := range wires {
		go station{from: wires[i], to: wires[(i+1)%len(wires)]}.run(2 * time.Second)
	}
	wires[0] <- 1
	busyWorkers(2)
}

func init() { kernels["token-ring"] = tokenRing }
