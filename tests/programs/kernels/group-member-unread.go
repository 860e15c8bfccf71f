// group-member-unread: the collector of a group stops at the first error, so a member cannot send its rows and Wait does not return.
//
//goflow:class leak
//goflow:expect goroutine-leak
package main

import (
	"errors"
	"sync"
	"time"
)

type errorGroup struct {
	members sync.WaitGroup
	once    sync.Once
	err     error
}

func (g *errorGroup) Go(member func() error) {
	g.members.Add(1)
	go func() {
		defer g.members.Done()
		if err := member(); err != nil {
			g.once.Do(func() { g.err = err })
		}
	}()
}

func (g *errorGroup) Wait() error {
	g.members.Wait() // stuck
	return g.err
}

func collectRows(tables []string) error {
	var group errorGroup
	rows := make(chan string)
	failed := make(chan bool, len(tables))
	for _, table := range tables {
		table := table
		group.Go(func() error {
			if table == "" {
				failed <- true
				return errors.New("table has no name")
			}
			time.Sleep(20 * time.Millisecond)
			rows <- table + "/1" // stuck: 2
			return nil
		})
	}
	select {
	case <-rows:
	case <-failed:
	}
	return group.Wait()
}

func groupMemberUnread() {
	go collectRows([]string{"users", "", "orders"})
	heartbeat(50 * time.Millisecond)
}

func init() { kernels["group-member-unread"] = groupMemberUnread }
