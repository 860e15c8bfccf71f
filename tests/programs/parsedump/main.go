// Parsedump reads a goroutine dump on stdin with panicparse and prints what that found, as JSON.
//
// What one sees: one array, and for each goroutine its `id`, `state`, `calls` (innermost first) and `created_by`. Status 1
// when panicparse finds no dump.
package main

import (
	"encoding/json"
	"io"
	"os"

	"github.com/maruel/panicparse/v2/stack"
)

type goroutine struct {
	ID        int      `json:"id"`
	State     string   `json:"state"`
	Calls     []string `json:"calls"`
	CreatedBy string   `json:"created_by"`
}

func main() {
	snapshot, _, err := stack.ScanSnapshot(os.Stdin, io.Discard, &stack.Opts{})
	if snapshot == nil || err != nil && err != io.EOF {
		os.Stderr.WriteString("no dump\n")
		if err != nil {
			os.Stderr.WriteString(err.Error() + "\n")
		}
		os.Exit(1)
	}
	found := []goroutine{}
	for _, g := range snapshot.Goroutines {
		one := goroutine{ID: g.ID, State: g.State}
		for _, call := range g.Stack.Calls {
			one.Calls = append(one.Calls, call.Func.Complete)
		}
		for _, call := range g.CreatedBy.Calls {
			one.CreatedBy = call.Func.Complete
		}
		found = append(found, one)
	}
	json.NewEncoder(os.Stdout).Encode(found)
}
