// held-in-map: sessions wait on channels which a sleeping sweeper holds in a map by name.
//
//goflow:class correct
package main

import "time"

type mappedSession struct {
	expire chan bool
	idle   time.Duration
}

func sweepSessions(sessions map[string]*mappedSession, pause time.Duration) {
	for len(sessions) > 0 {
		time.Sleep(pause)
		for name, session := range sessions {
			session.idle += pause
			if session.idle > 25*time.Second {
				session.expire <- true
				delete(sessions, name)
			}
		}
	}
}

func heldInMap() {
	sessions := map[string]*mappedSession{}
	for _, name := range []string{"alice", "bob", "carol"} {
		session := &mappedSession{expire: make(chan bool)}
		sessions[name] = session
		go func() { <-session.expire }()
	}
	go sweepSessions(sessions, 10*time.Second)
	heartbeat(100 * time.Millisecond)
}

func init() { kernels["held-in-map"] = heldInMap }
