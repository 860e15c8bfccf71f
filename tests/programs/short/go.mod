module goflow.test/short

go 1.18
