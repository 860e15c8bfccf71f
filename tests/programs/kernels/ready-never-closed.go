// ready-never-closed: a migration fails and returns without closing the package-level channel that says that the schema is ready.
//
//goflow:class leak
//goflow:expect goroutine-leak channel-not-closed
package main

import (
	"errors"
	"time"
)

var schemaReady = make(chan struct{})

type migration struct {
	name      string
	statement string
}

func migrate(migrations []migration) error {
	for _, m := range migrations {
		if m.statement == "" {
			return errors.New("migration " + m.name + " is empty")
		}
	}
	close(schemaReady)
	return nil
}

func loadTable(name string) int {
	<-schemaReady // stuck: 2
	return len(name)
}

func readyNeverClosed() {
	for _, name := range []string{"users", "orders"} {
		go loadTable(name)
	}
	go migrate([]migration{{"0001", "create table users"}, {"0002", ""}})
	polledStatus(50 * time.Millisecond)
}

func init() { kernels["ready-never-closed"] = readyNeverClosed }
