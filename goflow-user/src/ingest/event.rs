//! A decoded event: what a probe saw, in types, before anything is looked up or named.

use crate::binary::addr::RuntimeAddr;
pub use crate::target::id::{ChanAddr, Goid, MonotonicNs, SyncPrimitive, WaitReason};
pub use crate::target::{Pid, Tid};

/// One hit of a probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// When the operation was called.
    pub t: MonotonicNs,
    /// Process.
    pub pid: Pid,
    /// Thread.
    pub tid: Tid,
    /// The acting goroutine; `None` when it could not be read.
    pub goid: Option<Goid>,
    /// What it did.
    pub kind: EventKind,
}

/// What happened. Program counters are return addresses in the running process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// A `go` statement: `goid` created `child`.
    GoroutineCreate {
        /// The new goroutine; `None` when unreadable.
        child: Option<Goid>,
        /// Return address of the `go` statement; `None` when unreadable.
        created_at: Option<RuntimeAddr>,
        /// Entry of the function it runs; `None` when unreadable.
        start: Option<RuntimeAddr>,
    },
    /// `goid` ended.
    GoroutineExit,
    /// `goid` parks.
    Park {
        /// Why.
        reason: WaitReason,
        /// The `lock` argument of `gopark`; `None` when nil.
        lock: Option<RuntimeAddr>,
        /// Return addresses, innermost first, starting in the caller of `gopark`.
        stack: Box<[RuntimeAddr]>,
    },
    /// `goid` (or the runtime) makes `target` runnable.
    Ready {
        /// The goroutine woken; `None` when unreadable.
        target: Option<Goid>,
        /// The park that this ends, where waits are recorded as a whole.
        ended: Option<Box<EndedPark>>,
    },
    /// A channel was made.
    ChanMake {
        /// The channel; `None` when unreadable.
        chan: Option<ChanAddr>,
        /// Size of its buffer in elements; `None` when unreadable.
        cap: Option<u64>,
        /// Element size in bytes; `None` when unreadable.
        elem_size: Option<u32>,
        /// Type descriptor of the element; `None` when unreadable.
        elem_type: Option<RuntimeAddr>,
        /// Where.
        site: Option<RuntimeAddr>,
    },
    /// A send is called.
    ChanSend(ChanOp),
    /// A receive is called.
    ChanRecv(ChanOp),
    /// `close` is called.
    ChanClose(ChanOp),
    /// A `select` of two cases or more is called.
    Select {
        /// Number of send cases.
        sends: u32,
        /// Number of receive cases.
        receives: u32,
        /// False when it has a `default`.
        blocking: bool,
        /// The channels of the first cases, sends first, each `None` for a nil channel; `None` when unreadable.
        chans: Option<Box<[Option<ChanAddr>]>>,
        /// Where.
        site: Option<RuntimeAddr>,
    },
    /// A wait for a sync object is about to happen.
    SyncWait {
        /// Which kind of object.
        primitive: SyncPrimitive,
        /// Its address.
        addr: RuntimeAddr,
        /// Wait reason, where the Go version passes one.
        reason: Option<WaitReason>,
        /// Return address in the caller of the slow path.
        site: Option<RuntimeAddr>,
    },
    /// The counter of a WaitGroup is about to change.
    WaitGroupAdd {
        /// Its address.
        addr: RuntimeAddr,
        /// By how much; `Done` is -1.
        delta: i64,
        /// Before that, where `delta` is above 0; `None` when unreadable, and otherwise.
        state: Option<GroupState>,
        /// Where; of `Done`, in the caller or inside `sync`.
        site: Option<RuntimeAddr>,
    },
}

/// What a WaitGroup counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupState {
    /// Its counter.
    pub counter: i32,
    /// How many goroutines wait for that to be 0.
    pub waiters: u32,
}

/// A park that is told of when it is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndedPark {
    /// When it began.
    pub since: MonotonicNs,
    /// Why.
    pub reason: WaitReason,
    /// The `lock` argument of `gopark`; `None` when nil.
    pub lock: Option<RuntimeAddr>,
    /// Return addresses of the goroutine that parked, innermost first, starting in the caller of `gopark`.
    pub stack: Box<[RuntimeAddr]>,
}

/// A send, receive or close.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChanOp {
    /// The channel; `None` for a nil channel.
    pub chan: Option<ChanAddr>,
    /// False inside a `select` with `default`.
    pub blocking: bool,
    /// Where.
    pub site: Option<RuntimeAddr>,
}

/// A window of time in which the kernel side had to drop events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    /// Nothing was lost before this moment.
    pub from: MonotonicNs,
    /// Nothing was lost after this moment (until the next window).
    pub to: MonotonicNs,
    /// Where it was lost.
    pub at: LossPoint,
    /// How many events.
    pub count: u64,
}

/// A time in which the kernel did not see a process. What it did is missing, and nobody knows how much that was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The process.
    pub pid: Pid,
    /// It was seen until then.
    pub from: MonotonicNs,
    /// It is seen from then on.
    pub to: MonotonicNs,
}

/// Where events can be lost; each place counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum LossPoint {
    /// The ring buffer was full when a probe was hit.
    Ring,
    /// The consumer (terminal, file) was slower than the events, and the bounded queue was full.
    Sink,
    /// A record could not be decoded.
    Decode,
}
