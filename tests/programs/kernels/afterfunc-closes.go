// afterfunc-closes: visitors wait for a channel that a timer's function will close in forty seconds.
//
//goflow:class correct
package main

import "time"

type waitingRoom struct {
	opened   chan struct{}
	visitors int
}

func (r *waitingRoom) visit(admitted chan<- int, number int) {
	<-r.opened
	admitted <- number
}

func afterfuncCloses() {
	room := &waitingRoom{opened: make(chan struct{}), visitors: 3}
	time.AfterFunc(40*time.Second, func() { close(room.opened) })
	admitted := make(chan int)
	for number := 0; number < room.visitors; number++ {
		go room.visit(admitted, number)
	}
	for number := 0; number < 3; number++ {
		<-admitted
	}
}

func init() { kernels["afterfunc-closes"] = afterfuncCloses }
