module goflow.test/pingpong

go 1.18
