package main

import (
	"errors"
	"sync"
	"time"
)

var errSoldOut = errors.New("sold out")

// stock is what everybody wants at once: a mutex for those who change it, held while the shelf is counted.
type stock struct {
	mu    sync.RWMutex
	count map[string]int
}

const shelf = 1000

func newStock() *stock {
	s := &stock{count: map[string]int{}}
	s.refill()
	return s
}

func (s *stock) take(item string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.count[item] == 0 {
		return errSoldOut
	}
	s.count[item]--
	return nil
}

func (s *stock) putBack(item string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count[item]++
}

func (s *stock) snapshot() map[string]int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	copied := make(map[string]int, len(s.count))
	for item, n := range s.count {
		copied[item] = n
	}
	return copied
}

// refill holds the lock for a millisecond, as a database would.
func (s *stock) refill() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, item := range []string{"book", "lamp", "pen"} {
		s.count[item] = shelf
	}
	time.Sleep(time.Millisecond)
}
