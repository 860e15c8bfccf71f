// results-before-wait: the crawl waits for its workers before it reads the results that they are sending.
//
//goflow:class communication-deadlock
//goflow:expect circular-wait goroutine-leak deadlock
package main

import "sync"

type page struct {
	url   string
	links int
}

func crawl(urls []string) []page {
	var pending sync.WaitGroup
	results := make(chan page)
	for _, url := range urls {
		url := url
		pending.Add(1)
		go func() {
			defer pending.Done()
			results <- page{url: url, links: len(url)} // stuck: 3
		}()
	}
	pending.Wait() // stuck
	close(results)
	var pages []page
	for p := range results {
		pages = append(pages, p)
	}
	return pages
}

func resultsBeforeWait() {
	crawl([]string{"a.example", "b.example", "c.example"})
}

func init() { kernels["results-before-wait"] = resultsBeforeWait }
