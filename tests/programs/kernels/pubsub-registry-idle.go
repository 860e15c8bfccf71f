// pubsub-registry-idle: subscribers wait on channels that are kept in a package-level map, and the publisher has news every twenty seconds.
//
//goflow:class correct
package main

import (
	"sync"
	"time"
)

var newsDesk = struct {
	sync.RWMutex
	readers map[string][]chan string
}{readers: map[string][]chan string{}}

func subscribeNews(topic string) <-chan string {
	newsDesk.Lock()
	defer newsDesk.Unlock()
	news := make(chan string, 1)
	newsDesk.readers[topic] = append(newsDesk.readers[topic], news)
	return news
}

func publishNews(topic, headline string) {
	newsDesk.RLock()
	defer newsDesk.RUnlock()
	for _, reader := range newsDesk.readers[topic] {
		select {
		case reader <- headline:
		default: // slow readers miss news
		}
	}
}

func pubsubRegistryIdle() {
	for _, topic := range []string{"sport", "sport", "weather"} {
		go func(news <-chan string) {
			for range news {
			}
		}(subscribeNews(topic))
	}
	for {
		publishNews("sport", "home team wins")
		publishNews("weather", "rain")
		time.Sleep(20 * time.Second)
	}
}

func init() { kernels["pubsub-registry-idle"] = pubsubRegistryIdle }
