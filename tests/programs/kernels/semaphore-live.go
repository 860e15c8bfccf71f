// semaphore-live: ten transcodes share the three places of a semaphore, and each gives its place back after four seconds.
//
//goflow:class correct
package main

import (
	"sync"
	"time"
)

type transcoder struct {
	places chan struct{}
	mu     sync.Mutex
	done   map[string]int
}

func (t *transcoder) transcode(film string) {
	t.places <- struct{}{}
	defer func() { <-t.places }()
	time.Sleep(4 * time.Second)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.done[film]++
}

func semaphoreLive() {
	t := &transcoder{places: make(chan struct{}, 3), done: map[string]int{}}
	for i := 0; i < 10; i++ {
		go t.transcode(string(rune('a' + i)))
	}
	heartbeat(200 * time.Millisecond)
}

func init() { kernels["semaphore-live"] = semaphoreLive }
