// Graceful is a service that takes half a second to shut down.
//
// What one sees: "running"; on SIGINT "stopping", then three goroutines tidy up, "stopped", and the end, status 5.
// Further SIGINTs change nothing. Without one it ends with 1 after a minute.
package main

import (
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"
)

func say(text string) { syscall.Write(1, []byte(text+"\n")) }

var group sync.WaitGroup

// tidy has no argument, or a wrapper would be what the goroutine starts with.
func tidy() {
	defer group.Done()
	time.Sleep(500 * time.Millisecond)
}

func main() {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT)
	say("running")
	select {
	case <-signals:
	case <-time.After(time.Minute):
		os.Exit(1)
	}
	say("stopping")
	for i := 0; i < 3; i++ {
		group.Add(1)
		go tidy()
	}
	group.Wait()
	say("stopped")
	os.Exit(5)
}
