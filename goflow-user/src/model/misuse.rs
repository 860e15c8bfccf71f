//! What a program did to a channel that panics, or that panics when it comes in another order.
//!
//! In: closes, sends and wake-ups, in the order of their time. Out: each kind of misuse by the two places that make it, with
//! how often. Only what two events of one channel tell counts: an address is a channel's from its making to the next, and
//! where events may be missing since a close, the close is not known any more.

use crate::binary::addr::RuntimeAddr;
use crate::target::id::{ChanAddr, Goid, MonotonicNs};

/// Pairs of places that are kept; more are not, as no program has so many faults that anybody would read of.
const KEPT: usize = 256;

/// The closing of a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed {
    /// By whom; `None` where only a snapshot tells.
    pub by: Option<Goid>,
    /// Return address in the function that closed it; `None` where only a snapshot tells.
    pub site: Option<RuntimeAddr>,
    /// When, or when it was first seen to be so.
    pub at: MonotonicNs,
}

/// What must not be done to a channel that is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MisuseKind {
    /// A send was called after the close.
    SendAfterClose,
    /// A goroutine was waiting in a send when it was closed.
    CloseUnderSender,
    /// It was closed before.
    DoubleClose,
}

/// Two operations on one channel that do not go together, one of them its close.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misuse {
    /// What was wrong.
    pub kind: MisuseKind,
    /// The channel, the last time.
    pub channel: ChanAddr,
    /// Its close; of two, the first.
    pub closed: Closed,
    /// Who did the other, the last time.
    pub by: Option<Goid>,
    /// Where the other is: return addresses, innermost first; just the innermost where no more was recorded.
    pub stack: Vec<RuntimeAddr>,
    /// When the other was, the last time.
    pub at: MonotonicNs,
    /// When it first happened.
    pub first: MonotonicNs,
    /// How often it has happened between these two places.
    pub times: u64,
}

/// What of a process is known of that.
#[derive(Clone, Debug, Default)]
pub(super) struct Misuses(Vec<Misuse>);

impl Misuses {
    /// It has happened, perhaps again.
    pub(super) fn add(&mut self, misuse: Misuse) {
        let is_same = |known: &&mut Misuse| {
            (known.kind, &known.stack, known.closed.site) == (misuse.kind, &misuse.stack, misuse.closed.site)
        };
        if let Some(known) = self.0.iter_mut().find(is_same) {
            let (first, times) = (known.first, known.times.saturating_add(1));
            *known = Misuse { first, times, ..misuse };
        } else if self.0.len() < KEPT {
            self.0.push(misuse);
        }
    }

    pub(super) fn all(&self) -> &[Misuse] {
        &self.0
    }
}
