module goflow.test/positions

go 1.18
