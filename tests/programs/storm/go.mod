module goflow.test/storm

go 1.18
