//! Whom nobody can wake any more: goroutines that wait for things which no goroutine that goes on can reach.
//!
//! In: a [`Snapshot`] and the memory it was read from. Out: the goroutines of it that wait for good. A goroutine is woken by
//! whoever has the channel, the mutex or the wait group that it waits for. So what goes on is marked first (package variables,
//! and every goroutine that runs, or that a clock, a descriptor or the runtime itself wakes), then what those lead to through
//! the heap; whoever waits for something that was reached may go on as well, and so forth to a fixed point. What is left
//! waits for what nobody has who could ever use it. It is the rule by which a garbage collector finds memory that nobody needs,
//! and that Go 1.26's `goroutineleak` profile is made by; here it is done from outside, in any Go since 1.18.
//!
//! Words are taken for pointers without asking what they are (see [`mark`]), so a goroutine may be missed that nobody can wake,
//! for a number that looks like an address. The other way round it can go wrong only because a process runs on while it is
//! read: a pointer can move from where the look has not been to where it was. What nobody can reach stays so, hence whoever
//! acts on this looks twice: a goroutine that is found in both is found.

mod backlog;
mod code;
mod foreign;
mod given;
mod holds;
mod mark;
mod serve;
mod spans;
mod stack;
mod timers;

pub use self::backlog::Backlog;
pub use self::foreign::Foreign;
pub use self::mark::Limits;
pub use self::timers::Timers;

use self::backlog::Starts;
use self::code::Code;
use self::mark::{Budget, Marker, Program};
use self::spans::Spans;
use self::stack::{Frames, Words};
use super::id::{Goid, SyncPrimitive, WaitReason};
use super::memory::{Memory, MemoryError, read_each};
use super::snapshot::reader::Reader;
use super::snapshot::{Blocked, BlockedOn, Goroutine, Map, Raw, Reason, Set, Slot, Snapshot, State};
use crate::binary::GoBinary;
use crate::binary::addr::{LinkAddr, LoadBias, RuntimeAddr};
use crate::binary::critical::Sections;
use crate::binary::globals::{Global, GlobalError};
use crate::binary::mentions::{self, Mentions};
use crate::binary::read::u64_at;
use std::ops::Range;
use thiserror::Error;

/// Most bytes of a stack whose frames are looked at; who is reached from a larger one is found by all of its words.
const MOST_STACK: u64 = 16 << 20;

/// Most specials of objects that are read.
const MOST_SPECIALS: usize = 1 << 20;

/// Most unreachable goroutines of which it is found out whom they could wake, and most objects that are looked at for each and for
/// all of them.
const MOST_LED: usize = 1024;
/// See [`MOST_LED`].
const MOST_STEPS: usize = 4096;
/// See [`MOST_LED`].
const MOST_STEPS_IN_ALL: usize = 50_000;

/// Why it cannot be told who waits for good.
#[derive(Debug, Error)]
pub enum ReachError {
    /// Where the heap is is not known.
    #[error("the heap cannot be found: {0}")]
    Global(#[from] GlobalError),
    /// The program's variables are not known.
    #[error("where the program has its variables is not known")]
    NoModule,
    /// The heap's own state makes no sense.
    #[error("the heap cannot be read: {0}")]
    Heap(String),
    /// The list of goroutines cannot be read.
    #[error(transparent)]
    List(#[from] super::snapshot::reader::SnapshotError),
    /// The memory cannot be read.
    #[error(transparent)]
    Memory(#[from] MemoryError),
    /// There is more of it than may be read.
    #[error("what its goroutines can reach is more than {} MB", .0 >> 20)]
    TooLarge(u64),
    /// There was no time for all of it.
    #[error("the time was over when {} MB had been read of what its goroutines can reach", .0 >> 20)]
    TooSlow(u64),
}

/// What one look found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    /// Who waits for good, by goid.
    pub unreachable: Vec<Unreachable>,
    /// Nothing of the program goes on, nor will: every goroutine of its own waits for another.
    pub is_asleep: bool,
    /// Who may hold which lock that somebody waits for.
    pub holds: Vec<Hold>,
    /// Channels with values in their buffers that goroutines have at hand.
    pub backlogs: Vec<Backlog>,
    /// The program's timers that are set for long, by what they call.
    pub timers: Vec<Timers>,
    /// Who waits for what only package variables lead to, and those only code names that nothing which goes on comes to.
    pub unnamed: Vec<Goid>,
    /// Who is the only one seen to lead to what a package variable has.
    pub serves: Vec<Serves>,
    /// Who gives back what another one has locked.
    pub foreign: Vec<Foreign>,
    /// Bytes that were read.
    pub bytes: u64,
    /// Objects that were reached.
    pub objects: u64,
}

/// A lock that a goroutine may hold: Go's have no owner, so this is what its code and its stack tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hold {
    /// Who.
    pub goid: Goid,
    /// What kind of lock.
    pub kind: SyncPrimitive,
    /// Where it is.
    pub address: RuntimeAddr,
    /// With others that read (`RLock`).
    pub is_shared: bool,
    /// The code names this very lock; otherwise it is one that the frame leads to, and could be another that lies alike.
    pub is_certain: bool,
    /// Where it took the lock: a program counter in the call.
    pub taken_at: RuntimeAddr,
}

/// A goroutine that nobody can wake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreachable {
    /// Which.
    pub goid: Goid,
    /// Of what unreachable goroutines wait for, that which this one could reach if it went on.
    pub leads_to: Vec<RuntimeAddr>,
    /// It could be reached, but for a lock that another one holds which nobody can wake either, or one that waits for such.
    pub by_lock: bool,
    /// It receives in a way that tells whether the channel is closed: by `range`, or into two variables.
    pub awaits_close: bool,
}

