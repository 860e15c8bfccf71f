// buffer-pool: encoders share buffers through a sync.Pool.
//
//goflow:class correct
package main

import (
	"bytes"
	"encoding/json"
	"sync"
	"sync/atomic"
	"time"
)

var encodeBuffers = sync.Pool{New: func() interface{} { return new(bytes.Buffer) }}

type invoice struct {
	Number int
	Lines  []string
}

func encodeInvoice(number int) int {
	buffer := encodeBuffers.Get().(*bytes.Buffer)
	defer encodeBuffers.Put(buffer)
	buffer.Reset()
	json.NewEncoder(buffer).Encode(invoice{number, []string{"book", "lamp"}})
	return buffer.Len()
}

func bufferPool() {
	var bytesOut int64
	for i := 0; i < 3; i++ {
		go func() {
			for number := 0; ; number++ {
				atomic.AddInt64(&bytesOut, int64(encodeInvoice(number)))
				time.Sleep(5 * time.Millisecond)
			}
		}()
	}
}

func init() { kernels["buffer-pool"] = bufferPool }
