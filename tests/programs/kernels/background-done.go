// background-done: a job is started with a context that can never be cancelled, and waits for it to be.
//
//goflow:class leak
//goflow:expect goroutine-leak
package main

import (
	"context"
	"time"
)

type tenantKey struct{}

type leaseKeeper struct {
	tenant   string
	released bool
}

// keep releases the lease when the request that took it is over.
func (k *leaseKeeper) keep(ctx context.Context) {
	k.tenant, _ = ctx.Value(tenantKey{}).(string)
	<-ctx.Done() // stuck
	k.released = true
}

func backgroundDone() {
	request, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	go (&leaseKeeper{}).keep(context.WithValue(request, tenantKey{}, "acme"))

	detached := context.WithValue(context.Background(), tenantKey{}, "acme")
	go (&leaseKeeper{}).keep(detached)
	<-request.Done()
	heartbeat(50 * time.Millisecond)
}

func init() { kernels["background-done"] = backgroundDone }
