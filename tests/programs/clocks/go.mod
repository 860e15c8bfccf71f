module goflow.test/clocks

go 1.18
