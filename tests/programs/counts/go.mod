module goflow.test/counts

go 1.18
