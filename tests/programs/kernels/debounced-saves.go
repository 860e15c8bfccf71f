// debounced-saves: a saver waits for changes and for a timer that it resets at each, and the editor is idle most of the time.
//
//goflow:class correct
package main

import "time"

type debouncer struct {
	changes chan string
	saved   int
}

func (d *debouncer) run(quiet time.Duration) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	dirty := false
	for {
		select {
		case _, open := <-d.changes:
			if !open {
				return
			}
			dirty = true
			timer.Reset(quiet)
		case <-timer.C:
			if dirty {
				d.saved++
			}
			dirty = false
		}
	}
}

func debouncedSaves() {
	saver := &debouncer{changes: make(chan string)}
	defer close(saver.changes)
	go saver.run(200 * time.Millisecond)
	for {
		for _, key := range "hello" {
			saver.changes <- string(key)
			time.Sleep(10 * time.Millisecond)
		}
		time.Sleep(11 * time.Second)
	}
}

func init() { kernels["debounced-saves"] = debouncedSaves }
