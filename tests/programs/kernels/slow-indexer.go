// slow-indexer: three crawlers wait for room in a queue most of the time, because one slow indexer empties it.
//
//goflow:class stall
//goflow:expect slow-consumer
package main

import "time"

type crawledPage struct {
	site string
	page int
}

type indexer struct {
	queue   chan crawledPage
	indexed map[string]int
}

func (i *indexer) run() {
	for page := range i.queue {
		time.Sleep(50 * time.Millisecond)
		i.indexed[page.site]++
	}
}

func (i *indexer) crawl(site string) {
	for page := 0; ; page++ {
		i.queue <- crawledPage{site, page} // here
		time.Sleep(time.Millisecond)
	}
}

func slowIndexer() {
	index := &indexer{queue: make(chan crawledPage, 4), indexed: map[string]int{}}
	go index.run()
	for _, site := range []string{"news", "docs", "shop"} {
		go index.crawl(site)
	}
	heartbeat(100 * time.Millisecond)
}

func init() { kernels["slow-indexer"] = slowIndexer }
