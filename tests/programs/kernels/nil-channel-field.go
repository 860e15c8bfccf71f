// nil-channel-field: an audit log made without its constructor has a nil channel, to which the writer sends.
//
//goflow:class leak
//goflow:expect goroutine-leak
package main

import "time"

type auditEntry struct{ user, action string }

type auditLog struct {
	entries chan auditEntry
	written []auditEntry
}

func newAuditLog() *auditLog {
	l := &auditLog{entries: make(chan auditEntry, 8)}
	go l.write()
	return l
}

func (l *auditLog) write() {
	for entry := range l.entries {
		l.written = append(l.written, entry)
	}
}

func (l *auditLog) record(user, action string) {
	l.entries <- auditEntry{user, action} // stuck
}

func nilChannelField() {
	audit := newAuditLog()
	audit.record("alice", "login")
	adminAudit := &auditLog{}
	go adminAudit.record("root", "login")
	go func() {
		for {
			audit.record("carol", "read")
			time.Sleep(50 * time.Millisecond)
		}
	}()
}

func init() { kernels["nil-channel-field"] = nilChannelField }
