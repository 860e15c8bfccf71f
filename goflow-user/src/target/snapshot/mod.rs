//! What the goroutines of a process are doing, read out of its memory.
//!
//! Out: a [`Snapshot`], plain values. Everything in it was read from the target and found consistent; what was not is in
//! [`Snapshot::unknown`], with the reason. A goroutine that is neither there nor in `unknown` did not exist.
//!
//! A live process runs on while it is read, so a snapshot is no single moment: everything in it was true at some time
//! between [`Snapshot::started`] and [`Snapshot::ended`], and each goroutine agrees with its own wait lists and stack.

pub mod channel;
pub mod goroutine;
pub mod reader;
pub mod sync;

mod found;
mod labels;
mod raw;
mod reason;
mod room;
mod semaphore;
mod stack;
mod start;
mod threads;
mod waits;

pub use self::channel::{ChanTimer, Channel, Waiter};
pub use self::goroutine::{Blocked, BlockedOn, Direction, Goroutine, Label, Stack, StackEnd, State};
pub use self::reason::Reason;
pub use self::start::Start;
pub use self::sync::{SyncObject, SyncWaiter};

pub(super) use self::raw::{Raw, Slot};
pub(super) use self::waits::{Map, Set};

use super::id::{ChanAddr, Goid, MonotonicNs};
use crate::binary::addr::RuntimeAddr;
use smallvec::SmallVec;
use std::fmt;

/// A list that nearly always has one entry or none: a piece of the heap for each took an eighth of a snapshot of 100,000.
pub type Few<T> = SmallVec<[T; 1]>;

/// Everything that was read at one time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// When the first word was read. For a core file both times are 0: it does not say when it was made.
    pub started: MonotonicNs,
    /// When the last word was read.
    pub ended: MonotonicNs,
    /// Every goroutine that is not dead, by goid; each goid once.
    pub goroutines: Vec<Goroutine>,
    /// Slots of ended goroutines that the runtime keeps for reuse.
    pub dead: u64,
    /// Every channel that a goroutine waits on, by address. A channel that nobody waits on is not found.
    pub channels: Vec<Channel>,
    /// Every sync object that a goroutine waits for, by kind and address.
    pub sync: Vec<SyncObject>,
    /// What could not be read, or not consistently.
    pub unknown: Vec<Unknown>,
}

impl Snapshot {
    /// Why it was cut short, if it was.
    #[must_use]
    pub fn cut_short(&self) -> Option<&str> {
        self.unknown.iter().find(|unknown| unknown.what == Entity::Rest).map(|unknown| unknown.why.as_str())
    }
}

/// Something that could not be read, or that contradicted itself each time it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unknown {
    /// What.
    pub what: Entity,
    /// Why, in a sentence without a full stop.
    pub why: String,
}

/// What an [`Unknown`] is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Entity {
    /// A goroutine: the address of its `g`, and its id where that could be read. It is not among the goroutines.
    Goroutine(RuntimeAddr, Option<Goid>),
    /// What a goroutine waits for. The goroutine is among the goroutines; its `blocked_on` is empty.
    WaitOf(Goid),
    /// The stack of a goroutine, which is among the goroutines.
    StackOf(Goid),
    /// The labels of a goroutine, which is among the goroutines.
    LabelsOf(Goid),
    /// A channel. It is not among the channels, or its queues are incomplete.
    Channel(ChanAddr),
    /// The table of semaphores: waiters are missing from the sync objects.
    SemaphoreTable,
    /// The list of threads: `m` and `p` of goroutines are missing.
    Threads,
    /// Everything that is not there. The snapshot was cut short: goroutines are missing, or of those whose
    /// [`Stack::end`] is [`StackEnd::NotRead`] what they wait for.
    Rest,
}

impl fmt::Display for Entity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Goroutine(address, Some(goid)) => write!(f, "goroutine {} at {address}", goid.0),
            Self::Goroutine(address, None) => write!(f, "the goroutine at {address}"),
            Self::WaitOf(goid) => write!(f, "what goroutine {} waits for", goid.0),
            Self::StackOf(goid) => write!(f, "the stack of goroutine {}", goid.0),
            Self::LabelsOf(goid) => write!(f, "the labels of goroutine {}", goid.0),
            Self::Channel(address) => write!(f, "the channel at {:#x}", address.0),
            Self::SemaphoreTable => f.write_str("the table of semaphores"),
            Self::Threads => f.write_str("the list of threads"),
            Self::Rest => f.write_str("the rest of the snapshot"),
        }
    }
}

#[cfg(test)]
mod tests;
