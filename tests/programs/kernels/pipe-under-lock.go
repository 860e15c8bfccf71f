// pipe-under-lock: an exporter writes to a pipe with the table's lock held, and the reader of the pipe takes the lock to mark rows as exported.
//
//goflow:class mixed-deadlock
//goflow:expect circular-wait goroutine-leak
package main

import (
	"bufio"
	"fmt"
	"io"
	"sync"
	"time"
)

type exportTable struct {
	mu       sync.Mutex
	rows     []string
	exported map[string]bool
}

func (t *exportTable) writeTo(out *io.PipeWriter) {
	t.mu.Lock()
	defer t.mu.Unlock()
	defer out.Close()
	for _, row := range t.rows {
		fmt.Fprintln(out, row) // stuck
	}
}

func (t *exportTable) upload(in *io.PipeReader) {
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		t.mu.Lock() // stuck
		t.exported[lines.Text()] = true
		t.mu.Unlock()
	}
}

func pipeUnderLock() {
	table := &exportTable{rows: []string{"ann", "bob", "cy"}, exported: map[string]bool{}}
	in, out := io.Pipe()
	go table.upload(in)
	go table.writeTo(out)
	heartbeat(70 * time.Millisecond)
}

func init() { kernels["pipe-under-lock"] = pipeUnderLock }
