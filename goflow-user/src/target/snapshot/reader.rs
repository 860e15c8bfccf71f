//! Reads a [`Snapshot`] out of a target's memory.
//!
//! In: a binary, where it is mapped, its memory. The way: `runtime.allgs` → every `g` → what it waits with, where it stands,
//! its labels → the same `g` again. A goroutine whose `g` is the same afterwards has not moved, so all that was read in
//! between belongs together; the others are read again, some times, and then told without what moved. Refused: a binary
//! without struct offsets or without the runtime's variables, and memory that is not of this binary.

use super::found::{self, Descriptor, Suspect};
use super::raw::{Raw, Slot};
use super::reason::Reason;
use super::semaphore;
use super::stack::{self, Walk};
use super::threads::{self, Thread};
use super::waits::{Map, Own, Waits};
use super::{
    Blocked, BlockedOn, ChanTimer, Channel, Direction, Entity, Goroutine, Label, Snapshot, Stack, StackEnd,
    State, SyncObject, SyncWaiter, Unknown, Waiter, labels,
};
use crate::binary::GoBinary;
use crate::binary::addr::{LoadBias, RuntimeAddr};
use crate::binary::globals::{Global, GlobalError};
use crate::binary::offsets::{Offsets, OffsetsError};
use crate::binary::read::u64_at;
use crate::target::host::monotonic_ns;
use crate::target::id::{ChanAddr, Goid, MonotonicNs, SyncPrimitive, WaitReason};
use crate::target::memory::{Memory, MemoryError, read_each};
use std::collections::{BTreeMap, HashSet};
use std::ops::Range;
use thiserror::Error;

/// How often a goroutine that moves is read.
const ATTEMPTS: usize = 4;

/// Most goroutines, dead ones included, that are read.
const MOST_GOROUTINES: u64 = 1 << 24;

/// Frames that tell what a goroutine waits for.
const FEW_FRAMES: usize = 12;

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
}

/// What to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// The stacks of goroutines that do not run.
    pub stacks: bool,
    /// Most frames of a stack.
    pub frames: usize,
    /// Profiler labels.
    pub labels: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { stacks: true, frames: 128, labels: true }
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
    /// Kinds of start functions and of call sites, which are asked for again and again.
    starts: Map<Start>,
    calls: Map<Option<Call>>,
    checked: bool,
    /// Room of the snapshot before: memory that is new to goflow is cleared by the kernel first.
    room: Room,
}

/// What is empty between two snapshots.
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

/// What the function that a goroutine started with says of it (`isSystemGoroutine` in src/runtime/traceback.go).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Start {
    User,
    System,
    /// The runtime's while it waits for this, the user's while it calls back.
    CallsBack(&'static str),
}

/// A call in package sync that ends in a semaphore.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Call {
    MutexLock,
    RwMutexLock,
    RwMutexRLock,
    WaitGroupWait,
}

