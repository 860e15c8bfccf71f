// results-of-a-package: workers report on a package-level channel, and whoever asked takes the first answer and goes.
//
//goflow:class leak
//goflow:expect goroutine-leak
package main

import "time"

var offers = make(chan int)

func askSupplier(n int) {
	time.Sleep(time.Duration(n) * time.Millisecond)
	offers <- 100 + n // stuck: 4
}

func resultsOfAPackage() {
	for n := 0; n < 5; n++ {
		go askSupplier(n)
	}
	<-offers
	heartbeat(50 * time.Millisecond)
}

func init() { kernels["results-of-a-package"] = resultsOfAPackage }
