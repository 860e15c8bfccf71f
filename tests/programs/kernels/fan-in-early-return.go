// fan-in-early-return: a search returns at the first match, and the forwarders of its fan-in still have matches to send.
//
//goflow:class leak
//goflow:expect goroutine-leak
package main

import "time"

type searchIndex struct{ documents []string }

func (s searchIndex) matches(word string) <-chan string {
	matches := make(chan string, len(s.documents))
	for _, document := range s.documents {
		matches <- document + "#" + word
	}
	close(matches)
	return matches
}

func fanIn(sources ...<-chan string) <-chan string {
	merged := make(chan string)
	for _, source := range sources {
		go func(source <-chan string) {
			for match := range source {
				merged <- match // stuck: 3
			}
		}(source)
	}
	return merged
}

func firstMatch(word string, indexes []searchIndex) string {
	var sources []<-chan string
	for _, index := range indexes {
		sources = append(sources, index.matches(word))
	}
	return <-fanIn(sources...)
}

func fanInEarlyReturn() {
	news := searchIndex{[]string{"news/1", "news/2"}}
	mail := searchIndex{[]string{"mail/1", "mail/2", "mail/3"}}
	docs := searchIndex{[]string{"docs/1", "docs/2"}}
	firstMatch("golang", []searchIndex{news, mail, docs})
	heartbeat(75 * time.Millisecond)
}

func init() { kernels["fan-in-early-return"] = fanInEarlyReturn }
