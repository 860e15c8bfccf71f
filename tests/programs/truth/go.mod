module goflow.test/truth

go 1.18
