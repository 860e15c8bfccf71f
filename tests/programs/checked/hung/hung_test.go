// Hung are tests of which one never ends.
//
// What one sees: nothing, until `go test` gives up after ten minutes. Two goroutines wait for each other's lock at the line marked
// `stuck`, and the test for both; the other test has passed.
package hung

import (
	"sync"
	"testing"
)

type account struct {
	mu      sync.Mutex
	balance int
}

// transfer locks the payer before the payee, whichever they are.
func transfer(from, to *account, met *sync.WaitGroup) {
	from.mu.Lock()
	defer from.mu.Unlock()
	met.Done()
	met.Wait()
	to.mu.Lock() // stuck
	defer to.mu.Unlock()
	from.balance--
	to.balance++
}

func TestTransfersInBothDirections(t *testing.T) {
	t.Parallel()
	savings, checking := &account{balance: 100}, &account{balance: 100}
	var met, done sync.WaitGroup
	met.Add(2)
	done.Add(2)
	go func() { defer done.Done(); transfer(savings, checking, &met) }()
	go func() { defer done.Done(); transfer(checking, savings, &met) }()
	done.Wait()
}

func TestPasses(t *testing.T) {
	t.Parallel()
}
