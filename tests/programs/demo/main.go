// Demo is a small order service, built the way such services are: net/http in front, a bounded queue, a pool of
// workers behind it, a payment gateway that is sometimes slow, timeouts and contexts everywhere.
//
// What one sees in it: handlers that block on a full queue, workers that wait for orders, a stock mutex that everybody
// wants, `select`s that end by a timeout, a fan-out that waits for a WaitGroup, and one real bug: a payment that comes
// after its timeout finds nobody receiving any more, so its goroutine stays parked on a send for ever.
//
// It prints `listening on http://ADDRESS` once and runs until it is told to end.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:8080", "address to listen on")
	workers := flag.Int("workers", 8, "size of the worker pool")
	flag.Parse()
	if err := run(*listen, *workers); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

func run(listen string, workers int) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	listener, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	shop := newShop(ctx, workers)
	server := &http.Server{Handler: routes(shop), ReadHeaderTimeout: 5 * time.Second}
	fmt.Printf("listening on http://%s\n", listener.Addr())

	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	err = server.Shutdown(grace)
	shop.wait()
	return err
}

func routes(shop *shop) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/order", func(w http.ResponseWriter, r *http.Request) { handleOrder(shop, w, r) })
	mux.HandleFunc("/stock", func(w http.ResponseWriter, r *http.Request) { reply(w, shop.stock.snapshot()) })
	mux.HandleFunc("/quote", func(w http.ResponseWriter, r *http.Request) { reply(w, shop.cheapest(r.Context())) })
	return mux
}

func handleOrder(shop *shop, w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), 250*time.Millisecond)
	defer cancel()
	receipt, err := shop.place(ctx, r.URL.Query().Get("item"))
	switch {
	case err == nil:
		reply(w, receipt)
	case errors.Is(err, errSoldOut):
		http.Error(w, err.Error(), http.StatusConflict)
	default:
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
	}
}

func reply(w http.ResponseWriter, value interface{}) {
	w.Header().Set("Content-Type", "application/json")
	// The client went away: nobody to tell.
	_ = json.NewEncoder(w).Encode(value)
}
