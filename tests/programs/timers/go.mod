module goflow.test/timers

go 1.18
