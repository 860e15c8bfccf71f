// Generics does channel operations in functions with type parameters, of two instances each.
//
// What one sees: "running", then for each line on stdin one round and "done": goroutines that start in a closure of a
// generic function, sends in a generic function and in a method of a generic type. It ends when stdin closes.
package main

import "syscall"

type pair[A, B any] struct {
	a A
	b B
}

type queue[T any] struct{ c chan T }

//go:noinline
func (q *queue[T]) put(v T) { q.c <- v }

//go:noinline
func send[T any](c chan T, v T) { c <- v }

//go:noinline
func start[T any](f func(chan T, T), c chan T, v T) {
	go func() { f(c, v) }()
}

//go:noinline
func newChan[T any]() chan T { return make(chan T) }

func round[T any](v T) {
	c := newChan[T]()
	start(send[T], c, v)
	<-c
	q := &queue[T]{c}
	start(func(_ chan T, v T) { q.put(v) }, c, v)
	<-c
}

func main() {
	syscall.Write(1, []byte("running\n"))
	var b [1]byte
	for {
		n, err := syscall.Read(0, b[:])
		if err == syscall.EINTR {
			continue
		}
		if n != 1 {
			return
		}
		if b[0] == '\n' {
			round(1)
			round(pair[string, int]{"one", 1})
			syscall.Write(1, []byte("done\n"))
		}
	}
}
