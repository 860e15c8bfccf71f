// ticket-reply-under-lock: the desk waits for a ticket with its lock held, and the printer takes the lock to number the ticket.
//
//goflow:class mixed-deadlock
//goflow:expect circular-wait goroutine-leak deadlock
package main

import "sync"

type ticketDesk struct {
	mu     sync.Mutex
	number int
	orders chan chan int
}

func (d *ticketDesk) nextNumber() int {
	d.mu.Lock() // stuck
	defer d.mu.Unlock()
	d.number++
	return d.number
}

func (d *ticketDesk) printTickets() {
	for order := range d.orders {
		order <- d.nextNumber()
	}
}

func (d *ticketDesk) sell() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	order := make(chan int, 1)
	d.orders <- order
	return <-order // stuck
}

func ticketReplyUnderLock() {
	desk := &ticketDesk{orders: make(chan chan int)}
	go desk.printTickets()
	desk.sell()
}

func init() { kernels["ticket-reply-under-lock"] = ticketReplyUnderLock }
