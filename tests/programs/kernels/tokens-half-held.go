// tokens-half-held: two builds need two tokens each and have taken one of the two that there are.
//
//goflow:class communication-deadlock
//goflow:expect circular-wait goroutine-leak
package main

import (
	"sync"
	"time"
)

type tokenBucket chan int

func newTokenBucket(tokens int) tokenBucket {
	bucket := make(tokenBucket, tokens)
	for token := 0; token < tokens; token++ {
		bucket <- token
	}
	return bucket
}

type build struct {
	target string
	tokens []int
}

func (b *build) acquire(bucket tokenBucket, want int, all *sync.WaitGroup) {
	for len(b.tokens) < want {
		b.tokens = append(b.tokens, <-bucket) // stuck: 2
		if len(b.tokens) == 1 {
			all.Done()
			all.Wait()
		}
	}
}

func tokensHalfHeld() {
	bucket := newTokenBucket(2)
	var all sync.WaitGroup
	all.Add(2)
	for _, target := range []string{"server", "client"} {
		b := &build{target: target}
		go func() {
			b.acquire(bucket, 2, &all)
			for _, token := range b.tokens {
				bucket <- token
			}
		}()
	}
	heartbeat(time.Second)
}

func init() { kernels["tokens-half-held"] = tokensHalfHeld }
