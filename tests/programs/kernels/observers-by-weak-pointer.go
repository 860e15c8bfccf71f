//go:build go1.24

// observers-by-weak-pointer: who publishes has its observers by weak pointers alone, and each observer keeps what it waits for.
//
//goflow:class correct
package main

import (
	"sync"
	"time"
	"weak"
)

type observer struct{ news chan int }

var (
	observing sync.Mutex
	observers []weak.Pointer[observer]
)

func observe() {
	one := &observer{news: make(chan int)}
	observing.Lock()
	observers = append(observers, weak.Make(one))
	observing.Unlock()
	go func() {
		for range one.news {
		}
	}()
}

func publish(news int) {
	observing.Lock()
	defer observing.Unlock()
	for _, pointer := range observers {
		if one := pointer.Value(); one != nil {
			one.news <- news
		}
	}
}

func observersByWeakPointer() {
	for i := 0; i < 3; i++ {
		observe()
	}
	for news := 0; ; news++ {
		time.Sleep(time.Minute)
		publish(news)
	}
}

func init() { kernels["observers-by-weak-pointer"] = observersByWeakPointer }
