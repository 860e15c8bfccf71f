// timer-channel-waits: jobs wait on the channels of their own timers, of half a minute and more.
//
//goflow:class correct
package main

import (
	"sync"
	"time"
)

type plannedJob struct {
	name string
	at   *time.Timer
}

func (j *plannedJob) wait(ended *sync.WaitGroup) {
	defer ended.Done()
	<-j.at.C
}

func timerChannelWaits() {
	var ended sync.WaitGroup
	for name, after := range map[string]time.Duration{"rotate": 30 * time.Second, "backup": time.Hour} {
		ended.Add(1)
		go (&plannedJob{name, time.NewTimer(after)}).wait(&ended)
	}
	ended.Add(1)
	go func() {
		defer ended.Done()
		<-time.After(45 * time.Second)
	}()
	ended.Wait()
}

func init() { kernels["timer-channel-waits"] = timerChannelWaits }
