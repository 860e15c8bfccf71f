// rounds-by-afterfunc: the service does its rounds in a function that has itself called again by time.AfterFunc; what it keeps is in
// package variables, those who wait for a round do so at a channel there, and nothing else ever goes on.
//
//goflow:class correct
package main

import "time"

var (
	rounds    int
	roundDone = make(chan int)
)

func makeRound() {
	rounds++
	if rounds > 1 {
		roundDone <- rounds
	}
	time.AfterFunc(20*time.Second, makeRound)
}

func roundsByAfterFunc() {
	makeRound()
	for range roundDone {
	}
}

func init() { kernels["rounds-by-afterfunc"] = roundsByAfterFunc }
