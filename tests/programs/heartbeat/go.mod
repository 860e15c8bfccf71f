module goflow.test/heartbeat

go 1.18
