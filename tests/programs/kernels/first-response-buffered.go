// first-response-buffered: the first of three replicas to answer wins, and the others leave their answers in a buffer with room for all.
//
//goflow:class correct
package main

import "time"

type replicaAnswer struct {
	replica string
	rows    int
}

func askReplicas(replicas []string) replicaAnswer {
	answers := make(chan replicaAnswer, len(replicas))
	for i, replica := range replicas {
		go func(replica string, delay time.Duration) {
			time.Sleep(delay)
			answers <- replicaAnswer{replica, len(replica)}
		}(replica, time.Duration(i*15)*time.Millisecond)
	}
	return <-answers
}

func firstResponseBuffered() {
	for {
		askReplicas([]string{"eu-1", "eu-2", "us-1"})
		time.Sleep(50 * time.Millisecond)
	}
}

func init() { kernels["first-response-buffered"] = firstResponseBuffered }
