module goflow.test/steady

go 1.18
