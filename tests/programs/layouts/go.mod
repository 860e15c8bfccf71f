module goflow.test/layouts

go 1.18
