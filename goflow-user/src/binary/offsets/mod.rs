//! Where the fields of the runtime's structs are, in a given program.
//!
//! In: the Go version, the architecture and, where it exists, the program's debug information; out: [`Offsets`], every
//! field or none. Debug information comes first, because it is the program's own; else a table generated from each Go
//! release's debug information. The two are never mixed. Refused: a release that is not in the table, a candidate, a
//! build from Go's repository or with an experiment that may move fields, unless it has debug information; and Go before
//! 1.18. An offset is never guessed.

mod dwarf;

mod layout;

mod select;

mod table;

pub use dwarf::{DwarfError, SectionLoader};
use layout::Layout;
pub use layout::{
    AncestorInfo, Cond, Deferred, G, Hchan, M, Mheap, Mspan, Mutex, NotifyList, P, PollDesc, RwMutex, Scase,
    SemaRoot, Special, Sudog, Timer, TimerWhen, TypeDescriptor, WaitGroup, Waitq,
};
pub use select::{OffsetSource, OffsetsError, select, wait_reasons};

/// Every offset goflow reads by, in bytes from the start of the named struct.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offsets {
    /// A goroutine.
    pub g: G,
    /// A thread.
    pub m: M,
    /// A processor.
    pub p: P,
    /// The heap's own state.
    pub mheap: Mheap,
    /// A run of pages of the heap.
    pub mspan: Mspan,
    /// What is kept beside an object.
    pub special: Special,
    /// A deferred call.
    pub deferred: Deferred,
    /// A channel.
    pub hchan: Hchan,
    /// A queue of sudogs.
    pub waitq: Waitq,
    /// A goroutine in a wait list.
    pub sudog: Sudog,
    /// A bucket of the semaphore table.
    pub sema_root: SemaRoot,
    /// The semaphore table itself.
    pub sema_table: SemaTable,
    /// A timer.
    pub timer: Timer,
    /// An ancestor of a goroutine.
    pub ancestor_info: AncestorInfo,
    /// A type's descriptor.
    pub type_descriptor: TypeDescriptor,
    /// A case of a select; `None` when the program has no select.
    pub scase: Option<Scase>,
    /// An entry of a timer heap; `None` before Go 1.23.
    pub timer_when: Option<TimerWhen>,
    /// The queue of a `sync.Cond`; `None` when the program has none.
    pub notify_list: Option<NotifyList>,
    /// A descriptor of the network poller; `None` when the program has none.
    pub poll_desc: Option<PollDesc>,
    /// `sync.Mutex`; `None` when the program has none.
    pub mutex: Option<Mutex>,
    /// `sync.RWMutex`; `None` when the program has none.
    pub rw_mutex: Option<RwMutex>,
    /// `sync.WaitGroup`; `None` when the program has none.
    pub wait_group: Option<WaitGroup>,
    /// `sync.Cond`; `None` when the program has none.
    pub cond: Option<Cond>,
}

/// `runtime.semtable` (src/runtime/sema.go): an array of [`SemaRoot`]s, each padded to a cache line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SemaTable {
    /// How many buckets there are.
    pub len: u32,
    /// From one bucket to the next, in bytes.
    pub stride: u32,
}

impl Offsets {
    /// Go's names of every struct that is read, each with its older names.
    const STRUCTS: &'static [&'static [&'static str]] = &[
        G::GO,
        M::GO,
        P::GO,
        Mheap::GO,
        Mspan::GO,
        Special::GO,
        Deferred::GO,
        Hchan::GO,
        Waitq::GO,
        Sudog::GO,
        SemaRoot::GO,
        Timer::GO,
        AncestorInfo::GO,
        TypeDescriptor::GO,
        Scase::GO,
        TimerWhen::GO,
        NotifyList::GO,
        PollDesc::GO,
        Mutex::GO,
        RwMutex::GO,
        WaitGroup::GO,
        Cond::GO,
    ];

    /// Reads the offsets from a program's debug information.
    ///
    /// # Errors
    /// See [`DwarfError`].
    pub fn from_dwarf(load: &SectionLoader<'_, '_>) -> Result<Self, DwarfError> {
        dwarf::read(load)
    }
}
