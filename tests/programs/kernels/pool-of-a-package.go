// pool-of-a-package: the workers of a package-level pool wait for its end, which nothing calls.
//
//goflow:class leak
//goflow:expect goroutine-leak
package main

import "time"

type previewPool struct {
	jobs chan int
	quit chan struct{}
	done int
}

var previews = &previewPool{jobs: make(chan int), quit: make(chan struct{})}

func (p *previewPool) work() {
	for {
		select { // stuck: 2
		case <-p.quit:
			return
		case job := <-p.jobs:
			p.done += job
		}
	}
}

func poolOfAPackage() {
	go previews.work()
	go previews.work()
	for job := 0; job < 4; job++ {
		previews.jobs <- job
	}
	heartbeat(50 * time.Millisecond)
}

func init() { kernels["pool-of-a-package"] = poolOfAPackage }
