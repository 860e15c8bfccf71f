//go:build cgo && withc

package main

// static int forty_two(void) { return 42; }
import "C"

func callC() int { return int(C.forty_two()) }
