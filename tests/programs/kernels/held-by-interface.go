// held-by-interface: a waiter's channel is known to a sleeping goroutine only as an interface with one method.
//
//goflow:class correct
package main

import "time"

type notifier interface{ notify(message string) }

type channelNotifier struct{ messages chan string }

func (n *channelNotifier) notify(message string) { n.messages <- message }

type multiNotifier []notifier

func (m multiNotifier) notify(message string) {
	for _, n := range m {
		n.notify(message)
	}
}

func remind(target notifier, after time.Duration) {
	for {
		time.Sleep(after)
		target.notify("take a break")
	}
}

func heldByInterface() {
	var all multiNotifier
	for i := 0; i < 3; i++ {
		n := &channelNotifier{messages: make(chan string)}
		all = append(all, n)
		go func() {
			for range n.messages {
			}
		}()
	}
	go remind(all, 12*time.Second)
}

func init() { kernels["held-by-interface"] = heldByInterface }