/// A goroutine that alone is seen to lead to what another one waits for, who holds a lock that it waits for itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Serves {
    /// Which.
    pub goid: Goid,
    /// What is waited for.
    pub object: RuntimeAddr,
}

/// What is known of a binary's code, from look to look.
pub struct Known<'b> {
    frames: Frames<'b>,
    sections: Sections<'b>,
    /// `None` where that is not wanted, or the binary does not tell which package variable is where.
    mentions: Option<Mentions<'b>>,
}

impl<'b> Known<'b> {
    /// Nothing yet; package variables are within everybody's reach.
    #[must_use]
    pub fn new(binary: &'b GoBinary<'b>, bias: LoadBias) -> Self {
        Self { frames: Frames::new(binary, bias), sections: Sections::new(binary), mentions: None }
    }

    /// The same, for looks that find out which package variables are named by code that may still run. To read that code takes a
    /// tenth of a second of CPU time at the first look.
    #[must_use]
    pub fn following_code(binary: &'b GoBinary<'b>, bias: LoadBias) -> Self {
        Self { mentions: Mentions::new(binary), ..Self::new(binary, bias) }
    }
}

/// What a goroutine's going on depends on.
enum Wait {
    /// It runs, or is woken by what is no goroutine, or it is not known what it waits for.
    GoesOn,
    /// One of these has to be reached; none is there where it waits for nothing that exists.
    Needs(Vec<u64>),
}

/// A goroutine as it stands at the look.
struct Stand {
    raw: Raw,
    wait: Wait,
    /// It runs the program's code, or may.
    is_user: bool,
    is_live: bool,
    /// It does not go on unless a lock is given back by one that does not either.
    is_stuck: bool,
    /// The lock that it waits for.
    lock: Option<u64>,
}

impl Reach {
    /// Looks at what is reached in `memory`, from which `snapshot` was read by `reader` just before.
    ///
    /// # Errors
    /// See [`ReachError`].
    pub fn of(
        reader: &Reader<'_>,
        memory: &dyn Memory,
        snapshot: &Snapshot,
        known: &mut Known<'_>,
        limits: Limits,
    ) -> Result<Self, ReachError> {
        let global =
            |global| Ok::<_, GlobalError>(reader.bias().to_runtime(reader.binary().global(global)?).0);
        let budget = Budget::new(limits);
        let spans = Spans::read(memory, reader.offsets(), global(Global::Mheap)?)?;
        let mut stands = stands(reader, memory, snapshot)?;
        let processors = processors(memory, global(Global::Allp)?)?;
        let opaque = opaque(reader, memory, &spans, &processors, global(Global::Allm)?)?;
        let mut marker = Marker::new(memory, &spans, &opaque, &budget);
        let entry = |name| Some(reader.bias().to_runtime(reader.binary().function(name)?.range.start).0);
        let functions = (entry("time.goFunc"), entry("time.sendTime"));
        let timers = timers::mark(
            (memory, &budget),
            reader.offsets(),
            &processors,
            &mut marker,
            functions,
            snapshot.ended,
        )?;
        let mut finalizers = specials(reader, memory, &spans)?;
        let Known { frames, sections, mentions } = known;
        let mut stacks = Stacks::new(reader, memory, frames, &budget);
        let mut tools = holds::Tools {
            memory,
            budget: &budget,
            frames: &mut *stacks.frames,
            sections,
            bias: reader.bias(),
            offsets: reader.offsets(),
        };
        let parked = parked(&stands);
        let mut holds = self::held(&mut tools, snapshot, &parked)?;
        let foreign = foreign::find(&mut tools, snapshot, &parked)?;
        // Whoever waits for such a lock does not wait for who has taken it.
        holds.retain(|hold| !foreign.iter().any(|foreign| foreign.address == Some(hold.address)));
        // Package variables are of use to nobody while no goroutine goes on that could use them.
        let mut is_asleep = !timers.starts_one
            && !stands.iter().any(|stand| stand.is_user && matches!(stand.wait, Wait::GoesOn));
        if is_asleep {
            let heap = (&spans, &opaque);
            finalizers.settle(heap, &mut marker, &mut stands, &mut stacks, (&[], false))?;
            is_asleep = !stands.iter().any(|stand| stand.is_user && stand.is_live);
        }
        let mut serves = Vec::new();
        if !is_asleep {
            roots(reader, &mut marker, global(Global::Semtable)?, global(Global::Mheap)?)?;
            let heap = (&spans, &opaque);
            finalizers.settle(heap, &mut marker, &mut stands, &mut stacks, (&holds, true))?;
            let suspects = serve::suspects(&stands, &holds);
            for (suspect, behind) in &suspects {
                let mut marker = Marker::new(memory, &spans, &opaque, &budget).through(variables(reader)?);
                let lists = (memory, &budget);
                timers::mark(lists, reader.offsets(), &processors, &mut marker, functions, snapshot.ended)?;
                specials(reader, memory, &spans)?.mark(&mut marker);
                serves.extend(serve::find((*suspect, behind), &stands, &mut stacks, &mut marker)?);
            }
            // Those that are stuck behind a lock alone, whose holder waits for good, could be told as well without that.
            for stand in &mut stands {
                stand.is_stuck = !stand.is_live;
            }
            finalizers.settle(heap, &mut marker, &mut stands, &mut stacks, (&[], true))?;
        }
        for stand in &mut stands {
            stand.is_stuck |= !stand.is_live;
        }
        let objects = marker.objects;
        let backlogs = backlog::find(reader, memory, &spans, std::mem::take(&mut stacks.starts))?;
        let unnamed = match mentions {
            Some(mentions) if !is_asleep => {
                let heap = (&spans, &opaque);
                let mut marker =
                    Marker::new(memory, heap.0, heap.1, &budget).in_program(program(reader, mentions)?);
                let lists = (memory, &budget);
                timers::mark(lists, reader.offsets(), &processors, &mut marker, functions, snapshot.ended)?;
                let finalizers = specials(reader, memory, &spans)?;
                stacks.code = Some(Code::new(mentions, reader.bias()));
                unnamed(heap, (marker, finalizers), &mut stands, &mut stacks)?
            }
            _ => Vec::new(),
        };
        let stranded = still(reader, memory, stands)?;
        let mut unreachable = lead(&mut stacks, &spans, &opaque, &stranded)?;
        note_who_awaits_a_close(reader, snapshot, &mut unreachable);
        Ok(Self {
            unreachable,
            is_asleep,
            holds,
            backlogs,
            timers: timers.far,
            unnamed,
            serves,
            foreign,
            bytes: budget.spent(),
            objects,
        })
    }
}

