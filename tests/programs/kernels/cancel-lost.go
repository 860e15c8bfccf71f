// cancel-lost: a preview gets a context of its own, and its cancel function is dropped with the preview.
//
//goflow:class leak
//goflow:expect goroutine-leak
package main

import (
	"context"
	"time"
)

type preview struct {
	ctx    context.Context
	cancel context.CancelFunc
	lines  []string
}

func newPreview(parent context.Context) *preview {
	p := &preview{}
	p.ctx, p.cancel = context.WithCancel(parent)
	return p
}

// follow appends to the preview until it is closed.
func (p *preview) follow(lines <-chan string) {
	ctx := p.ctx
	go func() {
		for {
			select { // stuck
			case <-ctx.Done():
				return
			case line := <-lines:
				p.lines = append(p.lines, line)
			}
		}
	}()
}

func cancelLost() {
	lines := make(chan string, 1)
	lines <- "first line"
	newPreview(context.Background()).follow(lines)
	polledStatus(45 * time.Millisecond)
}

func init() { kernels["cancel-lost"] = cancelLost }
