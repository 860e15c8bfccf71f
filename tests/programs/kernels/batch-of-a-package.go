// batch-of-a-package: a worker that finds nothing to do returns before its deferred Done, and main waits for a package-level WaitGroup.
//
//goflow:class communication-deadlock
//goflow:expect goroutine-leak circular-wait deadlock
package main

import (
	"sync"
	"time"
)

var imageBatch sync.WaitGroup

func convert(image int) {
	if image == 3 {
		return
	}
	defer imageBatch.Done()
	time.Sleep(10 * time.Millisecond)
}

func batchOfAPackage() {
	for image := 0; image < 5; image++ {
		imageBatch.Add(1)
		go convert(image)
	}
	go heartbeat(50 * time.Millisecond)
	imageBatch.Wait() // stuck
}

func init() { kernels["batch-of-a-package"] = batchOfAPackage }
