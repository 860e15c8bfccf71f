//go:build go1.27

// In a module that asks for an older Go, tracebacks have no labels by default.
//
//go:debug tracebacklabels=1

package main
