module goflow.test/deep

go 1.18
