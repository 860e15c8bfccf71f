// session-upgrade: a session is looked up under the read lock, and its expiry wants the write lock before the read lock is given up.
//
//goflow:class resource-deadlock
//goflow:expect circular-wait deadlock
package main

import "sync"

type sessionTable struct {
	lock     sync.RWMutex
	sessions map[string]int
	now      int
}

func (t *sessionTable) touch(id string) bool {
	t.lock.RLock()
	defer t.lock.RUnlock()
	expires, found := t.sessions[id]
	if found && expires < t.now {
		t.expire(id)
		return false
	}
	return found
}

func (t *sessionTable) expire(id string) {
	t.lock.Lock() // stuck
	delete(t.sessions, id)
	t.lock.Unlock()
}

func sessionUpgrade() {
	table := &sessionTable{sessions: map[string]int{"alice": 20, "bob": 5}, now: 10}
	table.touch("alice")
	table.touch("bob")
}

func init() { kernels["session-upgrade"] = sessionUpgrade }
