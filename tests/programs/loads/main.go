// Loads is what services do with goroutines and channels, one kind at a time: "pipeline" (three stages with buffers
// between them), "pool" (workers that take jobs and give results), "churn" (a goroutine for each piece of work, as many a
// second as it gets), "http" (a server on 127.0.0.1 that hands each request to a worker; it prints "port N" first).
//
// What one sees: "running", then for each line on stdin one line of JSON with the number of operations so far and the 99th
// percentile of how long one took since the last line, in nanoseconds. It ends when stdin closes.
package main

import (
	"fmt"
	"math"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

var (
	operations uint64            // atomic
	histogram  [64 * fine]uint64 // atomic
)

// Of durations: so many buckets for each power of two of nanoseconds, a hundredth apart.
const fine = 64

func done(start time.Time) {
	atomic.AddUint64(&operations, 1)
	took := float64(time.Since(start).Nanoseconds() + 1)
	bucket := int(math.Log2(took) * fine)
	if bucket < 0 {
		bucket = 0
	}
	atomic.AddUint64(&histogram[bucket], 1)
}

func p99() uint64 {
	var counts [len(histogram)]uint64
	total := uint64(0)
	for i := range histogram {
		counts[i] = atomic.SwapUint64(&histogram[i], 0)
		total += counts[i]
	}
	seen := uint64(0)
	for i, count := range counts {
		seen += count
		if total > 0 && seen*100 >= total*99 {
			return uint64(math.Exp2(float64(i+1) / fine))
		}
	}
	return 0
}

// work takes about so many nanoseconds.
//
//go:noinline
func work(rounds int) (sum int) {
	for n := 0; n < rounds; n++ {
		sum = sum*3 + n
	}
	return sum
}

type item struct {
	start time.Time
	sum   int
}

func pipeline() {
	first, second, third := make(chan item, 64), make(chan item, 64), make(chan item, 64)
	go func() {
		for {
			first <- item{start: time.Now(), sum: work(2000)}
		}
	}()
	go func() {
		for it := range first {
			it.sum += work(2000)
			second <- it
		}
	}()
	go func() {
		for it := range second {
			it.sum += work(2000)
			third <- it
		}
	}()
	go func() {
		for it := range third {
			done(it.start)
		}
	}()
}

func pool() {
	jobs, results := make(chan item, 8), make(chan item, 8)
	var mu sync.Mutex
	total := 0
	for n := 0; n < 8; n++ {
		go func() {
			for it := range jobs {
				it.sum = work(20000)
				mu.Lock()
				total += it.sum
				mu.Unlock()
				results <- it
			}
		}()
	}
	go func() {
		for {
			jobs <- item{start: time.Now()}
		}
	}()
	go func() {
		for it := range results {
			done(it.start)
		}
	}()
}

func churn() {
	for n := 0; n < 2; n++ {
		go func() {
			for {
				var group sync.WaitGroup
				for n := 0; n < 100; n++ {
					group.Add(1)
					start := time.Now()
					go func() {
						work(9000)
						done(start)
						group.Done()
					}()
				}
				group.Wait()
			}
		}()
	}
}

func serve() {
	type request struct{ answer chan int }
	requests := make(chan request)
	for n := 0; n < 4; n++ {
		go func() {
			for r := range requests {
				r.answer <- work(10000)
			}
		}()
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	fmt.Printf("port %d\n", listener.Addr().(*net.TCPAddr).Port)
	go http.Serve(listener, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		start := time.Now()
		r := request{make(chan int, 1)}
		requests <- r
		fmt.Fprintln(w, <-r.answer)
		done(start)
	}))
}

func main() {
	loads := map[string]func(){"pipeline": pipeline, "pool": pool, "churn": churn, "http": serve}
	loads[os.Args[1]]()
	fmt.Println("running")
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
			fmt.Printf("{\"operations\":%d,\"p99_ns\":%d}\n", atomic.LoadUint64(&operations), p99())
		}
	}
}
