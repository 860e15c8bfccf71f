//! The sink thread: the only one that formats and writes.

use super::names::{self, Processes};
use super::phases::Phases;
use super::{BoxedSink, Message, ProcessExit};
use crate::ingest::event::MonotonicNs;
use crate::sink::record::{Record, Summary};
use crate::sink::words::{KINDS, change_index, kind_index};
use crate::target::host;
use crossbeam_channel::{Receiver, RecvTimeoutError};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// How long the sink waits before it is told that nothing came.
const IDLE: Duration = Duration::from_millis(100);

/// What the sink thread knows at the end.
pub(super) struct Output {
    sink: BoxedSink,
    processes: Processes,
    counts: [u64; KINDS.len()],
    gaps: u64,
    changes: u64,
    /// Events on their way here.
    unwritten: Arc<AtomicU64>,
    phases: Phases,
    has_snapshot: bool,
    has_event: bool,
}

impl Output {
    pub(super) fn new(sink: BoxedSink, phases: Phases) -> Self {
        let processes = Processes::default();
        Self {
            sink,
            processes,
            counts: [0; KINDS.len()],
            gaps: 0,
            changes: 0,
            unwritten: Arc::default(),
            phases,
            has_snapshot: false,
            has_event: false,
        }
    }

    /// Events that are on their way: whoever sends them adds to it.
    pub(super) fn unwritten(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.unwritten)
    }

    /// Writes until every sender is gone.
    pub(super) fn run(mut self, messages: &Receiver<Message>) -> io::Result<Self> {
        loop {
            match messages.recv_timeout(IDLE) {
                Ok(message) => {
                    let (snapshot, event) = (matches!(message, Message::Snapshot(..)), has_events(&message));
                    self.write(message)?;
                    self.tell_firsts(snapshot, event);
                    if messages.is_empty() {
                        self.flush()?;
                    }
                }
                Err(RecvTimeoutError::Timeout) => self.flush()?,
                Err(RecvTimeoutError::Disconnected) => return Ok(self),
            }
        }
    }

    fn write(&mut self, message: Message) -> io::Result<()> {
        match message {
            Message::Meta(metas) => {
                metas.into_iter().try_for_each(|meta| self.record(&Record::Meta(Box::new(meta))))
            }
            Message::Process(start) => {
                let record = Record::ProcessStart { pid: start.pid, binary: names::name(&start.executable) };
                self.processes.insert(start);
                self.record(&record)
            }
            Message::Exit(ProcessExit { pid, t }) => {
                self.processes.remove(pid);
                self.record(&Record::ProcessExit { pid, t })
            }
            Message::Events(events) => {
                let count = events.len() as u64;
                for event in events {
                    self.counts[kind_index(&event.kind)] += 1;
                    self.record(&Record::Event(event))?;
                }
                self.unwritten.fetch_sub(count, Ordering::Relaxed);
                Ok(())
            }
            Message::Inferred(changes) => {
                let count = changes.len() as u64;
                for inferred in changes {
                    self.counts[change_index(&inferred.change)] += 1;
                    self.record(&Record::Inferred(inferred))?;
                }
                self.unwritten.fetch_sub(count, Ordering::Relaxed);
                Ok(())
            }
            Message::Snapshot(pid, snapshot) => self.record(&Record::Snapshot { pid, snapshot }),
            Message::Lost(lost) => self.record(&Record::Lost(lost)),
            Message::Gap(gap) => {
                self.gaps += 1;
                self.record(&Record::Gap(gap))
            }
            Message::Coverage(together) => self.record(&Record::Coverage(together)),
            Message::Totals(totals) => self.record(&Record::Totals(totals)),
            Message::Control(control) => {
                self.changes += 1;
                self.record(&Record::Control(control))
            }
            Message::Finding(change) => self.record(&Record::Finding(change)),
            Message::Progress(progress) => self.record(&Record::Progress(progress)),
        }
    }

    /// Tells `-v` of the first snapshot and of the first event, once they are written.
    fn tell_firsts(&mut self, snapshot: bool, event: bool) {
        if snapshot && !std::mem::replace(&mut self.has_snapshot, true) {
            self.phases.done("first snapshot written");
        }
        if event && !std::mem::replace(&mut self.has_event, true) {
            self.phases.done("first event written");
        }
    }

    fn record(&mut self, record: &Record) -> io::Result<()> {
        self.sink.write(record, &self.processes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.sink.flush(MonotonicNs(host::monotonic_ns()))
    }

    /// Times in which a process was not seen, as told so far.
    pub(super) fn gaps(&self) -> u64 {
        self.gaps
    }

    /// What somebody has changed, as told so far.
    pub(super) fn changes(&self) -> u64 {
        self.changes
    }

    /// Events written so far, by the name of their kind.
    pub(super) fn counts(&self) -> Vec<(&'static str, u64)> {
        KINDS.into_iter().zip(self.counts).collect()
    }

    /// Writes the last record.
    pub(super) fn finish(mut self, summary: Summary) -> io::Result<()> {
        self.record(&Record::Summary(Box::new(summary)))?;
        self.flush()
    }
}

fn has_events(message: &Message) -> bool {
    match message {
        Message::Events(events) => !events.is_empty(),
        Message::Inferred(changes) => !changes.is_empty(),
        Message::Meta(_)
        | Message::Process(_)
        | Message::Exit(_)
        | Message::Snapshot(..)
        | Message::Lost(_)
        | Message::Gap(_)
        | Message::Coverage(_)
        | Message::Totals(_)
        | Message::Control(_)
        | Message::Finding(_)
        | Message::Progress(_) => false,
    }
}