/// What was read of a goroutine besides its `g`.
#[derive(Default)]
struct Details {
    blocked_on: Vec<Blocked>,
    labels: Vec<Label>,
    stack: Stack,
    /// Why what it waits for is not known.
    wait_unknown: Option<&'static str>,
    stack_unknown: Option<&'static str>,
    labels_unknown: bool,
    /// It was read in several parts, which belong together only if it has not moved.
    has_parts: bool,
    /// Where its sudogs are.
    own: Option<u32>,
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
        let goexit = binary.function("runtime.goexit").map_or(0..0, |function| {
            bias.to_runtime(function.range.start).0..bias.to_runtime(function.range.end).0
        });
        Ok(Self {
            goexit,
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

    /// Reads everything once.
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
        };
        session.waits.clear();
        self.goroutines(&mut session, &mut snapshot)?;
        self.channels(&session, &mut snapshot)?;
        sync_objects(&session, &mut snapshot);
        self.room.waits = session.waits;
        snapshot.unknown.sort_by_key(|unknown| unknown.what);
        snapshot.ended = MonotonicNs(monotonic_ns());
        Ok(snapshot)
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
    fn all_goroutines(&self, memory: &dyn Memory) -> Result<Vec<u64>, SnapshotError> {
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

    fn goroutines(
        &mut self,
        session: &mut Session<'_>,
        snapshot: &mut Snapshot,
    ) -> Result<(), SnapshotError> {
        let addresses = self.all_goroutines(session.memory)?;
        let mut pending = std::mem::take(&mut self.room.pending);
        let mut details = std::mem::take(&mut self.room.details);
        pending.clear();
        pending.reserve(addresses.len());
        let mut suspects = Vec::new();
        self.slots(session.memory, &addresses, |address, slot| match slot {
            Slot::Live(raw) => pending.push(raw),
            Slot::Dead => snapshot.dead += 1,
            Slot::Nonsense(why) => suspects.push((address, why)),
        })?;
        snapshot.goroutines.reserve_exact(pending.len());
        for attempt in 1..=ATTEMPTS {
            let last = attempt == ATTEMPTS;
            self.details(session, &pending, &mut details)?;
            let mut now: Vec<u64> = pending.iter().map(|raw| raw.addr).collect();
            now.extend(suspects.iter().map(|&(address, _)| address));
            let later = self.again(session.memory, &now, &pending)?;
            let mut later = later.into_iter().peekable();
            let mut again = Vec::new();
            let mut odd = Vec::new();
            let count = pending.len();
            for (n, (raw, details)) in pending.drain(..).zip(details.drain(..)).enumerate() {
                match later.next_if(|&(at, _)| at == n).map(|(_, slot)| slot) {
                    Some(Slot::Dead) => snapshot.dead += 1,
                    Some(Slot::Nonsense(why)) => odd.push((raw.addr, why)),
                    Some(Slot::Live(later)) if details.has_parts || !raw.same(&later) => {
                        session.waits.forget(details.own);
                        if last && raw.same(&later) {
                            self.finish(session, snapshot, &later, self.moving(session, &later));
                        } else {
                            again.push(later);
                        }
                    }
                    // It stands where it stood, or nothing was read that a move could have torn.
                    None | Some(Slot::Live(_)) if details.wait_unknown.is_none() || last => {
                        self.finish(session, snapshot, &raw, details);
                    }
                    None | Some(Slot::Live(_)) => {
                        session.waits.forget(details.own);
                        again.push(raw);
                    }
                }
            }
            for (n, (address, why)) in suspects.into_iter().enumerate() {
                match later.next_if(|&(at, _)| at == count + n).map(|(_, slot)| slot) {
                    Some(Slot::Live(raw)) => again.push(raw),
                    Some(Slot::Dead) => snapshot.dead += 1,
                    Some(Slot::Nonsense(why)) => odd.push((address, why)),
                    None => odd.push((address, why)),
                }
            }
            suspects = odd;
            pending.append(&mut again);
            if pending.is_empty() && suspects.is_empty() {
                break;
            }
        }
        self.give_up(snapshot, &pending, &suspects);
        only_once(snapshot);
        (self.room.pending, self.room.details) = (pending, details);
        Ok(())
    }

    /// What stands at each address.
    fn slots(
        &self,
        memory: &dyn Memory,
        addresses: &[u64],
        mut each: impl FnMut(u64, Slot),
    ) -> Result<(), MemoryError> {
        read_each(memory, addresses, Raw::span(&self.offsets), |index, bytes| {
            let address = addresses[index];
            let slot = bytes
                .map_or(Slot::Nonsense(NOT_MAPPED), |bytes| Raw::decode(address, bytes, &self.offsets.g));
            each(address, slot);
        })
    }

    /// Reads the goroutines at `addresses`, of which the first ones were `before`, once more. Gives those that have moved,
    /// in that order.
    fn again(
        &self,
        memory: &dyn Memory,
        addresses: &[u64],
        before: &[Raw],
    ) -> Result<Vec<(usize, Slot)>, MemoryError> {
        let mut moved = Vec::new();
        read_each(memory, addresses, Raw::span(&self.offsets), |index, bytes| {
            let slot = bytes.map_or(Slot::Nonsense(NOT_MAPPED), |bytes| {
                Raw::decode(addresses[index], bytes, &self.offsets.g)
            });
            let still = matches!((&slot, before.get(index)), (Slot::Live(now), Some(raw)) if raw.still(now));
            if !still {
                moved.push((index, slot));
            }
        })?;
        moved.sort_unstable_by_key(|&(index, _)| index);
        Ok(moved)
    }

    fn give_up(&self, snapshot: &mut Snapshot, pending: &[Raw], suspects: &[(u64, &'static str)]) {
        for raw in pending {
            let what = Entity::Goroutine(RuntimeAddr(raw.addr), Some(Goid(raw.goid)));
            let why = format!("another goroutine was found there each of the {ATTEMPTS} times it was read");
            snapshot.unknown.push(Unknown { what, why });
        }
        for &(address, why) in suspects {
            let what = Entity::Goroutine(RuntimeAddr(address), None);
            snapshot.unknown.push(Unknown { what, why: why.to_owned() });
        }
    }

    /// What can be told of a goroutine that never holds still.
    fn moving(&self, session: &Session<'_>, raw: &Raw) -> Details {
        let mut details = Details::default();
        let why = "it moved each time it was read";
        if raw.state == State::Waiting && self.reason(raw) != Reason::Other {
            details.wait_unknown = Some(why);
        }
        if raw.state == State::Running {
            details.stack.end = StackEnd::Running;
        } else if session.options.stacks {
            details.stack_unknown = Some(why);
        }
        details
    }

    fn reason(&self, raw: &Raw) -> Reason {
        match raw.state {
            State::Waiting | State::Leaked => {
                self.reasons.get(usize::from(raw.reason)).copied().unwrap_or(Reason::Other)
            }
            _ => Reason::Other,
        }
    }

    /// Reads what belongs to each goroutine.
    fn details(
        &mut self,
        session: &mut Session<'_>,
        all: &[Raw],
        details: &mut Vec<Details>,
    ) -> Result<(), MemoryError> {
        details.clear();
        details.resize_with(all.len(), Details::default);
        let waiting: Vec<usize> =
            (0..all.len()).filter(|&n| matches!(all[n].state, State::Waiting | State::Leaked)).collect();
        let raws: Vec<&Raw> = waiting.iter().map(|&n| &all[n]).collect();
        let (first, breached) = session.waits.read(session.memory, &self.offsets, &raws)?;
        for (own, &n) in (first..).zip(&waiting) {
            details[n].own = Some(own);
        }
        let walked = self.walks(session, all, details)?;
        let table = self.semaphores(session.memory, &raws)?;
        let found = self.found(session, &raws, first, &walked)?;
        let sleeps = self.sleeps(session.memory, &raws)?;
        for (at, &n) in waiting.iter().enumerate() {
            let raw = &all[n];
            details[n].has_parts |= raw.waiting != 0 || self.reason(raw) != Reason::Other;
            if breached.contains(&at) {
                details[n].wait_unknown = Some("its list of waits does not hold together");
                continue;
            }
            let (walk, own) = (walked.get(&raw.addr), details[n].own);
            let evidence = Evidence { own, walk, table: &table, found: &found, sleeps: &sleeps };
            match self.blocked_on(session, raw, &evidence) {
                Ok(blocked_on) => details[n].blocked_on = blocked_on,
                Err(why) => details[n].wait_unknown = Some(why),
            }
        }
        for (raw, details) in all.iter().zip(details) {
            if session.options.labels && raw.labels != 0 {
                self.labels(session, raw, details)?;
            }
        }
        Ok(())
    }

    /// Walks the stacks that are wanted, and those that tell what a goroutine waits for.
    fn walks(
        &self,
        session: &Session<'_>,
        all: &[Raw],
        details: &mut [Details],
    ) -> Result<Map<Walk>, MemoryError> {
        let mut walked = Map::default();
        let stacks = session.options.stacks;
        let wanted = |raw: &Raw| match raw.state {
            State::Running | State::Idle | State::CopyStack => false,
            _ => stacks || self.reason(raw).needs_stack(),
        };
        let chosen: Vec<usize> = (0..all.len()).filter(|&n| wanted(&all[n])).collect();
        let raws: Vec<&Raw> = chosen.iter().map(|&n| &all[n]).collect();
        let most = if stacks { session.options.frames } else { FEW_FRAMES };
        let keep = |raw: &Raw| matches!(self.reason(raw), Reason::Cond | Reason::Descriptor);
        let depth_at = |pc| {
            let link = self.bias.to_link(RuntimeAddr(pc));
            self.binary.pclntab().ok().and_then(|table| table.stack_depth(link))
        };
        let program = stack::Program { depth_at: &depth_at, goexit: self.goexit.clone(), most };
        let walks = stack::walk(session.memory, &raws, &keep, &program)?;
        for (&n, mut walk) in chosen.iter().zip(walks) {
            details[n].has_parts = true;
            let is_evidence = self.reason(&all[n]).needs_stack();
            if stacks {
                let frames = if is_evidence { walk.frames.clone() } else { std::mem::take(&mut walk.frames) };
                details[n].stack =
                    Stack { frames: frames.into_iter().map(RuntimeAddr).collect(), end: walk.end };
            }
            if is_evidence {
                walked.insert(all[n].addr, walk);
            }
        }
        for (raw, details) in all.iter().zip(details) {
            if raw.state == State::Running {
                details.stack.end = StackEnd::Running;
            }
        }
        Ok(walked)
    }

    fn semaphores(&self, memory: &dyn Memory, waiting: &[&Raw]) -> Result<semaphore::Table, MemoryError> {
        let any = waiting.iter().any(|raw| matches!(self.reason(raw), Reason::Semaphore(_)));
        match self.globals.semtable {
            Some(semtable) if any => semaphore::read(memory, &self.offsets, semtable),
            _ => Ok(semaphore::Table::default()),
        }
    }

    /// What only stacks point to.
    fn found(
        &self,
        session: &Session<'_>,
        waiting: &[&Raw],
        first: u32,
        walked: &Map<Walk>,
    ) -> Result<Found, MemoryError> {
        let of = |reason: Reason| {
            let raws = (first..).zip(waiting).filter(move |(_, raw)| self.reason(raw) == reason);
            raws.filter_map(|(own, raw)| {
                let words = walked.get(&raw.addr)?.words.as_slice();
                Some((own, Suspect { g: raw.addr, stack: raw.stack, words }))
            })
        };
        let has_address = |own| session.waits.of(Some(own)).any(|sudog| sudog.elem != 0);
        let conds: Vec<_> =
            of(Reason::Cond).filter(|&(own, _)| !has_address(own)).map(|(_, suspect)| suspect).collect();
        let descriptors: Vec<_> = of(Reason::Descriptor).map(|(_, suspect)| suspect).collect();
        Ok(Found {
            lists: found::notify_lists(session.memory, &self.offsets, &conds)?,
            descriptors: found::descriptors(session.memory, &self.offsets, &descriptors)?,
        })
    }

    /// When each sleep ends, by the timer's address.
    fn sleeps(&self, memory: &dyn Memory, waiting: &[&Raw]) -> Result<Map<u64>, MemoryError> {
        let asleep = waiting.iter().filter(|raw| self.reason(raw) == Reason::Sleep && raw.timer != 0);
        let timers: Vec<u64> = asleep.filter(|raw| raw.sleep_when.is_none()).map(|raw| raw.timer).collect();
        let mut ends = Map::default();
        let when = self.offsets.timer.when as usize;
        read_each(memory, &timers, when + 8, |index, bytes| {
            if let Some(end) = bytes.and_then(|bytes| u64_at(bytes, when)) {
                ends.insert(timers[index], end);
            }
        })?;
        Ok(ends)
    }

    /// What a goroutine waits for.
    fn blocked_on(
        &mut self,
        session: &mut Session<'_>,
        raw: &Raw,
        evidence: &Evidence<'_>,
    ) -> Result<Vec<Blocked>, &'static str> {
        let one = |on, address, direction| {
            vec![Blocked { on, address: Some(RuntimeAddr(address)), direction, until: None }]
        };
        match self.reason(raw) {
            Reason::NilChannel(direction) => Ok(vec![Blocked {
                on: BlockedOn::Channel,
                address: None,
                direction: Some(direction),
                until: None,
            }]),
            Reason::Channel(direction) => {
                let blocked = cases(session, evidence, Some(direction));
                let alone = blocked.len() == 1;
                if alone { Ok(blocked) } else { Err("it is in the queue of no channel, or of several") }
            }
            Reason::Select => {
                let blocked = cases(session, evidence, None);
                if blocked.is_empty() { Err("it is in the queue of no channel") } else { Ok(blocked) }
            }
            Reason::Other => Ok(cases(session, evidence, None)),
            Reason::Sleep => {
                let end = raw.sleep_when.or_else(|| evidence.sleeps.get(&raw.timer).copied());
                let mut blocked = one(BlockedOn::Timer, raw.timer, None);
                blocked[0].until = end.map(MonotonicNs);
                if raw.timer == 0 { Err("it sleeps without a timer") } else { Ok(blocked) }
            }
            Reason::Semaphore(kind) => self.semaphore(session, raw, kind, evidence),
            Reason::Cond => {
                let list = session.waits.of(evidence.own).map(|sudog| sudog.elem).find(|&elem| elem != 0);
                let list = list.or_else(|| evidence.found.lists.get(&raw.addr).copied());
                let list = list.ok_or("its stack does not lead to the queue that it is in")?;
                let notify = self.offsets.cond.map_or(0, |cond| cond.notify);
                let address = list.wrapping_sub(u64::from(notify));
                Ok(one(BlockedOn::Sync(SyncPrimitive::Cond), address, None))
            }
            Reason::Descriptor => {
                let descriptor = evidence.found.descriptors.get(&raw.addr);
                let descriptor = descriptor.ok_or("its stack does not lead to the descriptor")?;
                let on = BlockedOn::Descriptor(descriptor.number);
                Ok(one(on, descriptor.address, Some(descriptor.direction)))
            }
        }
    }

    /// The sync object whose semaphore a goroutine waits for.
    fn semaphore(
        &mut self,
        session: &mut Session<'_>,
        raw: &Raw,
        kind: Option<(SyncPrimitive, Option<Direction>)>,
        evidence: &Evidence<'_>,
    ) -> Result<Vec<Blocked>, &'static str> {
        let listed = evidence.table.waiters.get(&raw.addr).copied();
        let own = || {
            let own = session.waits.of(evidence.own).find(|sudog| sudog.c == 0 && sudog.elem != 0)?;
            Some(semaphore::Waiter { semaphore: own.elem, place: u32::MAX })
        };
        let waiter = match (listed.or_else(own), evidence.table.broken) {
            (Some(waiter), _) => waiter,
            (None, Some(why)) => return Err(why),
            (None, None) => return Err("it is not in the table of semaphores"),
        };
        session.places.insert(raw.addr, waiter.place);
        let calls = evidence.walk.map_or(&[][..], |walk| &walk.frames);
        let kind = self.kind_by_stack(calls).or(kind);
        let (primitive, direction) = kind.unwrap_or((SyncPrimitive::Semaphore, None));
        let of_mutex = self.reason(raw) == Reason::Semaphore(Some((SyncPrimitive::Mutex, None)))
            || self.calls_of(calls).contains(&Call::MutexLock);
        let into = self.offset_of_semaphore(primitive, direction, of_mutex);
        let (primitive, into) = into.map_or((SyncPrimitive::Semaphore, 0), |into| (primitive, into));
        Ok(vec![Blocked {
            on: BlockedOn::Sync(primitive),
            address: Some(RuntimeAddr(waiter.semaphore.wrapping_sub(u64::from(into)))),
            direction,
            until: None,
        }])
    }

    /// Where in the object its semaphore is.
    fn offset_of_semaphore(
        &self,
        primitive: SyncPrimitive,
        direction: Option<Direction>,
        of_mutex: bool,
    ) -> Option<u32> {
        let offsets = &self.offsets;
        let mutex = || offsets.mutex.map(|mutex| mutex.sema);
        match (primitive, direction) {
            (SyncPrimitive::Mutex, _) => mutex(),
            // Writers first compete for a mutex inside.
            (SyncPrimitive::RwMutex, Some(Direction::Write)) if of_mutex => {
                Some(offsets.rw_mutex?.w + mutex()?)
            }
            (SyncPrimitive::RwMutex, Some(Direction::Write)) => Some(offsets.rw_mutex?.writer_sem),
            (SyncPrimitive::RwMutex, _) => Some(offsets.rw_mutex?.reader_sem),
            (SyncPrimitive::WaitGroup, _) => offsets.wait_group.map(|group| group.sema),
            (SyncPrimitive::Semaphore | SyncPrimitive::Cond, _) => Some(0),
        }
    }

    /// What the calls on a stack say of the semaphore at its end.
    fn kind_by_stack(&mut self, frames: &[u64]) -> Option<(SyncPrimitive, Option<Direction>)> {
        let calls = self.calls_of(frames);
        Some(match calls.iter().find(|&&call| call != Call::MutexLock).or(calls.first())? {
            Call::MutexLock => (SyncPrimitive::Mutex, None),
            Call::RwMutexLock => (SyncPrimitive::RwMutex, Some(Direction::Write)),
            Call::RwMutexRLock => (SyncPrimitive::RwMutex, Some(Direction::Read)),
            Call::WaitGroupWait => (SyncPrimitive::WaitGroup, None),
        })
    }

    /// The calls of package sync at the top of a stack, innermost first: those without another between them.
    fn calls_of(&mut self, frames: &[u64]) -> Vec<Call> {
        let mut calls = Vec::new();
        for &pc in frames.iter().take(FEW_FRAMES) {
            match self.call_at(pc) {
                Some(call) => calls.push(call),
                // Below it stand the runtime's frames, above it nothing of package sync.
                None if !calls.is_empty() => break,
                None => {}
            }
        }
        calls
    }

    fn call_at(&mut self, pc: u64) -> Option<Call> {
        let (binary, bias) = (self.binary, self.bias);
        let class = || {
            let frames = binary.frames_of_call(bias.to_link(RuntimeAddr(pc)));
            // The outermost of what was inlined into one another: `RWMutex.Lock` over its `Mutex.Lock`.
            frames.iter().filter_map(|frame| call_named(frame.function)).next_back()
        };
        *self.calls.entry(pc).or_insert_with(class)
    }

    fn labels(&self, session: &mut Session<'_>, raw: &Raw, details: &mut Details) -> Result<(), MemoryError> {
        details.has_parts |= raw.state != State::Running;
        if !session.labels.contains_key(&raw.labels) {
            let labels = labels::read(session.memory, self.release, raw.labels)?;
            session.labels.insert(raw.labels, labels);
        }
        match session.labels.get(&raw.labels) {
            Some(Some(labels)) => details.labels.clone_from(labels),
            _ => details.labels_unknown = true,
        }
        Ok(())
    }

    /// Enters a goroutine.
    fn finish(&mut self, session: &mut Session<'_>, snapshot: &mut Snapshot, raw: &Raw, details: Details) {
        let goid = Goid(raw.goid);
        let unknown = [
            (Entity::WaitOf(goid), details.wait_unknown),
            (Entity::StackOf(goid), details.stack_unknown),
            (Entity::LabelsOf(goid), details.labels_unknown.then_some("they are not as Go lays them out")),
        ];
        for (what, why) in unknown {
            snapshot.unknown.extend(why.map(|why| Unknown { what, why: why.to_owned() }));
        }
        let waits = matches!(raw.state, State::Waiting | State::Leaked);
        if details.wait_unknown.is_none() && waits {
            let directions = details.blocked_on.iter().map(|blocked| blocked.direction);
            session.waits.enter(details.own, raw.goid, directions);
        }
        let address = |word: u64| (word != 0).then_some(RuntimeAddr(word));
        let thread = session.threads.get(&raw.m);
        snapshot.goroutines.push(Goroutine {
            addr: RuntimeAddr(raw.addr),
            goid,
            state: raw.state,
            scanned: raw.scanned,
            wait_reason: waits.then_some(WaitReason(raw.reason)),
            wait_since: (waits || raw.state == State::Syscall)
                .then_some(raw.wait_since)
                .filter(|&since| since != 0)
                .map(MonotonicNs),
            parent: (raw.parent != 0).then_some(Goid(raw.parent)),
            created: address(raw.gopc),
            start: address(raw.startpc),
            system: self.is_system(raw),
            locked: raw.locked,
            m: thread.map(|thread| thread.id),
            tid: thread.map(|thread| thread.tid),
            p: thread.and_then(|thread| thread.p),
            blocked_on: details.blocked_on,
            labels: details.labels,
            stack: details.stack,
        });
    }

    /// As `isSystemGoroutine` has it. Its flags for finalizers and cleanups are on while one of the user's runs, that is
    /// whenever the goroutine does not wait for the next.
    fn is_system(&mut self, raw: &Raw) -> bool {
        let (binary, bias) = (self.binary, self.bias);
        let start = *self.starts.entry(raw.startpc).or_insert_with(|| {
            let table = binary.pclntab().ok();
            let link = bias.to_link(RuntimeAddr(raw.startpc));
            let name = table.and_then(|table| table.name(&table.find_pc(link)?)).unwrap_or_default();
            start_named(name)
        });
        match start {
            Start::User => false,
            Start::System => true,
            Start::CallsBack(idle) => {
                let waits_for = binary.wait_reason(raw.reason);
                raw.pc == raw.startpc || raw.state == State::Waiting && waits_for == Some(idle)
            }
        }
    }

    /// The channels that goroutines of the snapshot stand at.
    fn channels(&self, session: &Session<'_>, snapshot: &mut Snapshot) -> Result<(), SnapshotError> {
        let mut timers: Vec<(usize, u64)> = Vec::new();
        session.waits.each_channel(|address, hchan, group| {
            let what = Entity::Channel(ChanAddr(address));
            let Some(hchan) = hchan else {
                let why = "it is not mapped, or what is there is no channel".to_owned();
                snapshot.unknown.push(Unknown { what, why });
                return;
            };
            if group.iter().any(|own| own.side.is_none()) {
                let why = "a goroutine waits on it that is in neither of its queues".to_owned();
                snapshot.unknown.push(Unknown { what, why });
            }
            if hchan.timer != 0 {
                timers.push((snapshot.channels.len(), hchan.timer));
            }
            group.sort_by_key(|own| (own.place, own.goid));
            snapshot.channels.push(Channel {
                address: ChanAddr(address),
                len: hchan.len,
                cap: hchan.cap,
                elem_size: hchan.elem_size,
                elem_type: (hchan.elem_type != 0).then_some(RuntimeAddr(hchan.elem_type)),
                closed: hchan.closed != 0,
                sendx: hchan.sendx,
                recvx: hchan.recvx,
                senders: side(group, Direction::Send),
                receivers: side(group, Direction::Receive),
                timer: None,
            });
        });
        self.timers(session.memory, snapshot, &timers)
    }

    /// The timers behind channels.
    fn timers(
        &self,
        memory: &dyn Memory,
        snapshot: &mut Snapshot,
        timers: &[(usize, u64)],
    ) -> Result<(), SnapshotError> {
        let addresses: Vec<u64> = timers.iter().map(|&(_, address)| address).collect();
        let layout = self.offsets.timer;
        read_each(memory, &addresses, layout.size as usize, |index, bytes| {
            let Some(bytes) = bytes else { return };
            let word = |offset: u32| u64_at(bytes, offset as usize).unwrap_or(0);
            // The runtime sets it to 0 when the timer is stopped or has fired.
            let when = word(layout.when);
            let period = word(layout.period);
            snapshot.channels[timers[index].0].timer = Some(ChanTimer {
                address: RuntimeAddr(addresses[index]),
                when: (when != 0).then_some(MonotonicNs(when)),
                period_ns: (period != 0).then_some(period),
            });
        })?;
        Ok(())
    }
}

const NOT_MAPPED: &str = "its memory is not mapped";

/// What belongs to one snapshot under way.
struct Session<'m> {
    memory: &'m dyn Memory,
    options: Options,
    threads: Map<Thread>,
    waits: Waits,
    labels: Map<Option<Vec<Label>>>,
    /// Places in the lists of semaphores, by `g`.
    places: Map<u32>,
}

/// What tells what a goroutine waits for.
struct Evidence<'e> {
    /// Where the goroutine's sudogs are.
    own: Option<u32>,
    walk: Option<&'e Walk>,
    table: &'e semaphore::Table,
    found: &'e Found,
    sleeps: &'e Map<u64>,
}

