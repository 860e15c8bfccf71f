// cache-double-lock: a miss in Get calls Set, which takes the lock that Get holds.
//
//goflow:class resource-deadlock
//goflow:expect circular-wait
package main

import (
	"sync"
	"time"
)

type priceCache struct {
	mu     sync.Mutex
	prices map[string]int
}

func (c *priceCache) Get(item string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	price, found := c.prices[item]
	if !found {
		price = len(item)
		c.Set(item, price)
	}
	return price
}

func (c *priceCache) Set(item string, price int) {
	c.mu.Lock() // stuck
	defer c.mu.Unlock()
	c.prices[item] = price
}

func (c *priceCache) Len() int {
	c.mu.Lock() // stuck
	defer c.mu.Unlock()
	return len(c.prices)
}

func cacheDoubleLock() {
	cache := &priceCache{prices: map[string]int{"book": 12}}
	cache.Get("book")
	go cache.Get("lamp")
	time.Sleep(50 * time.Millisecond)
	go cache.Len()
	polledStatus(40 * time.Millisecond)
}

func init() { kernels["cache-double-lock"] = cacheDoubleLock }
