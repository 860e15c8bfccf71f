//! A goroutine as a snapshot has it: its `g` (src/runtime/runtime2.go), what it waits for, its stack. No logic.

use super::Few;
use crate::binary::addr::RuntimeAddr;
use crate::target::id::{Goid, MonotonicNs, SyncPrimitive, WaitReason};

/// A goroutine that is not dead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Goroutine {
    /// Address of its `g`. The runtime reuses it once the goroutine has ended; `goid` is never reused.
    pub addr: RuntimeAddr,
    /// Its id.
    pub goid: Goid,
    /// What it does.
    pub state: State,
    /// The collector is scanning its stack.
    pub scanned: bool,
    /// How often it has left a CPU, modulo 256 from a random start (`trackingSeq`, counted in `casgstatus` of
    /// src/runtime/proc.go): where two snapshots have another number, it ran in between, whatever else looks the same.
    pub tracking_seq: u8,
    /// It is runnable, and not because it waited, made a system call or is new: it lost its CPU while it ran.
    pub interrupted: bool,
    /// Why it waits; `None` unless the state is [`State::Waiting`].
    pub wait_reason: Option<WaitReason>,
    /// When the collector first found it waiting or in a system call, so at the latest since when it waits; `None` until
    /// a collection has run since.
    pub wait_since: Option<MonotonicNs>,
    /// The goroutine that created it; `None` up to Go 1.20, and for the first goroutine.
    pub parent: Option<Goid>,
    /// Return address of the `go` statement that created it; of the first goroutine of the call in the program's start that
    /// made it, see [`Goroutine::creation`].
    pub created: Option<RuntimeAddr>,
    /// Entry of the function it started with.
    pub start: Option<RuntimeAddr>,
    /// It is the runtime's own, as `runtime.isSystemGoroutine` has it.
    pub system: bool,
    /// It runs on one certain thread (`runtime.LockOSThread`).
    pub locked: bool,
    /// Id of the thread (`m`) that runs it or makes its system call, in the runtime's numbers.
    pub m: Option<i64>,
    /// The kernel's id of that thread.
    pub tid: Option<u64>,
    /// Id of the processor (`p`) that this thread holds.
    pub p: Option<i32>,
    /// What it waits for: one thing, or each case of a select in lock order. Empty when it does not wait, when what it
    /// waits for has no address (the runtime's own reasons), and when it is [`super::Entity::WaitOf`] in `unknown`.
    pub blocked_on: Few<Blocked>,
    /// Its profiler labels, in the order of the target's memory.
    pub labels: Vec<Label>,
    /// Where it stands.
    pub stack: Stack,
}

impl Goroutine {
    /// It is parked: whoever makes it runnable wakes it. What the runtime calls waiting although a thread has it is not: that
    /// thread works for it on the system stack, and it goes on by itself (`casGToWaiting` in src/runtime/proc.go; `dropg` takes
    /// the thread from who parks).
    #[must_use]
    pub fn is_parked(&self) -> bool {
        matches!(self.state, State::Waiting | State::Leaked) && self.m.is_none()
    }

    /// Return address of the `go` statement that created it; `None` for the first goroutine, which runs `main` and was made
    /// by assembly before any Go code ran (`rt0_go` in src/runtime/asm_amd64.s; `printcreatedby` in src/runtime/traceback.go
    /// leaves it out too).
    #[must_use]
    pub fn creation(&self) -> Option<RuntimeAddr> {
        self.created.filter(|_| self.goid.0 != 1)
    }
}

/// What a goroutine does (`_Gidle` and so on in src/runtime/runtime2.go). Dead ones are only counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// Just allocated.
    Idle,
    /// In a run queue, or about to be put there.
    Runnable,
    /// Runs Go code.
    Running,
    /// Makes a system call or runs C code.
    Syscall,
    /// Is blocked in the runtime.
    Waiting,
    /// Its stack is being moved.
    CopyStack,
    /// Stopped itself for the collector.
    Preempted,
    /// Waits for what nobody can reach (Go 1.26 and later, once the leak detector has found it).
    Leaked,
}

impl State {
    /// The runtime's word for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Runnable => "runnable",
            Self::Running => "running",
            Self::Syscall => "syscall",
            Self::Waiting => "waiting",
            Self::CopyStack => "copystack",
            Self::Preempted => "preempted",
            Self::Leaked => "leaked",
        }
    }
}

/// One thing that a goroutine waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blocked {
    /// What it is.
    pub on: BlockedOn,
    /// Where it is; `None` for a nil channel, and where the address could not be had. Of a channel the `hchan`, of a sync
    /// object the object itself (not its semaphore), of a timer the `runtime.timer`, of a descriptor the `pollDesc`.
    pub address: Option<RuntimeAddr>,
    /// What it wants of it; `None` where there is only one thing to want.
    pub direction: Option<Direction>,
    /// When the wait ends at the latest: the end of a sleep.
    pub until: Option<MonotonicNs>,
}

/// Kind of what a goroutine waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BlockedOn {
    /// A channel, alone or as a case of a select.
    Channel,
    /// A sync object.
    Sync(SyncPrimitive),
    /// The end of a `time.Sleep`.
    Timer,
    /// A file descriptor, of this number, that the network poller watches.
    Descriptor(u32),
}

impl BlockedOn {
    /// It is a sync object, of whichever kind.
    #[must_use]
    pub fn is_sync(self) -> bool {
        matches!(self, Self::Sync(_))
    }
}

/// What a goroutine wants of what it waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// To send to a channel.
    Send,
    /// To receive from a channel.
    Receive,
    /// To read: a descriptor, or an `RWMutex` (`RLock`).
    Read,
    /// To write: a descriptor, or an `RWMutex` (`Lock`).
    Write,
}

/// A profiler label (`runtime/pprof.Do`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Label {
    /// Its name; bytes that are not UTF-8 are replaced.
    pub key: String,
    /// Its value; bytes that are not UTF-8 are replaced.
    pub value: String,
}

/// Where a goroutine stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stack {
    /// Program counters, innermost first: the first is where it will go on, the others are return addresses. Calls that
    /// were inlined are not among them; the binary knows them.
    pub frames: Vec<RuntimeAddr>,
    /// How the walk ended.
    pub end: StackEnd,
}

/// How the walk over a stack ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StackEnd {
    /// Nobody asked for it.
    #[default]
    NotRead,
    /// There is none to be read: the goroutine runs, and its frames change all the time.
    Running,
    /// It is whole.
    Complete,
    /// It has more frames than are read.
    Cut,
    /// The chain of frame pointers leaves the stack; the frames up to there are right.
    Broken,
}
