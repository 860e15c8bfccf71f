// group-limit-nested: tasks of a group with a limit start further tasks in the same group, and hold the places that those would need.
//
//goflow:class communication-deadlock
//goflow:expect circular-wait goroutine-leak deadlock
package main

import "sync"

type limitedGroup struct {
	members sync.WaitGroup
	places  chan struct{}
}

func (g *limitedGroup) Go(task func()) {
	g.places <- struct{}{} // stuck: 2
	g.members.Add(1)
	go func() {
		defer func() {
			<-g.places
			g.members.Done()
		}()
		task()
	}()
}

type folder struct {
	files   int
	folders []*folder
}

func scanFolder(group *limitedGroup, f *folder, started *sync.WaitGroup) {
	started.Done()
	started.Wait()
	for _, sub := range f.folders {
		sub := sub
		group.Go(func() { sub.files++ })
	}
}

func groupLimitNested() {
	group := &limitedGroup{places: make(chan struct{}, 2)}
	var started sync.WaitGroup
	started.Add(2)
	for i := 0; i < 2; i++ {
		f := &folder{folders: []*folder{{}, {}}}
		group.Go(func() { scanFolder(group, f, &started) })
	}
	group.members.Wait() // stuck
}

func init() { kernels["group-limit-nested"] = groupLimitNested }
