module goflow.test/demo

go 1.18
