// mutual-wait-timeout: two peers each wait for the other to speak, and speak themselves after ten seconds of silence.
//
//goflow:class correct
package main

import "time"

type politePeer struct {
	hear    <-chan string
	say     chan<- string
	silence time.Duration
}

func (p politePeer) talk() {
	for {
		select {
		case <-p.hear:
		case <-time.After(p.silence):
			select {
			case p.say <- "are you there?":
			default:
			}
		}
	}
}

func mutualWaitTimeout() {
	left, right := make(chan string), make(chan string)
	go politePeer{hear: left, say: right, silence: 10 * time.Second}.talk()
	politePeer{hear: right, say: left, silence: 11 * time.Second}.talk()
}

func init() { kernels["mutual-wait-timeout"] = mutualWaitTimeout }
