//! What a process is doing at one moment, in numbers and in its longest waits.
//!
//! In: the model of a process; out: plain values for people and programs. Goroutines of the runtime's own are counted and
//! otherwise left out: they wait all the time. Whose state is not certain counts as unknown and nowhere else.

use super::goroutine::{Goroutine, State};
use super::process::Process;
use crate::binary::addr::RuntimeAddr;
use crate::target::Pid;
use crate::target::id::{Goid, MonotonicNs, WaitReason};
use crate::target::snapshot::{self, Blocked};
use foldhash::HashMap;

/// The state of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overview {
    /// The process.
    pub pid: Pid,
    /// When the last snapshot began that it rests on.
    pub snapshot: Option<MonotonicNs>,
    /// Goroutines alive, without the runtime's own.
    pub goroutines: u64,
    /// The runtime's own.
    pub system: u64,
    /// Of `goroutines`, those that run, could run or make a system call.
    pub awake: u64,
    /// Of `awake`, those that the last snapshot found in a system call and that no event has told of since.
    pub syscall: u64,
    /// Of `goroutines`, those that are parked.
    pub waiting: u64,
    /// Of `goroutines`, those whose state is not certain.
    pub unknown: u64,
    /// How many are parked for which reason, the most first.
    pub reasons: Vec<(Option<WaitReason>, u64)>,
    /// The longest waits, the longest first.
    pub longest: Vec<LongWait>,
    /// The same with each wait only once of those that differ in nothing but who waits, for which object, and since when.
    pub alike: Vec<AlikeWaits>,
    /// Channels known: those that somebody waits on, and those that were used not long ago.
    pub channels: u64,
    /// What is missing from all this, if anything is.
    pub missing: Option<Missing>,
}

/// A wait that lasts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LongWait {
    /// Who waits.
    pub goid: Goid,
    /// Since when: exactly where `exact`, else at least since then.
    pub since: MonotonicNs,
    /// The park was seen.
    pub exact: bool,
    /// Why.
    pub reason: Option<WaitReason>,
    /// What for.
    pub on: Vec<Blocked>,
    /// Where it waits: return addresses, innermost first; empty where that is not known.
    pub stack: Vec<RuntimeAddr>,
    /// Return address of the `go` statement that created it.
    pub created_at: Option<RuntimeAddr>,
}

/// Waits of goroutines that were created at the same place and wait for the same reason at the same place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlikeWaits {
    /// The longest of them.
    pub longest: LongWait,
    /// How many they are.
    pub count: u64,
    /// All wait for the same object.
    pub same_object: bool,
}

/// Why an overview is not complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// No snapshot was had: who did nothing since the probes are in is not known.
    NoSnapshot,
    /// Events were lost, and no snapshot has told since what became of everybody.
    Lost,
    /// So many goroutines could not be read in the last snapshot.
    Unread(u64),
    /// So many entities were forgotten to bound memory.
    Forgotten(u64),
    /// Not everything was watched, to keep to a budget, and no snapshot has told since what became of everybody.
    Unwatched,
    /// No probe of this level sees who parks and who is woken: what goroutines do is what they did at the last snapshot.
    WaitsUnseen,
    /// The same, because those probes are out to keep to a budget.
    WaitsUnwatched,
    /// Not every park and wake-up was to be recorded: what goroutines do is of the last snapshot.
    WaitsThinned,
}

/// Whether parks and wake-ups are told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waits {
    /// Each is.
    Watched,
    /// None is, since the level has no probes for them.
    Unseen,
    /// None is at the moment, since those probes are out.
    Unwatched,
    /// Some are, since the others were not to be recorded.
    Thinned,
}

/// What of a session an overview depends on.
pub struct Outlook<F> {
    /// Whether parks and wake-ups are told of.
    pub waits: Waits,
    /// Whether the function that a goroutine started with is the runtime's: asked for those that no snapshot has told of.
    pub is_system: F,
}

