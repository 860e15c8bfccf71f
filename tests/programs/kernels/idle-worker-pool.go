// idle-worker-pool: workers wait on a package-level queue which a web handler fills, and nobody asks just now.
//
//goflow:class correct
package main

import (
	"net/http"
	"sync/atomic"
)

var (
	resizeJobs = make(chan string, 16)
	resized    int64
)

func resizeWorker() {
	for range resizeJobs {
		atomic.AddInt64(&resized, 1)
	}
}

func enqueueResize(w http.ResponseWriter, r *http.Request) {
	select {
	case resizeJobs <- r.URL.Path:
		w.WriteHeader(http.StatusAccepted)
	default:
		w.WriteHeader(http.StatusServiceUnavailable)
	}
}

func idleWorkerPool() {
	for i := 0; i < 8; i++ {
		go resizeWorker()
	}
	url := serve(http.HandlerFunc(enqueueResize))
	get(url + "/logo.png")
}

func init() { kernels["idle-worker-pool"] = idleWorkerPool }
