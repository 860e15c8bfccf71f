module buffered

go 1.18
