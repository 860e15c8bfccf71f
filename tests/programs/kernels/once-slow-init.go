// once-slow-init: four handlers wait in sync.Once for the first, which loads a model for seven seconds.
//
//goflow:class correct
package main

import (
	"sync"
	"time"
)

type model struct{ weights []float64 }

type lazyModel struct {
	once   sync.Once
	loaded *model
}

func (l *lazyModel) get() *model {
	l.once.Do(func() {
		time.Sleep(7 * time.Second)
		l.loaded = &model{weights: make([]float64, 16)}
	})
	return l.loaded
}

func onceSlowInit() {
	var lazy lazyModel
	var handlers sync.WaitGroup
	for i := 0; i < 5; i++ {
		handlers.Add(1)
		go func() {
			defer handlers.Done()
			_ = lazy.get().weights[0]
		}()
	}
	handlers.Wait()
	heartbeat(50 * time.Millisecond)
}

func init() { kernels["once-slow-init"] = onceSlowInit }
