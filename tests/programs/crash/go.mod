module goflow.test/crash

go 1.18
