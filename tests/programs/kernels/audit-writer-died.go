// audit-writer-died: the only reader of a package-level queue returns when the disk is full, and those who record wait in their sends.
//
//goflow:class leak
//goflow:expect goroutine-leak
package main

import (
	"errors"
	"time"
)

var auditTrail = make(chan string)

type auditDisk struct{ room int }

func (d *auditDisk) append(line string) error {
	if len(line) > d.room {
		return errors.New("no space left on device")
	}
	d.room -= len(line)
	return nil
}

func writeTrail(disk *auditDisk) error {
	for {
		if err := disk.append(<-auditTrail); err != nil {
			return err
		}
	}
}

func recordLogin(user string) {
	auditTrail <- "login " + user // stuck: 3
}

func auditWriterDied() {
	go writeTrail(&auditDisk{room: 20})
	recordLogin("alice")
	recordLogin("bob or his brother")
	for _, user := range []string{"carol", "dave", "eve"} {
		go recordLogin(user)
	}
	heartbeat(50 * time.Millisecond)
}

func init() { kernels["audit-writer-died"] = auditWriterDied }
