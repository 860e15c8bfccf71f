// http-shutdown-hook: an idle web server serves on main, and a hook waits for a signal to shut it down.
//
//goflow:class correct
package main

import (
	"context"
	"net"
	"net/http"
	"os/signal"
	"syscall"
	"time"
)

func httpShutdownHook() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	server := &http.Server{Handler: http.NotFoundHandler()}
	stop, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer cancel()
	idle := make(chan struct{})
	go func() {
		defer close(idle)
		<-stop.Done()
		grace, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		server.Shutdown(grace)
	}()
	if server.Serve(listener) == http.ErrServerClosed {
		<-idle
	}
}

func init() { kernels["http-shutdown-hook"] = httpShutdownHook }
