//go:build !(cgo && withc)

package main

func callC() int { return 0 }
