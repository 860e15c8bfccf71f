// config-metrics-order: a reload holds the package's config lock and counts a metric, while a dump holds the metrics lock and reads the config.
//
//goflow:class resource-deadlock
//goflow:expect circular-wait deadlock
package main

import "sync"

var (
	configMu sync.Mutex
	config   = map[string]string{"level": "info"}

	metricsMu sync.Mutex
	metrics   = map[string]int{}
)

func countMetric(name string) {
	metricsMu.Lock() // stuck
	defer metricsMu.Unlock()
	metrics[name]++
}

func reloadConfig(reloading chan<- bool, dumping <-chan bool) {
	configMu.Lock()
	defer configMu.Unlock()
	close(reloading)
	config["level"] = "debug"
	<-dumping
	countMetric("reloads")
}

func dumpMetrics(reloading <-chan bool, dumping chan<- bool) map[string]int {
	metricsMu.Lock()
	defer metricsMu.Unlock()
	<-reloading
	close(dumping)
	dump := map[string]int{}
	for name, count := range metrics {
		dump[name] = count
	}
	configMu.Lock() // stuck
	defer configMu.Unlock()
	dump["settings"] = len(config)
	return dump
}

func configMetricsOrder() {
	reloading, dumping := make(chan bool), make(chan bool)
	go reloadConfig(reloading, dumping)
	dumpMetrics(reloading, dumping)
}

func init() { kernels["config-metrics-order"] = configMetricsOrder }
