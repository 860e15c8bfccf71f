// reply-in-dropped-mailbox: requests are still in the buffer of a mailbox whose owner has ended, and their senders wait for the replies.
//
//goflow:class leak
//goflow:expect goroutine-leak
package main

import "time"

type lookupRequest struct {
	key   string
	reply chan string
}

type directory struct {
	mailbox chan lookupRequest
	entries map[string]string
}

func (d *directory) lookup(key string) string {
	request := lookupRequest{key, make(chan string)}
	d.mailbox <- request
	return <-request.reply // stuck: 2
}

// serve answers until it is asked for the key that ends it.
func (d *directory) serve() {
	for request := range d.mailbox {
		request.reply <- d.entries[request.key]
		if request.key == "quit" {
			return
		}
	}
}

func replyInDroppedMailbox() {
	d := &directory{mailbox: make(chan lookupRequest, 4), entries: map[string]string{"bob": "room 7"}}
	go d.serve()
	d.lookup("bob")
	d.lookup("quit")
	go d.lookup("bob")
	go d.lookup("eve")
	busyWorkers(1)
	heartbeat(time.Second)
}

func init() { kernels["reply-in-dropped-mailbox"] = replyInDroppedMailbox }
