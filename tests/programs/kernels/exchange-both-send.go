// exchange-both-send: two replicas send each other their state over unbuffered channels before either reads.
//
//goflow:class communication-deadlock
//goflow:expect circular-wait goroutine-leak
package main

import "time"

type replica struct {
	state []int
	inbox chan []int
	peer  *replica
}

func (r *replica) sync() {
	r.peer.inbox <- r.state // stuck: 2
	for _, value := range <-r.inbox {
		r.state = append(r.state, value)
	}
}

func exchangeBothSend() {
	replicas := map[string]*replica{}
	for i, name := range []string{"left", "right"} {
		replicas[name] = &replica{state: []int{i}, inbox: make(chan []int)}
	}
	replicas["left"].peer = replicas["right"]
	replicas["right"].peer = replicas["left"]
	for _, r := range replicas {
		go r.sync()
	}
	heartbeat(40 * time.Millisecond)
}

func init() { kernels["exchange-both-send"] = exchangeBothSend }
