module goflow.test/idle

go 1.18
