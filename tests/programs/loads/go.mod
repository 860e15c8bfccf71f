module goflow.test/loads

go 1.18
