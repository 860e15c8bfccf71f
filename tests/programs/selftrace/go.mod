module goflow.test/selftrace

go 1.18
