// group-live-members: main waits for a group whose members serve for the life of the process.
//
//goflow:class correct
package main

import (
	"sync"
	"time"
)

type serviceGroup struct {
	members sync.WaitGroup
	failed  chan error
}

func (g *serviceGroup) run(member func() error) {
	g.members.Add(1)
	go func() {
		defer g.members.Done()
		if err := member(); err != nil {
			select {
			case g.failed <- err:
			default:
			}
		}
	}()
}

func (g *serviceGroup) wait() error {
	g.members.Wait()
	select {
	case err := <-g.failed:
		return err
	default:
		return nil
	}
}

func groupLiveMembers() {
	group := &serviceGroup{failed: make(chan error, 1)}
	for _, every := range []time.Duration{50 * time.Millisecond, 3 * time.Second, time.Minute} {
		every := every
		group.run(func() error {
			for {
				time.Sleep(every)
			}
		})
	}
	group.wait()
}

func init() { kernels["group-live-members"] = groupLiveMembers }
