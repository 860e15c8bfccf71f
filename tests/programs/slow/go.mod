module goflow.test/slow

go 1.18
