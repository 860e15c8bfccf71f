// held-in-atomic-value: those who wait for the next configuration find its channel in an atomic.Value, and it changes every ten seconds.
//
//goflow:class correct
package main

import (
	"sync/atomic"
	"time"
)

type liveSettings struct {
	version int
	changed chan struct{}
}

var currentSettings atomic.Value // of *liveSettings

func watchSettings(watched *int64) {
	for {
		settings := currentSettings.Load().(*liveSettings)
		<-settings.changed
		atomic.AddInt64(watched, 1)
	}
}

func replaceSettings() {
	old := currentSettings.Load().(*liveSettings)
	currentSettings.Store(&liveSettings{old.version + 1, make(chan struct{})})
	close(old.changed)
}

func heldInAtomicValue() {
	currentSettings.Store(&liveSettings{1, make(chan struct{})})
	var watched int64
	for i := 0; i < 3; i++ {
		go watchSettings(&watched)
	}
	for range time.Tick(10 * time.Second) {
		replaceSettings()
	}
}

func init() { kernels["held-in-atomic-value"] = heldInAtomicValue }