/// Every goroutine as it is now. One that is not in the snapshot, or no longer where it was there, goes on.
fn stands(reader: &Reader<'_>, memory: &dyn Memory, snapshot: &Snapshot) -> Result<Vec<Stand>, ReachError> {
    let known: Map<&Goroutine> = snapshot.goroutines.iter().map(|one| (one.addr.0, one)).collect();
    let addresses = reader.all_goroutines(memory)?;
    let mut stands = Vec::with_capacity(snapshot.goroutines.len());
    let signals = Signals::of(reader, snapshot);
    let g = &reader.offsets().g;
    read_each(memory, &addresses, g.size as usize, |index, bytes| {
        let slot = bytes.map(|bytes| Raw::decode(addresses[index], bytes, g));
        let Some(Slot::Live(raw)) = slot else { return };
        let seen = known.get(&raw.addr).copied().filter(|seen| seen.goid.0 == raw.goid);
        // A signal of the operating system comes from outside.
        let has_signal = seen.is_some_and(|seen| seen.blocked_on.iter().any(|on| signals.contains(on)));
        let wait = match seen {
            Some(seen) if is_as_seen(seen, &raw) && !has_signal => wait(reader, snapshot, seen),
            _ => Wait::GoesOn,
        };
        let is_user = seen.is_none_or(|seen| !seen.system && !is_signal_loop(reader, seen));
        let lock = seen.and_then(lock_of).filter(|_| matches!(wait, Wait::Needs(_)));
        stands.push(Stand { raw, wait, is_user, is_live: false, is_stuck: false, lock });
    })?;
    // A goroutine that was served and waits again looks the same; what it waits for need not be.
    let raws: Vec<&Raw> = stands.iter().map(|stand| &stand.raw).collect();
    let first = first_channels(reader, memory, &raws)?;
    for (stand, channel) in stands.iter_mut().zip(first) {
        if matches!((&stand.wait, channel), (Wait::Needs(on), Some(channel)) if !on.contains(&channel)) {
            stand.wait = Wait::GoesOn;
        }
    }
    Ok(stands)
}

/// The lock that a goroutine waits for.
fn lock_of(goroutine: &Goroutine) -> Option<u64> {
    goroutine.blocked_on.iter().find_map(|blocked| match blocked.on {
        BlockedOn::Sync(SyncPrimitive::Mutex | SyncPrimitive::RwMutex) => Some(blocked.address?.0),
        _ => None,
    })
}

/// The channel of the first sudog that each waits with; `None` for one that waits without, or for no channel.
fn first_channels(
    reader: &Reader<'_>,
    memory: &dyn Memory,
    raws: &[&Raw],
) -> Result<Vec<Option<u64>>, ReachError> {
    let sudogs: Vec<u64> = raws.iter().map(|raw| raw.waiting).collect();
    let mut channels = vec![None; raws.len()];
    let c = reader.offsets().sudog.c as usize;
    read_each(memory, &sudogs, c + 8, |index, bytes| {
        let channel = bytes.and_then(|bytes| u64_at(bytes, c));
        channels[index] = channel.filter(|channel| *channel != 0 && sudogs[index] != 0);
    })?;
    Ok(channels)
}

/// The channels that signals of the operating system come through.
struct Signals(Set);

impl Signals {
    fn of(reader: &Reader<'_>, snapshot: &Snapshot) -> Self {
        let is_of_signals = |elem_type: RuntimeAddr| {
            reader.binary().type_name(reader.bias().to_link(elem_type)).as_deref() == Some("os.Signal")
        };
        let channels = snapshot.channels.iter();
        Self(
            channels
                .filter(|channel| channel.elem_type.is_some_and(is_of_signals))
                .map(|channel| channel.address.0)
                .collect(),
        )
    }

    fn contains(&self, blocked: &Blocked) -> bool {
        blocked.on == BlockedOn::Channel && blocked.address.is_some_and(|address| self.0.contains(&address.0))
    }
}

