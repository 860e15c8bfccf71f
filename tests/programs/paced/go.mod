module goflow.test/paced

go 1.18
