module goflow.test/graceful

go 1.18
