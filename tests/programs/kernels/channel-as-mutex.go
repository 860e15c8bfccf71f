// channel-as-mutex: a channel with room for one is used as a mutex by writers under load.
//
//goflow:class correct
package main

import (
	"context"
	"time"
)

type channelMutex chan struct{}

func (m channelMutex) lock(ctx context.Context) error {
	select {
	case m <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (m channelMutex) unlock() { <-m }

type segmentFile struct {
	writing channelMutex
	size    int
}

func (f *segmentFile) append(ctx context.Context, data []byte) error {
	if err := f.writing.lock(ctx); err != nil {
		return err
	}
	defer f.writing.unlock()
	time.Sleep(2 * time.Millisecond)
	f.size += len(data)
	return nil
}

func channelAsMutex() {
	file := &segmentFile{writing: make(channelMutex, 1)}
	for i := 0; i < 4; i++ {
		go func() {
			for {
				ctx, cancel := context.WithTimeout(context.Background(), time.Second)
				file.append(ctx, []byte("entry"))
				cancel()
				time.Sleep(20 * time.Millisecond)
			}
		}()
	}
}

func init() { kernels["channel-as-mutex"] = channelAsMutex }
