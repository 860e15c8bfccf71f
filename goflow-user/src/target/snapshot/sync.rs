//! A sync object as a snapshot has it: who waits for it. Mutexes of Go have no owner. No logic.

use super::goroutine::Direction;
use crate::binary::addr::RuntimeAddr;
use crate::target::id::{Goid, SyncPrimitive};

/// A sync object that somebody waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyncObject {
    /// What it is.
    pub kind: SyncPrimitive,
    /// Where it is: the object itself, or the semaphore where nothing tells what that belongs to.
    pub address: RuntimeAddr,
    /// Who waits for it: those of one semaphore in the order of its list.
    pub waiters: Vec<SyncWaiter>,
}

/// A goroutine that waits for a sync object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SyncWaiter {
    /// The goroutine.
    pub goid: Goid,
    /// Of an `RWMutex`, which side it wants; `None` for other kinds.
    pub direction: Option<Direction>,
}