/// It passes signals of the operating system on, from its start to the end of the program (src/os/signal/signal_unix.go).
fn is_signal_loop(reader: &Reader<'_>, goroutine: &Goroutine) -> bool {
    let start = goroutine.start.and_then(|start| reader.binary().function_at(reader.bias().to_link(start)));
    start.is_some_and(|frame| frame.function == "os/signal.loop")
}

fn is_as_seen(seen: &Goroutine, raw: &Raw) -> bool {
    let waits = matches!(raw.state, State::Waiting | State::Leaked) && raw.m == 0;
    waits && seen.is_parked() && seen.wait_reason == Some(WaitReason(raw.reason))
}

/// What would make a goroutine of the snapshot go on.
fn wait(reader: &Reader<'_>, snapshot: &Snapshot, goroutine: &Goroutine) -> Wait {
    let text = goroutine.wait_reason.and_then(|reason| reader.binary().wait_reason(reason.0));
    let (reason, on) = (text.map_or(Reason::Other, Reason::of), &goroutine.blocked_on);
    let needs_object = match reason {
        // A sleep ends, a descriptor is ready, and the runtime sees to its own.
        Reason::Sleep | Reason::Descriptor | Reason::Other => return Wait::GoesOn,
        Reason::NilChannel(_) | Reason::EmptySelect => false,
        // Without a channel in it all of its cases are of nil channels.
        Reason::Select => {
            let is_unknown = |unknown: &super::snapshot::Unknown| {
                unknown.what == super::snapshot::Entity::WaitOf(goroutine.goid)
            };
            if snapshot.unknown.iter().any(is_unknown) {
                return Wait::GoesOn;
            }
            false
        }
        Reason::Channel(_) | Reason::Semaphore(_) | Reason::Cond => true,
    };
    let is_object = |blocked: &Blocked| matches!(blocked.on, BlockedOn::Channel | BlockedOn::Sync(_));
    if needs_object && on.is_empty() || !on.iter().all(is_object) {
        return Wait::GoesOn;
    }
    Wait::Needs(on.iter().filter_map(|blocked| Some(blocked.address?.0)).collect())
}

/// Addresses of every processor.
fn processors(memory: &dyn Memory, allp: u64) -> Result<Vec<u64>, ReachError> {
    /// `GOMAXPROCS` may be so much; more is nonsense.
    const MOST: u64 = 1 << 20;
    let mut slice = [0; 16];
    memory.read(RuntimeAddr(allp), &mut slice)?;
    let word = |at| u64_at(&slice, at).unwrap_or(0);
    let (list, len) = (word(0), word(8));
    let all = if len <= MOST { words(memory, list, len)? } else { None };
    all.ok_or_else(|| ReachError::Heap("the list of processors cannot be read".to_owned()))
}

/// Objects of the runtime itself, in which there are words of what was there once (the processors' buffers), or that lead to
/// goroutines which are reached by other ways if at all. What is larger than 512 bytes has a header in front of it from Go 1.22
/// on, so it is the object that counts in which each lies.
fn opaque(
    reader: &Reader<'_>,
    memory: &dyn Memory,
    spans: &Spans,
    processors: &[u64],
    allm: u64,
) -> Result<Set, ReachError> {
    let (goroutines, threads) = (reader.all_goroutines(memory)?, reader.threads(memory, allm)?);
    let all = processors.iter().chain(&goroutines).chain(&threads);
    Ok(all.filter_map(|&address| Some(spans.object(address)?.address)).collect())
}

/// The program's variables, without the table of semaphores, which leads to everything that is waited for, and without the heap's
/// own state (`pages` in front of `allspans`, in src/runtime/mheap.go), which has addresses of pages that are no pointers.
fn roots(reader: &Reader<'_>, marker: &mut Marker<'_>, semtable: u64, mheap: u64) -> Result<(), ReachError> {
    let module = reader.binary().module_data().ok_or(ReachError::NoModule)?;
    let table = &reader.offsets().sema_table;
    let table_bytes = u64::from(table.len) * u64::from(table.stride);
    let mut left_out = [
        semtable..semtable.saturating_add(table_bytes),
        mheap..mheap.saturating_add(u64::from(reader.offsets().mheap.allspans)),
    ];
    left_out.sort_unstable_by_key(|range| range.start);
    for range in [&module.data, &module.bss] {
        let Range { mut start, end } = in_process(reader, range);
        for out in &left_out {
            marker.range(start, end.min(out.start));
            start = start.max(out.end);
        }
        marker.range(start, end);
    }
    Ok(())
}

/// The package variables, each by itself. Those without pointers lie apart; Go 1.26 has one of 32 MB, `drbg.memory`.
fn program(reader: &Reader<'_>, mentions: &Mentions<'_>) -> Result<Program, ReachError> {
    let module = reader.binary().module_data().ok_or(ReachError::NoModule)?;
    let has_pointers = |start| [&module.data, &module.bss].iter().any(|range| range.contains(&start));
    let variable = |one: &mentions::Variable| mark::Variable {
        range: in_process(reader, &one.range),
        is_runtimes: one.is_runtimes,
        has_pointers: has_pointers(one.range.start),
    };
    let variables = mentions.variables().iter().map(variable).collect();
    let segments = reader.binary().image().segments().iter();
    let ends = segments.clone().map(|segment| segment.start.0.saturating_add(segment.mem_size));
    let image = segments.map(|segment| segment.start).min().zip(ends.max().map(LinkAddr));
    let (start, end) = image.ok_or(ReachError::NoModule)?;
    Ok(Program::new(variables, in_process(reader, &(start..end))))
}

