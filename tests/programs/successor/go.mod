module goflow.test/successor

go 1.18
