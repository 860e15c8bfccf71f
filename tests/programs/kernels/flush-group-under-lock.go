// flush-group-under-lock: the flush waits for its writers with the buffer's lock held, which each writer takes at its end.
//
//goflow:class mixed-deadlock
//goflow:expect circular-wait goroutine-leak
package main

import (
	"sync"
	"time"
)

type writeBuffer struct {
	sync.Mutex
	dirty   map[string][]byte
	written int
}

func (b *writeBuffer) write(key string, data []byte, pending *sync.WaitGroup) {
	defer pending.Done()
	time.Sleep(20 * time.Millisecond)
	b.Lock() // stuck: 2
	defer b.Unlock()
	b.written += len(data)
}

func (b *writeBuffer) flush() {
	b.Lock()
	defer b.Unlock()
	var pending sync.WaitGroup
	for key, data := range b.dirty {
		pending.Add(1)
		go b.write(key, data, &pending)
	}
	pending.Wait() // stuck
	b.dirty = map[string][]byte{}
}

func flushGroupUnderLock() {
	buffer := &writeBuffer{dirty: map[string][]byte{"a": {1}, "b": {2, 3}}}
	go buffer.flush()
	polledStatus(40 * time.Millisecond)
}

func init() { kernels["flush-group-under-lock"] = flushGroupUnderLock }
