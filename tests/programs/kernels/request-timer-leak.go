// request-timer-leak: every request sets a watchdog of an hour and never stops it, fifty a second.
//
//goflow:class leak
//goflow:expect timer-leak
package main

import (
	"errors"
	"time"
)

type watchdog struct {
	request int
	failed  chan error
}

// Who set a timer is not noted anywhere, so what can be named is what it calls: where that begins.
func (w *watchdog) bark() { // here
	w.failed <- errors.New("request hangs") // here
}

func handleWatched(request int, failed chan error) int {
	w := &watchdog{request, failed}
	time.AfterFunc(time.Hour, w.bark) // here
	return request * 2
}

func requestTimerLeak() {
	failed := make(chan error, 1)
	for request := 0; ; request++ {
		handleWatched(request, failed)
		time.Sleep(20 * time.Millisecond)
	}
}

func init() { kernels["request-timer-leak"] = requestTimerLeak }
