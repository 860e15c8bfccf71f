// first-response-wins: the first of three replicas to answer wins, and the others send to an unbuffered channel that nobody reads any more.
//
//goflow:class leak
//goflow:expect goroutine-leak
package main

import "time"

type queryResult struct {
	replica string
	rows    int
}

func queryReplica(replica string, delay time.Duration, results chan<- queryResult) {
	time.Sleep(delay)
	results <- queryResult{replica, len(replica)} // stuck: 2
}

func fastest(replicas []string) queryResult {
	results := make(chan queryResult)
	for i, replica := range replicas {
		go queryReplica(replica, time.Duration(i*10)*time.Millisecond, results)
	}
	return <-results
}

func firstResponseWins() {
	fastest([]string{"eu-1", "eu-2", "us-1"})
	heartbeat(50 * time.Millisecond)
}

func init() { kernels["first-response-wins"] = firstResponseWins }
