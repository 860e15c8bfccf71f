// pipeline-early-break: the consumer of a pipeline breaks out of its loop, and both stages before it stay in their sends.
//
//goflow:class leak
//goflow:expect goroutine-leak
package main

func readRecords(count int) <-chan int {
	records := make(chan int)
	go func() {
		defer close(records)
		for i := 0; i < count; i++ {
			records <- i // stuck
		}
	}()
	return records
}

func parseRecords(records <-chan int) <-chan string {
	parsed := make(chan string)
	go func() {
		defer close(parsed)
		for record := range records {
			parsed <- string(rune('a' + record)) // stuck
		}
	}()
	return parsed
}

func pipelineEarlyBreak() {
	for record := range parseRecords(readRecords(20)) {
		if record == "d" {
			break
		}
	}
}

func init() { kernels["pipeline-early-break"] = pipelineEarlyBreak }
