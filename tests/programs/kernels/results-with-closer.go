// results-with-closer: a goroutine waits for the workers and closes their results, while the caller ranges over them; one worker is slow.
//
//goflow:class correct
package main

import (
	"sync"
	"time"
)

type checkedLink struct {
	url string
	ok  bool
}

func checkLinks(urls []string, slow time.Duration) (broken int) {
	results := make(chan checkedLink)
	var workers sync.WaitGroup
	for i, url := range urls {
		workers.Add(1)
		go func(i int, url string) {
			defer workers.Done()
			if i == 0 {
				time.Sleep(slow)
			}
			results <- checkedLink{url, len(url) > 4}
		}(i, url)
	}
	go func() {
		workers.Wait()
		close(results)
	}()
	for result := range results {
		if !result.ok {
			broken++
		}
	}
	return broken
}

func resultsWithCloser() {
	for {
		checkLinks([]string{"a.example", "b", "c.example"}, 4*time.Second)
	}
}

func init() { kernels["results-with-closer"] = resultsWithCloser }
