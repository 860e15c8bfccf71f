package main

import (
	"context"
	"math/rand"
	"sync"
	"time"
)

// An order waits in the queue until a worker takes it; the worker answers on its reply channel.
type order struct {
	ctx   context.Context
	item  string
	reply chan result
}

type result struct {
	receipt receipt
	err     error
}

type receipt struct {
	Item    string `json:"item"`
	Payment string `json:"payment"`
}

// shop owns the queue, the workers and the books.
type shop struct {
	queue   chan order
	stock   *stock
	ledger  chan receipt
	workers sync.WaitGroup
}

// newShop starts the workers, the bookkeeper and the restocker; they end with ctx.
func newShop(ctx context.Context, workers int) *shop {
	s := &shop{queue: make(chan order, 4), stock: newStock(), ledger: make(chan receipt, 64)}
	for i := 0; i < workers; i++ {
		s.workers.Add(1)
		go s.work(ctx)
	}
	go s.keepBooks(ctx)
	go s.restock(ctx)
	return s
}

func (s *shop) wait() { s.workers.Wait() }

// place puts an order into the queue and waits for its receipt, both no longer than ctx.
func (s *shop) place(ctx context.Context, item string) (receipt, error) {
	o := order{ctx: ctx, item: item, reply: make(chan result, 1)}
	select {
	case s.queue <- o:
	case <-ctx.Done():
		return receipt{}, ctx.Err()
	}
	select {
	case r := <-o.reply:
		return r.receipt, r.err
	case <-ctx.Done():
		return receipt{}, ctx.Err()
	}
}

func (s *shop) work(ctx context.Context) {
	defer s.workers.Done()
	for {
		select {
		case o := <-s.queue:
			r, err := s.fulfil(o)
			o.reply <- result{r, err}
		case <-ctx.Done():
			return
		}
	}
}

func (s *shop) fulfil(o order) (receipt, error) {
	if err := s.stock.take(o.item); err != nil {
		return receipt{}, err
	}
	payment, err := charge(o.ctx)
	if err != nil {
		s.stock.putBack(o.item)
		return receipt{}, err
	}
	r := receipt{Item: o.item, Payment: payment}
	select {
	case s.ledger <- r:
	default: // the books may lag, the customer must not
	}
	return r, nil
}

// charge asks the payment gateway, at most 20 ms.
//
// The bug of this service: the channel has no buffer, so a gateway that answers after the timeout blocks for ever.
func charge(ctx context.Context) (string, error) {
	answer := make(chan string)
	go func() { answer <- gateway() }()
	timeout := time.NewTimer(20 * time.Millisecond)
	defer timeout.Stop()
	select {
	case payment := <-answer:
		return payment, nil
	case <-timeout.C:
		return "", context.DeadlineExceeded
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// gateway takes 1 to 5 ms, and one time in two hundred 40 ms.
func gateway() string {
	pause := time.Duration(1+rand.Intn(5)) * time.Millisecond
	if rand.Intn(200) == 0 {
		pause = 40 * time.Millisecond
	}
	time.Sleep(pause)
	return "accepted"
}

// keepBooks writes receipts in batches.
func (s *shop) keepBooks(ctx context.Context) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	var batch []receipt
	for {
		select {
		case r := <-s.ledger:
			batch = append(batch, r)
		case <-tick.C:
			batch = batch[:0]
		case <-ctx.Done():
			return
		}
	}
}

func (s *shop) restock(ctx context.Context) {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			s.stock.refill()
		case <-ctx.Done():
			return
		}
	}
}

// cheapest asks four suppliers at once and waits for all of them.
func (s *shop) cheapest(ctx context.Context) map[string]int {
	var (
		mu     sync.Mutex
		all    sync.WaitGroup
		quotes = map[string]int{}
	)
	for _, supplier := range []string{"north", "east", "south", "west"} {
		all.Add(1)
		go func(supplier string) {
			defer all.Done()
			price := quote(ctx)
			mu.Lock()
			defer mu.Unlock()
			quotes[supplier] = price
		}(supplier)
	}
	all.Wait()
	return quotes
}

func quote(ctx context.Context) int {
	select {
	case <-time.After(time.Duration(rand.Intn(3)) * time.Millisecond):
	case <-ctx.Done():
	}
	return 10 + rand.Intn(90)
}
