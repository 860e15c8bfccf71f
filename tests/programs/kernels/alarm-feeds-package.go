// alarm-feeds-package: a function that a timer calls in an hour sends to a package-level channel, another is in a table of commands.
//
//goflow:class correct
package main

import (
	"os"
	"sync/atomic"
	"time"
)

var (
	alarms   = make(chan time.Time)
	reloads  = make(chan string)
	commands = map[string]func(string){"reload": func(what string) { reloads <- what }}
	alarmed  int64
)

func watchAlarms() {
	for range alarms {
		atomic.AddInt64(&alarmed, 1)
	}
}

func watchReloads() {
	for range reloads {
		atomic.AddInt64(&alarmed, 1)
	}
}

func alarmFeedsPackage() {
	go watchAlarms()
	go watchReloads()
	time.AfterFunc(time.Hour, func() { alarms <- time.Now() })
	for range time.Tick(50 * time.Millisecond) {
		if name := os.Getenv("COMMAND"); name != "" {
			commands[name]("all")
		}
	}
}

func init() { kernels["alarm-feeds-package"] = alarmFeedsPackage }
