module goflow.test/withheld

go 1.18
