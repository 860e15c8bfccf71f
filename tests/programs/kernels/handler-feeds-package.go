// handler-feeds-package: a handler that only the mux knows sends to a package-level channel, and the loop behind it waits for requests.
//
//goflow:class correct
package main

import (
	"net/http"
	"sync/atomic"
)

var (
	hits      = make(chan string)
	hitsTotal int64
)

func countHits() {
	for range hits {
		atomic.AddInt64(&hitsTotal, 1)
	}
}

func handleHit(w http.ResponseWriter, r *http.Request) {
	hits <- r.URL.Path
	w.WriteHeader(http.StatusNoContent)
}

func handlerFeedsPackage() {
	go countHits()
	mux := http.NewServeMux()
	mux.HandleFunc("/hit", handleHit)
	serve(mux)
}

func init() { kernels["handler-feeds-package"] = handlerFeedsPackage }
