module goflow.test/pausing

go 1.18
