//! Stage 2: a live process: identity, the executable it runs, where that is mapped, what its memory says, and how a new
//! one is started.
//!
//! In: a pid, a path or a command line; out: analysed executables, handles that notice the end of a process, and
//! snapshots of what its goroutines are doing. The target is only ever read: nothing here stops, signals or writes to it.

pub mod core;
pub mod executable;
pub mod family;
pub mod host;
pub mod id;
pub mod lease;
pub mod memory;
pub mod process;
pub mod reach;
pub mod refusal;
pub(crate) mod signal_mask;
pub mod snapshot;
pub mod spawn;
pub mod sudo;

/// Process (thread group) id in the initial pid namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pid(pub u32);

/// Thread id in the initial pid namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tid(pub u32);

impl std::fmt::Display for Pid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}
