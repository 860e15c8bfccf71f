//! Stage 7: what reaches a person or a program. In: [`record::Record`]s and the [`record::Names`] that explain their
//! numbers; out: JSON lines ([`json`]), a readable stream ([`pretty`]), or both ([`Tee`]).
//!
//! Sinks never look at a process or a file of their own: what they show comes from the records, so that a recorded
//! session can be shown again.

pub mod printable;
pub mod words;

pub mod record;

pub mod json;
pub mod pretty;
pub mod snapshot;

use std::io;

use self::record::{Names, Record, Sink};
use crate::ingest::event::MonotonicNs;

/// Two outputs of one session, such as a file and the terminal. The first to fail ends the session.
pub struct Tee<A, B>(pub A, pub B);

impl<A: Sink, B: Sink> Sink for Tee<A, B> {
    fn write(&mut self, record: &Record, names: &dyn Names) -> io::Result<()> {
        self.0.write(record, names)?;
        self.1.write(record, names)
    }

    fn flush(&mut self, now: MonotonicNs) -> io::Result<()> {
        self.0.flush(now)?;
        self.1.flush(now)
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