struct Found {
    lists: Map<u64>,
    descriptors: Map<Descriptor>,
}

/// `len` words from `at` on; `None` when not all are mapped.
fn words(memory: &dyn Memory, at: u64, len: u64) -> Result<Option<Vec<u64>>, MemoryError> {
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

fn start_named(name: &str) -> Start {
    match name {
        "runtime.main" | "runtime.corostart" | "runtime.handleAsyncEvent" => Start::User,
        // Renamed in Go 1.25.
        "runtime.runfinq" | "runtime.runFinalizers" => Start::CallsBack("finalizer wait"),
        "runtime.runCleanups" => Start::CallsBack("cleanup wait"),
        _ if name.starts_with("runtime.") => Start::System,
        _ => Start::User,
    }
}

fn call_named(function: &str) -> Option<Call> {
    match function {
        // In package internal/sync from Go 1.24 on.
        "sync.(*Mutex).lockSlow" | "internal/sync.(*Mutex).lockSlow" => Some(Call::MutexLock),
        "sync.(*Mutex).Lock" | "internal/sync.(*Mutex).Lock" => Some(Call::MutexLock),
        "sync.(*RWMutex).Lock" => Some(Call::RwMutexLock),
        "sync.(*RWMutex).RLock" => Some(Call::RwMutexRLock),
        "sync.(*WaitGroup).Wait" => Some(Call::WaitGroupWait),
        _ => None,
    }
}

/// The channels of a goroutine's sudogs. In a select the queue that a sudog stands in tells the direction.
fn cases(session: &Session<'_>, evidence: &Evidence<'_>, direction: Option<Direction>) -> Vec<Blocked> {
    let at_channels = session.waits.of(evidence.own).filter(|sudog| sudog.c != 0);
    let blocked = at_channels.map(|sudog| Blocked {
        on: BlockedOn::Channel,
        address: Some(RuntimeAddr(sudog.c)),
        direction: direction.or(sudog.side),
        until: None,
    });
    blocked.collect()
}

/// The waiters of one direction, of all in the order of the queue.
fn side(group: &[&Own], direction: Direction) -> Vec<Waiter> {
    let of_side = || group.iter().filter(|own| own.side == Some(direction));
    let mut waiters = Vec::with_capacity(of_side().count());
    waiters.extend(of_side().map(|own| Waiter { goid: Goid(own.goid), select: own.select }));
    waiters
}

/// Sync objects, from what the goroutines wait for.
fn sync_objects(session: &Session<'_>, snapshot: &mut Snapshot) {
    let mut objects: BTreeMap<(SyncPrimitive, RuntimeAddr), Vec<(u32, SyncWaiter)>> = BTreeMap::new();
    for goroutine in &snapshot.goroutines {
        for blocked in &goroutine.blocked_on {
            let (BlockedOn::Sync(kind), Some(address)) = (blocked.on, blocked.address) else { continue };
            let place = session.places.get(&goroutine.addr.0).copied().unwrap_or(u32::MAX);
            let waiter = SyncWaiter { goid: goroutine.goid, direction: blocked.direction };
            objects.entry((kind, address)).or_default().push((place, waiter));
        }
    }
    for ((kind, address), mut waiters) in objects {
        waiters.sort_by_key(|(place, waiter)| (*place, waiter.goid));
        let waiters = waiters.into_iter().map(|(_, waiter)| waiter).collect();
        snapshot.sync.push(SyncObject { kind, address, waiters });
    }
}

/// Goroutines in the order of their ids. Two of one id are a contradiction, and neither is believed.
fn only_once(snapshot: &mut Snapshot) {
    if !snapshot.goroutines.is_sorted_by_key(|goroutine| goroutine.goid) {
        snapshot.goroutines.sort_by_cached_key(|goroutine| goroutine.goid);
    }
    let twice: HashSet<Goid> = snapshot
        .goroutines
        .windows(2)
        .filter(|pair| pair[0].goid == pair[1].goid)
        .map(|pair| pair[0].goid)
        .collect();
    if twice.is_empty() {
        return;
    }
    let (doubted, believed): (Vec<Goroutine>, Vec<Goroutine>) =
        std::mem::take(&mut snapshot.goroutines).into_iter().partition(|g| twice.contains(&g.goid));
    snapshot.goroutines = believed;
    for goroutine in doubted {
        let what = Entity::Goroutine(goroutine.addr, Some(goroutine.goid));
        snapshot.unknown.push(Unknown { what, why: "another goroutine has the same id".to_owned() });
    }
}
