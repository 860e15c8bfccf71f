// handshake-both-receive: client and server each wait for the other's greeting before they send their own.
//
//goflow:class communication-deadlock
//goflow:expect circular-wait goroutine-leak deadlock
package main

type wire struct {
	in  <-chan string
	out chan<- string
}

func serveSession(w wire, ended chan<- bool) {
	defer close(ended)
	greeting := <-w.in // stuck
	if greeting != "hello" {
		return
	}
	w.out <- "welcome"
}

func dialSession(w wire) bool {
	if <-w.in != "welcome" { // stuck
		return false
	}
	w.out <- "hello"
	return true
}

func handshakeBothReceive() {
	up, down := make(chan string), make(chan string)
	ended := make(chan bool)
	go serveSession(wire{in: up, out: down}, ended)
	if dialSession(wire{in: down, out: up}) {
		<-ended
	}
}

func init() { kernels["handshake-both-receive"] = handshakeBothReceive }
