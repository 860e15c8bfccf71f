// held-in-sync-map: long polls wait on channels in a package-level sync.Map until an event is posted, which happens every eight seconds.
//
//goflow:class correct
package main

import (
	"sync"
	"time"
)

var longPolls sync.Map // of chan string, by client

func pollEvents(client string) string {
	events := make(chan string, 1)
	longPolls.Store(client, events)
	return <-events
}

func postEvent(event string) {
	longPolls.Range(func(client, events interface{}) bool {
		longPolls.Delete(client)
		events.(chan string) <- event
		return true
	})
}

func heldInSyncMap() {
	for _, client := range []string{"phone", "laptop", "tablet"} {
		go func(client string) {
			for {
				pollEvents(client)
			}
		}(client)
	}
	for range time.Tick(8 * time.Second) {
		postEvent("mail")
	}
}

func init() { kernels["held-in-sync-map"] = heldInSyncMap }
