// Healthy are tests that leave nothing behind.
//
// What one sees: `go test` says that all is well, after about two seconds.
package healthy

import (
	"sync"
	"testing"
	"time"
)

func TestWorkersEnd(t *testing.T) {
	t.Parallel()
	jobs, done := make(chan int), make(chan int, 200)
	var workers sync.WaitGroup
	for i := 0; i < 4; i++ {
		workers.Add(1)
		go func() {
			defer workers.Done()
			for job := range jobs {
				time.Sleep(40 * time.Millisecond)
				done <- job
			}
		}()
	}
	for job := 0; job < 200; job++ {
		jobs <- job
	}
	close(jobs)
	workers.Wait()
	if len(done) != 200 {
		t.Fatal(len(done))
	}
}

func TestWaitsForATimer(t *testing.T) {
	t.Parallel()
	select {
	case <-time.After(1500 * time.Millisecond):
	case <-make(chan int):
	}
}
