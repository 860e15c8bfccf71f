// Lets a function without a body compile, which go:linkname gives one.
