module goflow.test/many

go 1.18
