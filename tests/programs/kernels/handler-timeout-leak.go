// handler-timeout-leak: a handler answers 504 after its timeout, and the backend call that it started has nobody to hand its result to.
//
//goflow:class leak
//goflow:expect goroutine-leak
package main

import (
	"net/http"
	"time"
)

type backendReply struct{ body string }

func callBackend(path string) backendReply {
	if path == "/slow" {
		time.Sleep(150 * time.Millisecond)
	}
	return backendReply{"contents of " + path}
}

func gateway(w http.ResponseWriter, r *http.Request) {
	path := r.URL.Path
	replies := make(chan backendReply)
	go func() {
		replies <- callBackend(path) // stuck: 3
	}()
	select {
	case reply := <-replies:
		w.Write([]byte(reply.body))
	case <-time.After(20 * time.Millisecond):
		w.WriteHeader(http.StatusGatewayTimeout)
	}
}

func handlerTimeoutLeak() {
	url := serve(http.HandlerFunc(gateway))
	for i := 0; i < 3; i++ {
		get(url + "/slow")
	}
}

func init() { kernels["handler-timeout-leak"] = handlerTimeoutLeak }
