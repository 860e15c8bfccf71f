// Frames has goroutines that wait below every kind of frame that Go's own tracebacks treat in a way of its own: wrappers,
// instances of generic functions, panics and faults whose deferred calls block, Goexit, finalizers, calls by reflection, a
// deep recursion; and one with labels.
//
// What one sees: "running" once all are parked, then for each line on stdin one line of JSON: `dump`, what runtime.Stack
// says of all goroutines, and `profile`, the stacks of runtime.GoroutineProfile as the pprof package names their frames,
// each as `outermost;…;innermost`. It ends with 0 when stdin closes.
package main

import (
	"context"
	"encoding/json"
	"os"
	"reflect"
	"runtime"
	"runtime/pprof"
	"sort"
	"strings"
	"syscall"
	"time"
)

var forever = make(chan int)

//go:noinline
func block() { <-forever }

type blocker interface{ Block() }

// Inner has its method promoted; its wrapper belongs to Outer.
type Inner struct{ n int }

//go:noinline
func (i *Inner) Block() {
	if i.n >= 0 {
		block()
	}
}

type Outer struct {
	pad [3]int
	*Inner
}

// Value has a method by value, which a pointer in an interface reaches through a wrapper.
type Value struct{ a, b, c int }

//go:noinline
func (v Value) Block() {
	if v.a >= 0 {
		block()
	}
}

// Tiny's method is inlined into its wrapper.
type Tiny struct{ n int }

func (t Tiny) Block() { block() }

type List[T any] struct{ items []T }

//go:noinline
func (l *List[T]) Each(f func(T)) {
	for _, item := range l.items {
		f(item)
	}
}

//go:noinline
func Map[K comparable, V any](m map[K]V, f func(K, V) V) {
	func() {
		for k, v := range m {
			m[k] = f(k, v)
		}
	}()
}

//go:noinline
func call(f func()) { f() }

//go:noinline
func through(b blocker) { b.Block() }

//go:noinline
func two(a, b int) {
	if a < b {
		block()
	}
}

func methodValue() { call((&Inner{}).Block) }
func promoted()    { through(&Outer{Inner: &Inner{}}) }
func byPointer()   { through(&Value{}) }
func inlined()     { through(&Tiny{}) }

func generic() {
	(&List[string]{items: []string{"a"}}).Each(func(string) { block() })
}

func genericMap() {
	Map(map[string][]byte{"a": nil}, func(string, []byte) []byte { block(); return nil })
}

func panics() {
	defer block()
	panic("on purpose")
}

func panicsTwice() {
	defer block()
	defer func() { panic("again") }()
	panic("on purpose")
}

func panicsWithArguments() {
	defer two(1, 2)
	panic("on purpose")
}

//go:noinline
func store(p *int) {
	*p = 7
}

//go:noinline
func storeBelow(p *int) {
	var pad [100]int
	for i := range pad {
		pad[i] = i
	}
	two(2, pad[1])
	*p = pad[50]
}

func faults() {
	defer block()
	store(nil)
}

func faultsWithFrame() {
	defer block()
	storeBelow(nil)
}

func panicsInWrapper() {
	defer block()
	var none *Value
	through(none)
}

//go:noinline
func recurse(n int) {
	if n == 0 {
		block()
		return
	}
	recurse(n - 1)
}

func deep() { recurse(300) }

func labelled() {
	labels := pprof.Labels("job", "nightly", "of", "a \"b\"\n\u00e9")
	pprof.Do(context.Background(), labels, func(context.Context) { block() })
}

func exits() {
	defer block()
	runtime.Goexit()
}

func reflected() {
	reflect.ValueOf(block).Call(nil)
}

func reflectedMethod() {
	reflect.ValueOf(&Value{}).Method(0).Interface().(func())()
}

func made() {
	f := reflect.MakeFunc(reflect.TypeOf(block), func([]reflect.Value) []reflect.Value { block(); return nil })
	f.Interface().(func())()
}

func finalized() {
	garbage := &[1 << 10]int{}
	runtime.SetFinalizer(garbage, func(*[1 << 10]int) { block() })
}

func main() {
	for _, f := range []func(){
		methodValue, promoted, byPointer, inlined, generic, genericMap, panics, panicsTwice, panicsWithArguments, faults,
		faultsWithFrame, panicsInWrapper, exits, deep, labelled, reflected, reflectedMethod, made,
	} {
		go f()
	}
	go two(1, 2)
	go (&Inner{}).Block()
	go blocker(Value{}).Block()
	finalized()
	runtime.GC()
	// Without work for the scheduler everybody gets to where it waits.
	time.Sleep(200 * time.Millisecond)
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
			answer()
		}
	}
}

func answer() {
	buffer := make([]byte, 1<<20)
	dump := string(buffer[:runtime.Stack(buffer, true)])
	line, err := json.Marshal(map[string]any{"dump": dump, "profile": profile()})
	if err != nil {
		panic(err)
	}
	os.Stdout.Write(append(line, '\n'))
}

func profile() []string {
	records := make([]runtime.StackRecord, 1000)
	n, ok := runtime.GoroutineProfile(records)
	if !ok {
		panic("more goroutines than expected")
	}
	var stacks []string
	for i := range records[:n] {
		var names []string
		frames := runtime.CallersFrames(records[i].Stack())
		for {
			frame, more := frames.Next()
			if frame.Function != "runtime.goexit" {
				names = append([]string{nameInProfile(&frame)}, names...)
			}
			if !more {
				break
			}
		}
		stacks = append(stacks, strings.Join(names, ";"))
	}
	sort.Strings(stacks)
	return stacks
}
