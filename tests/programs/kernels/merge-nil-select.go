// merge-nil-select: the merge sets each source to nil when it closes, and goes on selecting when both are nil.
//
//goflow:class communication-deadlock
//goflow:expect goroutine-leak deadlock
package main

type reading struct {
	sensor string
	value  int
}

func readSensor(name string, values ...int) <-chan reading {
	readings := make(chan reading)
	go func() {
		defer close(readings)
		for _, value := range values {
			readings <- reading{name, value}
		}
	}()
	return readings
}

func mergeReadings(left, right <-chan reading, merged chan<- reading) {
	defer close(merged)
	for {
		select { // stuck
		case r, open := <-left:
			if !open {
				left = nil
				continue
			}
			merged <- r
		case r, open := <-right:
			if !open {
				right = nil
				continue
			}
			merged <- r
		}
	}
}

func mergeNilSelect() {
	merged := make(chan reading)
	go mergeReadings(readSensor("door", 1, 0), readSensor("window", 3), merged)
	sums := map[string]int{}
	for r := range merged { // stuck
		sums[r.sensor] += r.value
	}
}

func init() { kernels["merge-nil-select"] = mergeNilSelect }
