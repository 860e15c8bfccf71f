// rw-crossed-peers: one goroutine reads the peers and writes the routes while another reads the routes and writes the peers.
//
//goflow:class resource-deadlock
//goflow:expect circular-wait deadlock
package main

import "sync"

type peerSet struct {
	sync.RWMutex
	addresses map[string]bool
}

type gossip struct {
	peers, routes peerSet
	reading       sync.WaitGroup
}

// spread adds all that is in one set to the other.
func (g *gossip) spread(from, to *peerSet) {
	from.RLock()
	defer from.RUnlock()
	g.reading.Done()
	g.reading.Wait()
	to.Lock() // stuck: 2
	defer to.Unlock()
	for address := range from.addresses {
		to.addresses[address] = true
	}
}

func rwCrossedPeers() {
	g := &gossip{}
	g.peers.addresses = map[string]bool{"10.0.0.1": true}
	g.routes.addresses = map[string]bool{"10.0.0.2": true}
	g.reading.Add(2)
	go g.spread(&g.peers, &g.routes)
	g.spread(&g.routes, &g.peers)
}

func init() { kernels["rw-crossed-peers"] = rwCrossedPeers }
