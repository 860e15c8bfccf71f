// shard-ring: three rebalancers each hold a shard and want the next one of the ring.
//
//goflow:class resource-deadlock
//goflow:expect circular-wait
package main

import "sync"

type shard struct {
	sync.Mutex
	keys map[string]string
}

type shardedStore struct {
	shards []*shard
	held   sync.WaitGroup
}

// moveNext hands every key of a shard to its neighbour.
func (s *shardedStore) moveNext(i int) {
	from, to := s.shards[i], s.shards[(i+1)%len(s.shards)]
	from.Lock()
	defer from.Unlock()
	s.held.Done()
	s.held.Wait()
	to.Lock() // stuck: 3
	defer to.Unlock()
	for key, value := range from.keys {
		to.keys[key] = value
		delete(from.keys, key)
	}
}

func shardRing() {
	store := &shardedStore{}
	for i := 0; i < 3; i++ {
		store.shards = append(store.shards, &shard{keys: map[string]string{"owner": "a"}})
	}
	store.held.Add(len(store.shards))
	for i := range store.shards {
		go store.moveNext(i)
	}
	busyWorkers(2)
}

func init() { kernels["shard-ring"] = shardRing }
