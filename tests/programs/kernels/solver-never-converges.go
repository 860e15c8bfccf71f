// solver-never-converges: a solver steps over its goal and computes for ever.
//
//goflow:class stall
//goflow:expect long-running
package main

import "time"

type solver struct {
	target, tolerance float64
	steps             int
}

// root takes steps of a fixed size, so that the value swings around the target.
func (s *solver) root() float64 {
	value, step := 1.0, 0.3
	for difference(value*value, s.target) > s.tolerance { // here
		if value*value < s.target {
			value += step
		} else {
			value -= step
		}
		s.steps++
	}
	return value
}

func difference(a, b float64) float64 {
	if a < b {
		return b - a
	}
	return a - b
}

func solverNeverConverges() {
	heartbeat(50 * time.Millisecond)
	roots := make(chan float64, 1)
	go func() {
		s := &solver{target: 2, tolerance: 1e-9}
		roots <- s.root()
	}()
	<-roots
}

func init() { kernels["solver-never-converges"] = solverNeverConverges }
