// error-early-return: the copy returns at the first error, and the other direction has nobody to report its own error to.
//
//goflow:class leak
//goflow:expect goroutine-leak
package main

import (
	"errors"
	"time"
)

type proxyConn struct {
	broken  bool
	pending []byte
}

func (c *proxyConn) copyTo(other *proxyConn, failed chan<- error) {
	if c.broken {
		failed <- errors.New("connection reset") // stuck
		return
	}
	other.pending = append(other.pending, c.pending...)
	failed <- nil
}

func proxyBoth(client, backend *proxyConn) error {
	failed := make(chan error)
	go client.copyTo(backend, failed)
	go backend.copyTo(client, failed)
	for i := 0; i < 2; i++ {
		if err := <-failed; err != nil {
			return err
		}
	}
	return nil
}

func errorEarlyReturn() {
	proxyBoth(&proxyConn{broken: true}, &proxyConn{broken: true})
	heartbeat(20 * time.Millisecond)
}

func init() { kernels["error-early-return"] = errorEarlyReturn }
