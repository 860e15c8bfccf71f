//! Reads a [`Snapshot`] out of a target's memory.
//!
//! In: a binary, where it is mapped, its memory. The way: `runtime.allgs` → every `g` → what it waits with, where it stands,
//! its labels → the same `g` again. A goroutine whose `g` is the same afterwards has not moved, so all that was read in
//! between belongs together; the others are read again, some times, and then told without what moved (`retry`). What is
//! read in between is in `details`, what that says in `blocked`, what follows for channels in `objects`. Refused: a binary
//! without struct offsets or without the runtime's variables, and memory that is not of this binary.

mod blocked;
mod details;
mod objects;
mod retry;
mod running;

use self::blocked::Call;
use self::details::Details;
use self::objects::sync_objects;
use self::retry::ATTEMPTS;
use super::raw::Raw;
use super::reason::Reason;
use super::start::Start;
use super::threads::{self, Thread};
use super::waits::{Map, Waits};
use super::{Entity, Label, Snapshot, Unknown};
use crate::binary::GoBinary;
use crate::binary::addr::{LoadBias, RuntimeAddr};
use crate::binary::globals::{Global, GlobalError};
use crate::binary::offsets::{Offsets, OffsetsError};
use crate::binary::read::u64_at;
use crate::target::host::monotonic_ns;
use crate::target::id::MonotonicNs;
use crate::target::memory::{Memory, MemoryError};
use std::ops::Range;
use std::time::Duration;
use thiserror::Error;

/// Most goroutines, dead ones included, that are read.
const MOST_GOROUTINES: u64 = 1 << 24;

/// Most goroutines for which room is kept, which for so many is some 100 MB. Above, they are read too seldom for that to pay,
/// and the model wants memory for them as well.
const MOST_WITH_ROOM: usize = 1 << 18;

/// Why there is no snapshot.
#[derive(Debug, Error)]
pub enum SnapshotError {
    /// Where the runtime's structs have their fields is not known.
    #[error("the layout of this program's runtime is not known: {0}")]
    Offsets(#[from] OffsetsError),
    /// Where the list of goroutines is is not known.
    #[error("the list of goroutines cannot be found: {0}")]
    Global(#[from] GlobalError),
    /// The memory cannot be read.
    #[error(transparent)]
    Memory(#[from] MemoryError),
    /// The memory is another program's.
    #[error(
        "the memory is not that of this program: at {at}, where it has {what}, there is {found:#x} instead of {expected:#x}"
    )]
    OtherProgram {
        /// Where.
        at: RuntimeAddr,
        /// What should be there.
        what: &'static str,
        /// What is.
        found: u64,
        /// What should be.
        expected: u64,
    },
    /// The list of goroutines makes no sense.
    #[error("the list of goroutines cannot be read: {0}")]
    List(String),
    /// Much is missing, where all is needed.
    #[error("it was cut short: {0}")]
    CutShort(String),
}

/// What to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// The stacks of goroutines that do not run.
    pub stacks: bool,
    /// Most stacks, of those that have waited longest; the others are [`super::StackEnd::NotRead`].
    pub most_stacks: usize,
    /// Most frames of a stack.
    pub frames: usize,
    /// Profiler labels.
    pub labels: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { stacks: true, most_stacks: usize::MAX, frames: 128, labels: true }
    }
}

/// Reads snapshots of processes of one binary that are mapped at one place.
pub struct Reader<'b> {
    binary: &'b GoBinary<'b>,
    bias: LoadBias,
    offsets: Offsets,
    globals: Globals,
    release: (u32, u32),
    reasons: Vec<Reason>,
    /// Where every goroutine's first function returns to.
    goexit: Range<u64>,
    /// Functions that interrupted code seems to have called.
    injected: Vec<Range<u64>>,
    /// Functions from which a goroutine goes on that was not interrupted.
    parked: Vec<Range<u64>>,
    /// Kinds of start functions and of call sites, which are asked for again and again.
    starts: Map<Start>,
    calls: Map<Option<Call>>,
    checked: bool,
    /// Room of the snapshot before: memory that is new to goflow is cleared by the kernel first.
    room: Room,
}

