module goflow.test/checked

go 1.18