/// Of those that could be reached through package variables, who cannot as far as the code tells that may still run. `marker` has
/// what timers lead to.
fn unnamed(
    heap: (&Spans, &Set),
    (mut marker, mut finalizers): (Marker<'_>, Finalizers),
    stands: &mut [Stand],
    stacks: &mut Stacks<'_, '_>,
) -> Result<Vec<Goid>, ReachError> {
    let is_candidate = |stand: &Stand| stand.is_user && matches!(stand.wait, Wait::Needs(_));
    let were_live: Vec<bool> = stands.iter().map(|stand| stand.is_live).collect();
    if !stands.iter().any(|stand| stand.is_live && is_candidate(stand)) {
        return Ok(Vec::new());
    }
    stands.iter_mut().for_each(|stand| stand.is_live = false);
    let settled = finalizers.settle(heap, &mut marker, stands, stacks, (&[], true));
    let is_blind = stacks.code.take().is_none_or(|code| code.is_blind());
    let found = stands
        .iter()
        .zip(&were_live)
        .filter(|(stand, was_live)| **was_live && !stand.is_live && is_candidate(stand));
    let found = found.map(|(stand, _)| Goid(stand.raw.goid)).collect();
    for (stand, was_live) in stands.iter_mut().zip(were_live) {
        stand.is_live = was_live;
    }
    match settled {
        // It is looked at the whole heap once more, for which there may be no room.
        Err(ReachError::TooLarge(_) | ReachError::TooSlow(_)) => Ok(Vec::new()),
        settled => settled.map(|()| if is_blind { Vec::new() } else { found }),
    }
}

/// Where the program has variables.
fn variables(reader: &Reader<'_>) -> Result<Vec<Range<u64>>, ReachError> {
    let module = reader.binary().module_data().ok_or(ReachError::NoModule)?;
    Ok([&module.data, &module.bss].map(|range| in_process(reader, range)).to_vec())
}

fn in_process(reader: &Reader<'_>, range: &Range<LinkAddr>) -> Range<u64> {
    let [start, end] = [range.start, range.end].map(|link| reader.bias().to_runtime(link).0);
    start..end
}

/// Words of a special behind what all have: of a finalizer the closure and what it is called with, of a cleanup up to Go 1.25 the
/// closure, and from 1.26 on a function that calls it, the closure and its argument (`specialfinalizer`, `specialCleanup` and
/// `cleanupFn` in src/runtime/mheap.go).
const CALLED: usize = 3;

/// What the heap's own notes on objects ("specials") lead to.
struct Finalizers {
    /// Finalizers and cleanups that may still run: what they call and call it with, and the object that they wait for to be out of use.
    calls: Vec<([u64; CALLED], u64)>,
    /// Weak pointers: what stands for the object, and the object. Whoever has the one gets the other as long as somebody keeps it,
    /// and who waits for good keeps what it has.
    weak: Vec<(u64, u64)>,
}

impl Finalizers {
    /// All of them run, and reach what they hold and are called with.
    fn mark(&self, marker: &mut Marker<'_>) {
        self.weak.iter().for_each(|&(_, object)| marker.word(object));
        Self::run(&self.calls, marker);
    }

    fn run(calls: &[([u64; CALLED], u64)], marker: &mut Marker<'_>) {
        for (called, object) in calls {
            called.iter().chain([object]).for_each(|&word| marker.word(word));
        }
    }

    /// Whoever has a weak pointer has what it points to; false where nothing is added by that.
    fn follow_weak(&self, marker: &mut Marker<'_>) -> bool {
        let is_reached = |address| marker.is_reached(address);
        let new = self.weak.iter().filter(|&&(handle, object)| {
            is_reached(handle) != Some(false) && is_reached(object) == Some(false)
        });
        let new: Vec<u64> = new.map(|&(_, object)| object).collect();
        new.iter().for_each(|&object| marker.word(object));
        !new.is_empty()
    }

    /// As [`settle`], with those that run. One does that once nobody has its object any more; whoever waits for good keeps what it
    /// has, and so a goroutine that only the finalizer of its own object would wake is not woken.
    fn settle(
        &mut self,
        (spans, opaque): (&Spans, &Set),
        marker: &mut Marker<'_>,
        stands: &mut [Stand],
        stacks: &mut Stacks<'_, '_>,
        (holds, is_woken): (&[Hold], bool),
    ) -> Result<(), ReachError> {
        loop {
            settle(marker, stands, stacks, (holds, is_woken))?;
            if self.follow_weak(marker) {
                continue;
            }
            // What goes on may let go of it.
            let (mut run, rest): (Vec<_>, Vec<_>) = std::mem::take(&mut self.calls)
                .into_iter()
                .partition(|&(_, object)| marker.is_reached(object) != Some(false));
            if !rest.is_empty() {
                let mut kept = Marker::new(stacks.memory, spans, opaque, stacks.budget);
                for stand in stands.iter().filter(|stand| !stand.is_live) {
                    stacks.mark(&mut kept, &stand.raw, false)?;
                }
                kept.run()?;
                let is_kept = |&(_, object): &([u64; CALLED], u64)| kept.is_reached(object) == Some(true);
                let (waiting, unused): (Vec<_>, Vec<_>) = rest.into_iter().partition(is_kept);
                self.calls = waiting;
                run.extend(unused);
            }
            if run.is_empty() {
                return Ok(());
            }
            Self::run(&run, marker);
        }
    }
}

/// The finalizers, cleanups and weak pointers of the heap's objects.
fn specials(reader: &Reader<'_>, memory: &dyn Memory, spans: &Spans) -> Result<Finalizers, ReachError> {
    let (layout, module) = (&reader.offsets().special, reader.binary().module_data());
    let text = module.map_or(0..0, |module| in_process(reader, &(module.text..module.etext)));
    let mut at: Vec<(u64, u64)> =
        spans.iter().filter(|span| span.specials != 0).map(|span| (span.start, span.specials)).collect();
    let (mut read, mut found) = (0, Finalizers { calls: Vec::new(), weak: Vec::new() });
    while !at.is_empty() && read < MOST_SPECIALS {
        read += at.len();
        let (mut next, mut closures) = (Vec::new(), Vec::new());
        let addresses: Vec<u64> = at.iter().map(|&(_, special)| special).collect();
        read_each(memory, &addresses, layout.size as usize + 8 * CALLED, |index, bytes| {
            let word = |offset: u32| bytes.and_then(|bytes| u64_at(bytes, offset as usize));
            let (Some(following), Some(offset), Some(closure)) =
                (word(layout.next), word(layout.offset), word(layout.size))
            else {
                return;
            };
            let called = [Some(closure), word(layout.size + 8), word(layout.size + 16)];
            let (start, _) = at[index];
            let is_narrow = layout.kind == layout.offset + 2;
            let offset = if is_narrow { offset & 0xffff } else { offset };
            closures.push((called.map(Option::unwrap_or_default), start.wrapping_add(offset)));
            if following != 0 {
                next.push((start, following));
            }
        })?;
        // Other kinds have something else in its place: what is called begins with the address of code, and what stands for an
        // object with that of the object (`specialWeakHandle`, from Go 1.24 on).
        let addresses: Vec<u64> = closures.iter().map(|(called, _)| called[0]).collect();
        read_each(memory, &addresses, 8, |index, bytes| {
            let ([closure, ..], object) = closures[index];
            match bytes.and_then(|bytes| u64_at(bytes, 0)) {
                Some(code) if text.contains(&code) => found.calls.push(closures[index]),
                Some(word) if word == object => found.weak.push((closure, object)),
                _ => {}
            }
        })?;
        at = next;
    }
    Ok(found)
}

/// Marks what goes on, and whoever waits for what is reached, until nothing is added.
///
/// A lock is only given back by those of `holds` that have it for certain, and so not before they go on themselves. `is_woken`
/// says whether one goes on that waits for what lies in no object: a variable, or what is not known.
fn settle(
    marker: &mut Marker<'_>,
    stands: &mut [Stand],
    stacks: &mut Stacks<'_, '_>,
    (holds, is_woken): (&[Hold], bool),
) -> Result<(), ReachError> {
    let waiting = Waiting::of(marker, stands, holds);
    let mut going: Set = stands.iter().filter(|stand| stand.is_live).map(|stand| stand.raw.goid).collect();
    // Everybody is asked once, and then whoever waits for what has been reached since, or behind one who goes on since.
    let mut todo: Vec<usize> = (0..stands.len()).collect();
    loop {
        marker.run()?;
        if stacks.follow_code(marker) {
            // They may lie in a variable that is reached by now, and that is in no object.
            todo = (0..stands.len()).collect();
            continue;
        }
        todo.extend(marker.take_reached().into_iter().flat_map(|object| waiting.at(object)));
        let mut woken = Vec::new();
        for index in todo.drain(..) {
            let stand = &mut stands[index];
            let goes_on = match &stand.wait {
                Wait::GoesOn => true,
                Wait::Needs(addresses) => {
                    addresses.iter().any(|&address| marker.is_reached(address).unwrap_or(is_woken))
                }
            };
            let is_free = || waiting.holders(stand).iter().all(|holder| going.contains(holder));
            if !stand.is_live && goes_on && is_free() {
                going.insert(stand.raw.goid);
                stand.is_live = true;
                woken.push(index);
            }
        }
        if woken.is_empty() {
            return Ok(());
        }
        for index in woken {
            let Stand { raw, is_user, .. } = &stands[index];
            todo.extend(waiting.behind(raw.goid));
            let pcs = stacks.mark(marker, raw, *is_user)?;
            if let Some(code) = &mut stacks.code {
                code.goes_on(pcs.as_deref(), raw.startpc);
            }
        }
    }
}

/// Who waits for what, by places in the list of goroutines: so a chain of goroutines that wake each other is walked once.
#[derive(Default)]
struct Waiting {
    /// By number of the object.
    objects: Map<Vec<usize>>,
    /// Who certainly holds which lock.
    holders: Map<Vec<u64>>,
    /// Who waits for a lock of this goroutine.
    behind: Map<Vec<usize>>,
}

impl Waiting {
    fn of(marker: &mut Marker<'_>, stands: &[Stand], holds: &[Hold]) -> Self {
        let mut waiting = Self::default();
        for hold in holds.iter().filter(|hold| hold.is_certain) {
            waiting.holders.entry(hold.address.0).or_default().push(hold.goid.0);
        }
        for (index, stand) in stands.iter().enumerate().filter(|(_, stand)| !stand.is_live) {
            if let Wait::Needs(addresses) = &stand.wait {
                for object in addresses.iter().filter_map(|&address| marker.watch(address)) {
                    waiting.objects.entry(object).or_default().push(index);
                }
            }
            for holder in waiting.holders(stand).to_vec() {
                waiting.behind.entry(holder).or_default().push(index);
            }
        }
        waiting
    }

    fn at(&self, object: u64) -> Vec<usize> {
        self.objects.get(&object).cloned().unwrap_or_default()
    }

    fn behind(&self, goid: u64) -> Vec<usize> {
        self.behind.get(&goid).cloned().unwrap_or_default()
    }

    fn holders(&self, stand: &Stand) -> &[u64] {
        stand.lock.and_then(|lock| self.holders.get(&lock)).map_or(&[], Vec::as_slice)
    }
}

/// The stack of a goroutine that does not run.
struct Saved {
    /// Words that it may still use as pointers.
    live: Vec<u64>,
    /// Where each of its functions goes on, if the code is followed.
    pcs: Vec<u64>,
}

/// Reads stacks.
struct Stacks<'r, 'b> {
    memory: &'r dyn Memory,
    frames: &'r mut Frames<'b>,
    budget: &'r Budget,
    g_size: usize,
    /// From the start of a `g` to `_panic` and `_defer`, which stand in front of `m` in every Go.
    records: u64,
    /// From the start of a `g` to the entry of the function that it began with: no call that is to come.
    startpc: u64,
    /// What goroutines of the program have on their stacks.
    starts: Starts,
    /// The code that they run, where that is followed.
    code: Option<Code<'r, 'b>>,
}

impl<'r, 'b> Stacks<'r, 'b> {
    fn new(
        reader: &Reader<'_>,
        memory: &'r dyn Memory,
        frames: &'r mut Frames<'b>,
        budget: &'r Budget,
    ) -> Self {
        let g = &reader.offsets().g;
        Self {
            memory,
            frames,
            budget,
            g_size: g.size as usize,
            records: u64::from(g.m.saturating_sub(16)),
            startpc: u64::from(g.startpc),
            starts: Starts::default(),
            code: None,
        }
    }

    /// What a goroutine has on its stack and in its `g` is reached. Returns where its functions go on, as far as that is wanted and
    /// known.
    fn mark(
        &mut self,
        marker: &mut Marker<'_>,
        raw: &Raw,
        is_user: bool,
    ) -> Result<Option<Vec<u64>>, ReachError> {
        let startpc = raw.addr.saturating_add(self.startpc);
        marker.range(raw.addr, startpc);
        marker.range(startpc.saturating_add(8), raw.addr.saturating_add(self.g_size as u64));
        match self.saved(raw)? {
            Some(Saved { live, pcs }) => {
                if is_user {
                    self.starts.add(Goid(raw.goid), &live);
                }
                live.into_iter().for_each(|word| marker.word(word));
                Ok(Some(pcs))
            }
            None => {
                let stack = stack_in_use(raw);
                marker.range(stack.start, stack.end);
                Ok(None)
            }
        }
    }

    /// Brings `marker` to what the code names that goes on; whether there is more to mark for that.
    fn follow_code(&mut self, marker: &mut Marker<'_>) -> bool {
        self.code.as_mut().is_some_and(|code| code.advance(marker))
    }

    /// The live words on its stack; `None` where it is not known which those are.
    fn live(&mut self, raw: &Raw) -> Result<Option<Vec<u64>>, ReachError> {
        Ok(self.saved(raw)?.map(|saved| saved.live))
    }

    /// What is on its stack; `None` where it is not known what of it counts.
    fn saved(&mut self, raw: &Raw) -> Result<Option<Saved>, ReachError> {
        let is_saved =
            matches!(raw.state, State::Waiting | State::Leaked | State::Syscall) && raw.has_stack();
        let stack = stack_in_use(raw);
        if !is_saved || stack.end - stack.start > MOST_STACK {
            return Ok(None);
        }
        self.budget.spend(stack.end - stack.start)?;
        let Some(words) = words(self.memory, stack.start, (stack.end - stack.start) / 8)? else {
            return Ok(None);
        };
        let records = self::words(self.memory, raw.addr.wrapping_add(self.records), 2)?.unwrap_or_default();
        let words = Words { start: stack.start, words: &words };
        let Some(live) = self.frames.live(raw.pc, &words, &records) else { return Ok(None) };
        let frames = if self.code.is_some() { self.frames.frames(raw.pc, &words) } else { Vec::new() };
        Ok(Some(Saved { live, pcs: frames.into_iter().map(|frame| frame.pc).collect() }))
    }

    /// The innermost words of a stack, at most [`MOST_STACK`] bytes; none where not all are mapped.
    fn words(&self, raw: &Raw) -> Result<Vec<u64>, ReachError> {
        stack_words(self.memory, self.budget, raw)
    }
}

/// The words of a stack, as far as it is in use.
fn stack_words(memory: &dyn Memory, budget: &Budget, raw: &Raw) -> Result<Vec<u64>, ReachError> {
    let stack = stack_in_use(raw);
    let size = (stack.end - stack.start).min(MOST_STACK);
    budget.spend(size)?;
    Ok(words(memory, stack.start, size / 8)?.unwrap_or_default())
}

/// Of one that runs, all of it: where its stack pointer is now is not known.
fn stack_in_use(raw: &Raw) -> Range<u64> {
    let (lo, hi) = raw.stack;
    let is_saved = raw.has_stack() && matches!(raw.state, State::Waiting | State::Leaked | State::Syscall);
    /// The largest that Go lets a stack become.
    const MOST: u64 = 1 << 30;
    if hi < lo || hi - lo > MOST {
        return 0..0;
    }
    if is_saved { raw.sp..hi } else { lo..hi }
}

/// Those that have a stack which does not change while they stay.
fn parked(stands: &[Stand]) -> Vec<&Raw> {
    let is_parked =
        |raw: &Raw| matches!(raw.state, State::Waiting | State::Leaked | State::Syscall) && raw.has_stack();
    stands.iter().map(|stand| &stand.raw).filter(|raw| is_parked(raw)).collect()
}

/// Who of those that are parked may hold a lock that somebody waits for.
fn held(
    tools: &mut holds::Tools<'_, '_, '_>,
    snapshot: &Snapshot,
    parked: &[&Raw],
) -> Result<Vec<Hold>, ReachError> {
    let awaited = holds::Awaited::of(snapshot);
    let mut all = Vec::new();
    if awaited.is_empty() {
        return Ok(all);
    }
    for raw in parked {
        let words = stack_words(tools.memory, tools.budget, raw)?;
        let stack = Words { start: raw.sp, words: &words };
        all.extend(holds::of(tools, raw, &stack, &awaited)?);
    }
    Ok(all)
}

/// A goroutine that nobody can wake: what it waits for, and whether that is known by who holds a lock alone.
struct Stranded {
    raw: Raw,
    on: Vec<u64>,
    by_lock: bool,
}

/// Those of the unreachable that have not moved since.
fn still(reader: &Reader<'_>, memory: &dyn Memory, stands: Vec<Stand>) -> Result<Vec<Stranded>, ReachError> {
    let unreachable: Vec<Stranded> = stands
        .into_iter()
        .filter(|stand| stand.is_stuck)
        .filter_map(|stand| match stand.wait {
            Wait::GoesOn => None,
            Wait::Needs(on) => Some(Stranded { raw: stand.raw, on, by_lock: stand.is_live }),
        })
        .collect();
    let addresses: Vec<u64> = unreachable.iter().map(|one| one.raw.addr).collect();
    let mut has_stayed = vec![false; unreachable.len()];
    let raws: Vec<&Raw> = unreachable.iter().map(|one| &one.raw).collect();
    let channels = first_channels(reader, memory, &raws)?;
    let g = &reader.offsets().g;
    read_each(memory, &addresses, g.size as usize, |index, bytes| {
        let slot = bytes.map(|bytes| Raw::decode(addresses[index], bytes, g));
        let Stranded { raw, on, .. } = &unreachable[index];
        let waits_for_it = channels[index].is_none_or(|channel| on.contains(&channel));
        has_stayed[index] = waits_for_it && matches!(slot, Some(Slot::Live(now)) if raw.still(&now));
    })?;
    let mut stayed: Vec<_> =
        unreachable.into_iter().zip(has_stayed).filter(|(_, has)| *has).map(|(one, _)| one).collect();
    stayed.sort_by_key(|one| one.raw.goid);
    Ok(stayed)
}

/// Finds out what of it each could reach if it went on.
fn lead(
    stacks: &mut Stacks<'_, '_>,
    spans: &Spans,
    opaque: &Set,
    stranded: &[Stranded],
) -> Result<Vec<Unreachable>, ReachError> {
    let mut awaited: Vec<u64> = stranded.iter().flat_map(|one| &one.on).copied().collect();
    awaited.sort_unstable();
    awaited.dedup();
    let mut all = Vec::with_capacity(stranded.len());
    let mut steps = 0;
    for (n, Stranded { raw, by_lock, .. }) in stranded.iter().enumerate() {
        let leads_to = if n < MOST_LED && steps < MOST_STEPS_IN_ALL {
            let live = match stacks.live(raw)? {
                Some(live) => live,
                None => stacks.words(raw)?,
            };
            let with = (stacks.memory, stacks.budget);
            let (leads_to, looked) = mark::lead(with, spans, opaque, &live, &awaited, MOST_STEPS)?;
            steps += looked;
            leads_to
        } else {
            Vec::new()
        };
        let leads_to = leads_to.into_iter().map(RuntimeAddr).collect();
        all.push(Unreachable { goid: Goid(raw.goid), leads_to, by_lock: *by_lock, awaits_close: false });
    }
    Ok(all)
}

/// Finds out who of them receives by `runtime.chanrecv2`, which is what `range` and `v, ok := <-ch` compile to (src/runtime/chan.go,
/// 1.18–1.27); in a frame of its own, behind those of `chanrecv` and of what parks.
fn note_who_awaits_a_close(reader: &Reader<'_>, snapshot: &Snapshot, unreachable: &mut [Unreachable]) {
    const DEPTH: usize = 4;
    let Some(receive) = reader.binary().function("runtime.chanrecv2").map(|function| function.range) else {
        return;
    };
    let is_receive = |pc: &RuntimeAddr| receive.contains(&reader.bias().to_link(*pc));
    let frames: Map<&[RuntimeAddr]> =
        snapshot.goroutines.iter().map(|one| (one.goid.0, one.stack.frames.as_slice())).collect();
    for one in unreachable {
        let frames = frames.get(&one.goid.0).copied().unwrap_or_default();
        one.awaits_close = frames.iter().take(DEPTH).any(is_receive);
    }
}

/// `len` words from `at` on; `None` when not all are mapped.
fn words(memory: &dyn Memory, at: u64, len: u64) -> Result<Option<Vec<u64>>, ReachError> {
    Ok(super::snapshot::reader::words(memory, at, len)?)
}
