// What runs beside many of the kernels and is healthy: a service seldom stands quite still.
package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"time"
)

var beats, handled int64

// heartbeat counts for ever, as what reports a service's liveness does.
func heartbeat(interval time.Duration) {
	go func() {
		ticker := time.NewTicker(interval)
		defer ticker.Stop()
		for range ticker.C {
			atomic.AddInt64(&beats, 1)
		}
	}()
}

// busyWorkers starts workers, and one goroutine that has a job for them every few milliseconds.
func busyWorkers(count int) {
	jobs := make(chan int64)
	for i := 0; i < count; i++ {
		go func() {
			for job := range jobs {
				atomic.AddInt64(&handled, job)
			}
		}()
	}
	go func() {
		for {
			jobs <- 1
			time.Sleep(5 * time.Millisecond)
		}
	}()
}

// serve serves handler on the loopback for the life of the process, and returns the URL to ask.
func serve(handler http.Handler) string {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	go http.Serve(listener, handler)
	return "http://" + listener.Addr().String()
}

// polledStatus serves a status page, and asks for it every interval as a load balancer would.
func polledStatus(interval time.Duration) {
	url := serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, atomic.LoadInt64(&beats))
	}))
	go func() {
		for {
			get(url)
			time.Sleep(interval)
		}
	}()
}

// get asks for url, and gives up after a tenth of a second.
func get(url string) error {
	client := http.Client{Timeout: 100 * time.Millisecond}
	response, err := client.Get(url)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	_, err = io.Copy(io.Discard, response.Body)
	return err
}