impl Overview {
    /// Of `process`, with at most `most` waits.
    pub fn of<F: Fn(RuntimeAddr) -> bool>(process: &Process, most: usize, outlook: &Outlook<F>) -> Self {
        let mut overview = Self {
            pid: process.pid(),
            snapshot: process.snapshot(),
            goroutines: 0,
            system: 0,
            awake: 0,
            syscall: 0,
            waiting: 0,
            unknown: 0,
            reasons: Vec::new(),
            longest: Vec::new(),
            alike: Vec::new(),
            channels: process.channels().count() as u64,
            missing: match missing(process) {
                Some(Missing::Unwatched) if outlook.waits != Waits::Watched => unseen(outlook.waits),
                why => why.or(unseen(outlook.waits)),
            },
        };
        let mut reasons: HashMap<Option<WaitReason>, u64> = HashMap::default();
        let mut waits = Vec::new();
        for goroutine in process.goroutines().filter(|goroutine| goroutine.is_live()) {
            if goroutine.system.unwrap_or_else(|| goroutine.start.is_some_and(&outlook.is_system)) {
                overview.system += 1;
                continue;
            }
            overview.goroutines += 1;
            match goroutine.state {
                // Where not every wait is told of, what it did at the last snapshot is as much as there is to know.
                _ if outlook.waits == Waits::Watched && !process.is_certain(goroutine) => {
                    overview.unknown += 1;
                }
                _ if process.lost_before().is_some_and(|lost| goroutine.known_at < lost) => {
                    overview.unknown += 1;
                }
                _ if outlook.waits != Waits::Watched && goroutine.created > process.snapshot() => {
                    overview.unknown += 1;
                }
                State::Unknown => overview.unknown += 1,
                State::Waiting => {
                    overview.waiting += 1;
                    let reason = goroutine.wait.as_ref().and_then(|wait| wait.reason);
                    *reasons.entry(reason).or_default() += 1;
                    waits.extend(goroutine.wait.as_ref().map(|wait| (wait.since, goroutine.goid)));
                }
                State::Awake | State::Gone | State::Dead => {
                    overview.awake += 1;
                    overview.syscall += u64::from(is_in_syscall(goroutine, process.snapshot()));
                }
            }
        }
        waits.sort_unstable();
        let sorted = || waits.iter().filter_map(|(_, goid)| process.goroutine(*goid));
        overview.longest = sorted().filter_map(long_wait).take(most).collect();
        overview.alike = alike(sorted(), most);
        overview.reasons = reasons.into_iter().collect();
        overview.reasons.sort_unstable_by_key(|(reason, count)| (std::cmp::Reverse(*count), *reason));
        overview
    }
}

/// Whether what is last known of a goroutine is that it makes a system call, or runs C code. No event tells of that.
fn is_in_syscall(goroutine: &Goroutine, last: Option<MonotonicNs>) -> bool {
    goroutine.seen.is_some_and(|(state, began)| {
        let told_since = goroutine.last_event.is_some_and(|(at, _)| at >= began);
        state == snapshot::State::Syscall && Some(began) == last && !told_since
    })
}

fn long_wait(goroutine: &Goroutine) -> Option<LongWait> {
    let wait = goroutine.wait.as_ref()?;
    Some(LongWait {
        goid: goroutine.goid,
        since: wait.since,
        exact: wait.exact,
        reason: wait.reason,
        on: wait.on.clone(),
        stack: wait.stack.clone(),
        created_at: goroutine.created_at,
    })
}

/// The first `most` kinds of waits of `goroutines`, in their order.
fn alike<'g>(goroutines: impl Iterator<Item = &'g Goroutine>, most: usize) -> Vec<AlikeWaits> {
    let mut found: Vec<AlikeWaits> = Vec::new();
    let mut known = HashMap::default();
    for goroutine in goroutines {
        let Some(wait) = goroutine.wait.as_deref() else { continue };
        let kind = (goroutine.created_at, wait.reason, wait.stack.as_slice());
        if let Some(&at) = known.get(&kind) {
            let alike: &mut AlikeWaits = &mut found[at];
            alike.count += 1;
            alike.same_object &= alike.longest.on == wait.on;
        } else if found.len() < most
            && let Some(longest) = long_wait(goroutine)
        {
            known.insert(kind, found.len());
            found.push(AlikeWaits { longest, count: 1, same_object: true });
        }
    }
    found
}

fn unseen(waits: Waits) -> Option<Missing> {
    match waits {
        Waits::Watched => None,
        Waits::Unseen => Some(Missing::WaitsUnseen),
        Waits::Unwatched => Some(Missing::WaitsUnwatched),
        Waits::Thinned => Some(Missing::WaitsThinned),
    }
}

fn missing(process: &Process) -> Option<Missing> {
    let forgotten = process.tally().forgotten;
    match process.snapshot() {
        None => Some(Missing::NoSnapshot),
        Some(began) if process.lost_until().is_some_and(|until| began < until) => Some(Missing::Lost),
        Some(began) if began < process.unsure_before() => Some(Missing::Unwatched),
        Some(_) if process.unread() > 0 => Some(Missing::Unread(process.unread())),
        Some(_) if forgotten > 0 => Some(Missing::Forgotten(forgotten)),
        Some(_) => None,
    }
}
