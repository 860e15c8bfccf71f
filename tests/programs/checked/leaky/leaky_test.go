// Leaky are tests of which one leaves a goroutine behind and passes all the same.
//
// What one sees: `go test` says that all is well, after about two seconds. The goroutine waits at the line marked `stuck`.
package leaky

import (
	"testing"
	"time"
)

// first returns the answer of the quicker of two, and never takes that of the other.
func first(one, other func() int) int {
	answers := make(chan int)
	for _, ask := range []func() int{one, other} {
		ask := ask
		go func() {
			answers <- ask() // stuck
		}()
	}
	return <-answers
}

func TestFirstAnswerCounts(t *testing.T) {
	t.Parallel()
	slow := func() int { time.Sleep(50 * time.Millisecond); return 2 }
	if got := first(func() int { return 1 }, slow); got != 1 {
		t.Fatal(got)
	}
}

func TestSomethingElseGoesOn(t *testing.T) {
	t.Parallel()
	for deadline := time.Now().Add(2 * time.Second); time.Now().Before(deadline); {
		time.Sleep(10 * time.Millisecond)
	}
}
