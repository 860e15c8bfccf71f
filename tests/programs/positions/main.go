// Positions prints what the Go runtime itself says about its own code, one fact a line, fields separated by tabs:
//
//	go       version
//	cgo      whether C was linked in
//	func     name, entry address of a function of this program
//	frame    return address, function, file, line     of a stack of inlined calls, as runtime.Callers gives it
//	pc       address, function, file, line            of an instruction, for addresses all over the text
//	type     address of the descriptor, name          of a type
package main

import (
	"bufio"
	"fmt"
	"os"
	"reflect"
	"runtime"
	"unsafe"
)

// A prime, so that the addresses fall everywhere in instructions and functions.
const stride = 1009

var out = bufio.NewWriter(os.Stdout)

type order struct {
	id    int
	lines []string
}

type pair[A, B any] struct {
	first  A
	second B
}

//go:noinline
func marker() { fmt.Fprintln(out, "go\t"+runtime.Version()) }

//go:noinline
func printStack(skip int) {
	pcs := make([]uintptr, 64)
	pcs = pcs[:runtime.Callers(skip, pcs)]
	frames := runtime.CallersFrames(pcs)
	for _, pc := range pcs {
		frame, _ := frames.Next()
		fmt.Fprintf(out, "frame\t%#x\t%s\t%s\t%d\n", pc, frame.Function, frame.File, frame.Line)
	}
}

func outer() { middle() }

func middle() {
	for i := 0; i < 1; i++ {
		inner()
	}
}

func inner() { printStack(1) }

func (o *order) method() { generic(o.id) }

func generic[T any](_ T) { printStack(1) }

func printText(start uintptr) {
	low, high := start, start
	for runtime.FuncForPC(low-stride) != nil {
		low -= stride
	}
	for runtime.FuncForPC(high+stride) != nil {
		high += stride
	}
	for pc := low; pc <= high; pc += stride {
		// CallersFrames steps back from a return address, but not out of a function.
		if runtime.FuncForPC(pc+1).Entry() == pc+1 {
			continue
		}
		frame, _ := runtime.CallersFrames([]uintptr{pc + 1}).Next()
		fmt.Fprintf(out, "pc\t%#x\t%s\t%s\t%d\n", pc, frame.Function, frame.File, frame.Line)
	}
}

// An interface's first word is the address of the descriptor of what is in it.
func printType(value any) {
	descriptor := *(*uintptr)(unsafe.Pointer(&value))
	fmt.Fprintf(out, "type\t%#x\t%s\n", descriptor, reflect.TypeOf(value))
}

func main() {
	marker()
	fmt.Fprintf(out, "cgo\t%v\n", callC() == 42)
	entry := reflect.ValueOf(marker).Pointer()
	fmt.Fprintf(out, "func\tmain.marker\t%#x\n", entry)
	outer()
	(&order{}).method()
	func() { printStack(1) }()
	done := make(chan struct{})
	go func() { defer close(done); outer() }()
	<-done
	printType(make(chan order))
	printType(make(chan struct{}))
	printType(make(<-chan *order))
	printType(order{})
	printType(&order{})
	printType(1)
	printType("")
	printType(pair[string, *order]{})
	printType(map[string][]func(int) error{})
	printText(entry)
	if err := out.Flush(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
