module goflow.test/forkstorm

go 1.18
