// held-by-unsafe-pointer: a waiter stands on a lock-free stack linked by unsafe pointers, and a sleeping goroutine will pop it.
//
//goflow:class correct
package main

import (
	"sync/atomic"
	"time"
	"unsafe"
)

type stackedWaiter struct {
	woken chan struct{}
	next  unsafe.Pointer
}

type waiterStack struct{ top unsafe.Pointer }

func (s *waiterStack) push(w *stackedWaiter) {
	for {
		w.next = atomic.LoadPointer(&s.top)
		if atomic.CompareAndSwapPointer(&s.top, w.next, unsafe.Pointer(w)) {
			return
		}
	}
}

func (s *waiterStack) wakeAll() {
	top := (*stackedWaiter)(atomic.SwapPointer(&s.top, nil))
	for ; top != nil; top = (*stackedWaiter)(top.next) {
		close(top.woken)
	}
}

func heldByUnsafePointer() {
	stack := &waiterStack{}
	for i := 0; i < 4; i++ {
		go func() {
			for {
				w := &stackedWaiter{woken: make(chan struct{})}
				stack.push(w)
				<-w.woken
			}
		}()
	}
	for {
		time.Sleep(6 * time.Second)
		stack.wakeAll()
	}
}

func init() { kernels["held-by-unsafe-pointer"] = heldByUnsafePointer }
