module goflow.test/generics

go 1.18
