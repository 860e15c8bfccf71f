// range-never-closed: a report ranges over rows whose producer returns without closing the channel.
//
//goflow:class leak
//goflow:expect channel-not-closed goroutine-leak
package main

type reportRow struct {
	day   string
	sales int
}

func produceRows(days []string, rows chan<- reportRow) {
	for i, day := range days {
		rows <- reportRow{day, i * 10}
	}
}

func sumRows(rows <-chan reportRow, total *int) {
	for row := range rows { // stuck
		*total += row.sales
	}
}

func rangeNeverClosed() {
	rows := make(chan reportRow, 2)
	total := 0
	go sumRows(rows, &total)
	produceRows([]string{"Monday", "Tuesday", "Wednesday"}, rows)
}

func init() { kernels["range-never-closed"] = rangeNeverClosed }
