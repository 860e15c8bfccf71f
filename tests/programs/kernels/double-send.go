// double-send: a job that fails goes on to report success as well, and its channel has room for one report that nobody may read.
//
//goflow:class leak
//goflow:expect goroutine-leak
package main

import (
	"errors"
	"time"
)

type asyncJob struct {
	outcome chan error
	run     func() error
}

// startJob does not wait for the job: the outcome has room in the channel for those who want it later.
func startJob(run func() error) *asyncJob {
	job := &asyncJob{outcome: make(chan error, 1), run: run}
	go job.do()
	return job
}

func (j *asyncJob) finish(err error) {
	j.outcome <- err // stuck: 2
}

func (j *asyncJob) do() {
	if err := j.run(); err != nil {
		j.finish(err)
	}
	j.finish(nil)
}

func doubleSend() {
	startJob(func() error { return nil })
	for i := 0; i < 2; i++ {
		startJob(func() error { return errors.New("disk full") })
	}
	heartbeat(50 * time.Millisecond)
}

func init() { kernels["double-send"] = doubleSend }
