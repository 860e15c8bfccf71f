//go:build go1.21

package main

import (
	"runtime"
	_ "unsafe" // for go:linkname
)

// nameInProfile is what the pprof package calls to name a frame (src/runtime/pprof/proto.go).
//
//go:linkname nameInProfile runtime/pprof.runtime_FrameSymbolName
func nameInProfile(f *runtime.Frame) string
