// bus-callback: the event bus calls its handlers under its lock, and a handler for one event unsubscribes itself.
//
//goflow:class resource-deadlock
//goflow:expect circular-wait deadlock
package main

import "sync"

type eventBus struct {
	mu       sync.Mutex
	handlers map[int]func(event string)
	nextID   int
}

func (b *eventBus) Subscribe(handler func(event string)) (id int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.nextID++
	b.handlers[b.nextID] = handler
	return b.nextID
}

func (b *eventBus) Unsubscribe(id int) {
	b.mu.Lock() // stuck
	defer b.mu.Unlock()
	delete(b.handlers, id)
}

func (b *eventBus) Emit(event string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, handler := range b.handlers {
		handler(event)
	}
}

func busCallback() {
	bus := &eventBus{handlers: map[int]func(string){}}
	seen := map[string]int{}
	bus.Subscribe(func(event string) { seen[event]++ })
	var id int
	id = bus.Subscribe(func(event string) {
		if event == "connected" {
			bus.Unsubscribe(id)
		}
	})
	bus.Emit("connecting")
	bus.Emit("connected")
}

func init() { kernels["bus-callback"] = busCallback }
