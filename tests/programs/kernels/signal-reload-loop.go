// signal-reload-loop: two loops wait for signals, one to reload and one to rotate the log, beside an idle server.
//
//goflow:class correct
package main

import (
	"net/http"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
)

type signalled struct {
	signals chan os.Signal
	count   int64
}

func onSignal(which os.Signal, do func()) *signalled {
	s := &signalled{signals: make(chan os.Signal, 1)}
	signal.Notify(s.signals, which)
	go func() {
		for range s.signals {
			do()
			atomic.AddInt64(&s.count, 1)
		}
	}()
	return s
}

func signalReloadLoop() {
	settings := map[string]string{"level": "info"}
	onSignal(syscall.SIGHUP, func() { settings["level"] = "debug" })
	onSignal(syscall.SIGUSR1, func() { settings["log"] = "rotated" })
	serve(http.NotFoundHandler())
}

func init() { kernels["signal-reload-loop"] = signalReloadLoop }
