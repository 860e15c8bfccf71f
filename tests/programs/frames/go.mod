module goflow.test/frames

go 1.18
