//! Stage 7: what reaches a person or a program. In: [`record::Record`]s and the [`record::Names`] that explain their
//! numbers; out: JSON lines ([`json`]), a readable stream ([`pretty`]), or both ([`Tee`]). Beside them [`metrics`] has the
//! accounts of a session for whoever asks.
//!
//! Sinks never look at a process or a file of their own: what they show comes from the records, so that a recorded
//! session can be shown again.

pub mod printable;
pub mod words;

pub mod record;

pub mod findings;
pub mod graph;
pub mod json;
pub mod metrics;
pub mod pretty;
pub mod snapshot;

use std::io;

use self::record::{Names, Record, Sink};
use crate::ingest::event::MonotonicNs;

/// Two outputs of one session: the recording, and what tells whoever waits for it. When the first fails, the session ends;
/// when the second does, as that of a terminal that was closed, it is not written any more.
pub struct Tee<A, B> {
    recording: A,
    status: Option<B>,
}

impl<A: Sink, B: Sink> Tee<A, B> {
    /// Both outputs.
    pub fn new(recording: A, status: B) -> Self {
        Self { recording, status: Some(status) }
    }

    fn tell(&mut self, told: impl FnOnce(&mut B) -> io::Result<()>) {
        if self.status.as_mut().is_some_and(|status| told(status).is_err()) {
            self.status = None;
        }
    }
}

impl<A: Sink, B: Sink> Sink for Tee<A, B> {
    fn write(&mut self, record: &Record, names: &dyn Names) -> io::Result<()> {
        self.recording.write(record, names)?;
        self.tell(|status| status.write(record, names));
        Ok(())
    }

    fn flush(&mut self, now: MonotonicNs) -> io::Result<()> {
        self.recording.flush(now)?;
        self.tell(|status| status.flush(now));
        Ok(())
    }
}

impl<S: Sink + ?Sized> Sink for Box<S> {
    fn write(&mut self, record: &Record, names: &dyn Names) -> io::Result<()> {
        (**self).write(record, names)
    }

    fn flush(&mut self, now: MonotonicNs) -> io::Result<()> {
        (**self).flush(now)
    }
}
