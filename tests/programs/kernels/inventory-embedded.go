// inventory-embedded: Reserve holds the embedded lock of the inventory and asks Available, which locks it too.
//
//goflow:class resource-deadlock
//goflow:expect circular-wait
package main

import (
	"errors"
	"sync"
	"time"
)

type inventory struct {
	sync.Mutex
	shelf    map[string]int
	reserved map[string]int
}

func (i *inventory) Available(item string) int {
	i.Lock() // stuck
	defer i.Unlock()
	return i.shelf[item] - i.reserved[item]
}

func (i *inventory) Reserve(item string, count int) error {
	i.Lock()
	defer i.Unlock()
	if i.Available(item) < count {
		return errors.New("sold out")
	}
	i.reserved[item] += count
	return nil
}

func inventoryEmbedded() {
	stock := &inventory{shelf: map[string]int{"pen": 3}, reserved: map[string]int{}}
	failed := make(chan error, 1)
	go func() { failed <- stock.Reserve("pen", 2) }()
	heartbeat(30 * time.Millisecond)
	select {
	case <-failed:
	case <-time.After(200 * time.Millisecond):
	}
}

func init() { kernels["inventory-embedded"] = inventoryEmbedded }
