// held-by-timer-method: a waiter's channel is known only to a timer, through the method value that it will call in twenty seconds.
//
//goflow:class correct
package main

import "time"

type trialPeriod struct {
	user  string
	ended chan time.Time
}

func (t *trialPeriod) end() { t.ended <- time.Now() }

func startTrial(user string, length time.Duration) <-chan time.Time {
	t := &trialPeriod{user: user, ended: make(chan time.Time, 1)}
	time.AfterFunc(length, t.end)
	return t.ended
}

func heldByTimerMethod() {
	for _, user := range []string{"alice", "bob"} {
		go func(ended <-chan time.Time) {
			<-ended
		}(startTrial(user, 20*time.Second))
	}
	busyWorkers(2)
}

func init() { kernels["held-by-timer-method"] = heldByTimerMethod }
