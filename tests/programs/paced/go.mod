module paced

go 1.18