/// What is empty between two snapshots. Of more goroutines than [`MOST_WITH_ROOM`] nothing is kept.
#[derive(Default)]
struct Room {
    waits: Waits,
    pending: Vec<Raw>,
    details: Vec<Details>,
}

/// Run-time addresses of the runtime's variables.
struct Globals {
    allglen: u64,
    allgptr: u64,
    allm: Option<u64>,
    semtable: Option<u64>,
}

impl<'b> Reader<'b> {
    /// A reader for processes in which `binary` was moved by `bias`.
    ///
    /// # Errors
    /// The binary does not tell what is needed.
    pub fn new(binary: &'b GoBinary<'b>, bias: LoadBias) -> Result<Self, SnapshotError> {
        let (offsets, _) = binary.offsets()?;
        let address = |global| binary.global(global).map(|link| bias.to_runtime(link).0);
        let globals = Globals {
            allglen: address(Global::Allglen)?,
            allgptr: address(Global::Allgptr)?,
            allm: address(Global::Allm).ok(),
            semtable: address(Global::Semtable).ok(),
        };
        let reason = |number| binary.wait_reason(number).map_or(Reason::Other, Reason::of);
        let instructions = |name| {
            let range = binary.function(name)?.range;
            Some(bias.to_runtime(range.start).0..bias.to_runtime(range.end).0)
        };
        Ok(Self {
            goexit: instructions("runtime.goexit").unwrap_or(0..0),
            injected: ["runtime.sigpanic", "runtime.asyncPreempt"]
                .into_iter()
                .filter_map(instructions)
                .collect(),
            parked: ["runtime.gopark", "runtime.exitsyscall"].into_iter().filter_map(instructions).collect(),
            binary,
            bias,
            offsets,
            globals,
            release: binary.go_version().map_or((0, 0), |version| version.release()),
            reasons: (0..=u8::MAX).map(reason).collect(),
            starts: Map::default(),
            calls: Map::default(),
            checked: false,
            room: Room::default(),
        })
    }

    /// Reads everything once. A snapshot for which `memory` has no time left ([`crate::target::memory::Limited`]) is cut
    /// short, and says so.
    ///
    /// # Errors
    /// The memory cannot be read, or is another program's.
    pub fn take(&mut self, memory: &dyn Memory, options: Options) -> Result<Snapshot, SnapshotError> {
        let mut snapshot = Snapshot { started: MonotonicNs(monotonic_ns()), ..Snapshot::default() };
        if !self.checked {
            self.check(memory)?;
            self.checked = true;
        }
        let (threads, all) = match self.globals.allm {
            Some(allm) => threads::read(memory, &self.offsets, allm)?,
            None => (Map::default(), false),
        };
        if !all {
            let why = "the runtime's list of threads could not be followed to its end".to_owned();
            snapshot.unknown.push(Unknown { what: Entity::Threads, why });
        }
        let mut session = Session {
            memory,
            options,
            threads,
            waits: std::mem::take(&mut self.room.waits),
            labels: Map::default(),
            places: Map::default(),
            has_sync: false,
            look: Duration::ZERO,
            lacks_stacks: false,
        };
        session.waits.clear();
        self.goroutines(&mut session, &mut snapshot)?;
        match self.channels(&session, &mut snapshot) {
            Err(SnapshotError::Memory(MemoryError::OutOfTime(_))) if snapshot.cut_short().is_some() => {}
            Err(SnapshotError::Memory(error @ MemoryError::OutOfTime(_))) => {
                let why = format!("{error}: the timers behind channels were not read");
                snapshot.unknown.push(Unknown { what: Entity::Rest, why });
            }
            read => read?,
        }
        sync_objects(&session, &mut snapshot);
        self.room.waits = session.waits;
        if snapshot.goroutines.len() > MOST_WITH_ROOM {
            self.room = Room::default();
        }
        snapshot.unknown.sort_by_key(|unknown| unknown.what);
        snapshot.ended = MonotonicNs(monotonic_ns());
        Ok(snapshot)
    }

    /// The binary.
    pub(in crate::target) fn binary(&self) -> &'b GoBinary<'b> {
        self.binary
    }

