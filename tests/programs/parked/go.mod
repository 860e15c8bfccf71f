module goflow.test/parked

go 1.18
