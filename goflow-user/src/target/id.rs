//! Ids and words that snapshots and events share: one type for each, so that what one says of a goroutine can be held
//! against what the other says. No logic.

/// Nanoseconds of `CLOCK_MONOTONIC`, which is also the Go runtime's own clock on Linux.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MonotonicNs(pub u64);

/// Goroutine id; 0 is the runtime itself on a system stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Goid(pub u64);

/// A wait reason as this binary numbers it; its text is in the binary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WaitReason(pub u8);

/// Address of an `hchan`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChanAddr(pub u64);

/// Kind of sync object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SyncPrimitive {
    /// A runtime semaphore (under every other primitive, and `x/sync/semaphore`'s is not one).
    Semaphore,
    /// `sync.Mutex`.
    Mutex,
    /// `sync.RWMutex`.
    RwMutex,
    /// `sync.WaitGroup`.
    WaitGroup,
    /// `sync.Cond`.
    Cond,
}
