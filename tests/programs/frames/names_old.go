//go:build !go1.21

package main

import "runtime"

// nameInProfile is what the pprof package has of a frame.
func nameInProfile(f *runtime.Frame) string { return f.Function }