    /// Where it is mapped.
    pub(in crate::target) fn bias(&self) -> LoadBias {
        self.bias
    }

    /// The layout of its runtime.
    pub(in crate::target) fn offsets(&self) -> &Offsets {
        &self.offsets
    }

    /// Addresses of the threads' structs.
    pub(in crate::target) fn threads(&self, memory: &dyn Memory, allm: u64) -> Result<Vec<u64>, MemoryError> {
        let (threads, _) = threads::read(memory, &self.offsets, allm)?;
        Ok(threads.into_keys().collect())
    }

    /// The runtime's description of itself must be where the binary has it, and point to where it points.
    fn check(&self, memory: &dyn Memory) -> Result<(), SnapshotError> {
        let (Some(module), Ok(table)) = (self.binary.module_data(), self.binary.pclntab()) else {
            return Ok(());
        };
        let words = [
            (0, "the address of its function table", table.addr),
            (8 * 20, "the start of its functions", module.min_pc),
            (8 * 21, "the end of its functions", module.max_pc),
        ];
        for (offset, what, link) in words {
            let at = RuntimeAddr(self.bias.to_runtime(module.addr).0.wrapping_add(offset));
            let mut word = [0; 8];
            let whole = memory.read(at, &mut word)?;
            let (found, expected) = (u64::from_le_bytes(word), self.bias.to_runtime(link).0);
            // A process that has just begun is not relocated yet.
            if !whole || found != expected && found != link.0 && found != 0 {
                return Err(SnapshotError::OtherProgram { at, what, found, expected });
            }
        }
        Ok(())
    }

    /// Addresses of every `g` there ever was, sorted, each once.
    pub(in crate::target) fn all_goroutines(&self, memory: &dyn Memory) -> Result<Vec<u64>, SnapshotError> {
        let mut failure = String::new();
        for _ in 0..ATTEMPTS {
            // The length first: the runtime publishes a new array before a greater length (`allgadd`).
            let (mut len, mut pointer) = ([0; 8], [0; 8]);
            let known = memory.read(RuntimeAddr(self.globals.allglen), &mut len)?
                && memory.read(RuntimeAddr(self.globals.allgptr), &mut pointer)?;
            let (len, pointer) = (u64::from_le_bytes(len), u64::from_le_bytes(pointer));
            if !known {
                failure = "runtime.allglen is not mapped".to_owned();
            } else if len > MOST_GOROUTINES {
                failure = format!("it has {len} entries, and goflow reads at most {MOST_GOROUTINES}");
            } else if let Some(list) = words(memory, pointer, len)? {
                let mut list: Vec<u64> = list.into_iter().filter(|&g| g != 0).collect();
                // Stable, because most of it lies in order already.
                list.sort();
                list.dedup();
                return Ok(list);
            } else {
                failure = format!("not all of its {len} entries from {pointer:#x} on are mapped");
            }
        }
        Err(SnapshotError::List(failure))
    }
}

/// What belongs to one snapshot under way.
struct Session<'m> {
    memory: &'m dyn Memory,
    options: Options,
    threads: Map<Thread>,
    waits: Waits,
    labels: Map<Option<Vec<Label>>>,
    /// Places in the lists of semaphores, by `g`.
    places: Map<u32>,
    /// A goroutine of the snapshot waits for a sync object.
    has_sync: bool,
    /// How long one look at every goroutine took.
    look: Duration,
    /// There was no time for some stacks.
    lacks_stacks: bool,
}

/// `len` words from `at` on; `None` when not all are mapped.
pub(in crate::target) fn words(
    memory: &dyn Memory,
    at: u64,
    len: u64,
) -> Result<Option<Vec<u64>>, MemoryError> {
    const PIECE: u64 = 1 << 17;
    let mut words = Vec::new();
    let mut bytes = Vec::new();
    for first in (0..len).step_by(PIECE as usize) {
        bytes.resize(8 * PIECE.min(len - first) as usize, 0);
        if !memory.read(RuntimeAddr(at.wrapping_add(8 * first)), &mut bytes)? {
            return Ok(None);
        }
        words.extend(bytes.chunks_exact(8).filter_map(|word| u64_at(word, 0)));
    }
    Ok(Some(words))
}
