module goflow.test/stackgrow

go 1.18
