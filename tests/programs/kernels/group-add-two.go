// group-add-two: the group counts two for each mirror, and each mirror is done once.
//
//goflow:class communication-deadlock
//goflow:expect goroutine-leak deadlock
package main

import "sync"

type mirror struct {
	host    string
	fetched []string
}

func (m *mirror) fetch(files []string, pending *sync.WaitGroup) {
	defer pending.Done()
	for _, file := range files {
		m.fetched = append(m.fetched, m.host+"/"+file)
	}
}

func groupAddTwo() {
	mirrors := []*mirror{{host: "a.example"}, {host: "b.example"}}
	var pending sync.WaitGroup
	for _, m := range mirrors {
		pending.Add(2) // its files, and the signature of each
		go m.fetch([]string{"index", "news"}, &pending)
	}
	pending.Wait() // stuck
}

func init() { kernels["group-add-two"] = groupAddTwo }
