//! What the traced processes are doing: goroutines, channels and sync objects, carried forward by events and put right by
//! snapshots.
//!
//! In: [`Event`]s in order, [`Snapshot`]s, losses, and which processes there are. Out: the state of each, to be read. Pure:
//! no clock, no process, no thread; the caller tells the time by what it passes in.
//!
//! Events are exact but blind for what was there before them; a snapshot sees everything but not who did it. Their
//! contract here:
//!
//! - [`Model::apply`] takes events in the order of their time.
//! - [`Model::reconcile`] takes a snapshot after the events up to its end have been applied. Of a goroutine that an event
//!   told of after the snapshot began, the event knows better; of every other, the snapshot does. So nothing that happens
//!   while a snapshot is read is missed or counted twice.
//! - A probe is hit before the change that it announces: a goroutine that parks still runs for a moment, and for longer if
//!   its thread loses the CPU there. A snapshot that begins in between sees the old state after the event has told the new
//!   one. So where the two contradict each other, a park, a wake-up or an end up to [`Limits::settle_ns`] before the snapshot
//!   still knows better. Where events were lost since, neither does, and the goroutine is not certain until the next snapshot.
//! - After a loss ([`Model::lose`]) what was last heard of before it is not certain ([`Process::is_certain`]) until an event
//!   or a snapshot tells of it again. Loss makes state unknown, never wrong.
//!
//! Memory is bounded by [`Limits`]: ended goroutines leave after a retention, channels and sync objects that nobody waits
//! for leave when nothing was heard of them for as long, and beyond a number of entities the older half is forgotten, which
//! is counted ([`Tally::forgotten`]).

mod difference;
mod goroutine;
mod held;
mod history;
mod misuse;
mod object;
mod overview;
mod process;
mod runtime;
#[cfg(test)]
mod tests;
mod waitgroup;
mod waits;

pub use self::difference::{Change, Inferred, Seen};
pub use self::goroutine::{Busy, Cause, Goroutine, Impossible, State, TRANSITIONS, Unreachable, Wait, Woken};
pub use self::history::{History, KEPT, Step};
pub use self::misuse::{Closed, Misuse, MisuseKind};
pub use self::object::{Channel, Made, SyncObject, Use};
pub use self::overview::{AlikeWaits, LongWait, Missing, Outlook, Overview, Waits};
pub use self::process::{Contradictions, Process, Tally};
pub use self::runtime::{Fields, Runtime};
pub use self::waitgroup::{GroupWait, LateAdd};
pub use self::waits::{Edge, Object, WaitGraph};

use crate::ingest::event::{Event, Gap, LossPoint, Lost};
use crate::target::Pid;
use crate::target::id::MonotonicNs;
use crate::target::reach::Reach;
use crate::target::snapshot::Snapshot;
use foldhash::HashMap;

/// How much is remembered, and how long a change may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How long an ended goroutine, or an object that nobody uses, is still known; nanoseconds.
    pub retention_ns: u64,
    /// Goroutines in one process.
    pub goroutines: usize,
    /// Channels, and sync objects, in one process.
    pub objects: usize,
    /// How long after its event a change may still be under way; nanoseconds.
    pub settle_ns: u64,
    /// How long after an event it may be told that probes were coming out by then; nanoseconds.
    pub news_ns: u64,
}

impl Default for Limits {
    /// One minute; two million goroutines and a million objects of each kind, some 1.5 GiB if a target has that many. A
    /// change settles once its thread has its CPU back, which on two CPUs that ten threads want takes some tens of milliseconds; probes
    /// are out a tenth of a second after they began to come out, and more where the machine is busy.
    fn default() -> Self {
        Self {
            retention_ns: 60_000_000_000,
            goroutines: 2_000_000,
            objects: 1_000_000,
            settle_ns: 100_000_000,
            news_ns: 1_000_000_000,
        }
    }
}

/// Everything that is known of every traced process.
#[derive(Clone, Debug, Default)]
pub struct Model {
    processes: HashMap<Pid, Process>,
    limits: Limits,
    /// When idle objects were last looked for.
    swept: MonotonicNs,
}

impl Model {
    /// A model without a process.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { processes: HashMap::default(), limits, swept: MonotonicNs(0) }
    }

    /// A process is there, or has executed another program, or its id has been given to another one: whatever was known
    /// under this id is over.
    pub fn started(&mut self, pid: Pid, runtime: Runtime) {
        self.processes.insert(pid, Process::new(pid, runtime, self.limits));
    }

    /// A process has ended.
    pub fn ended(&mut self, pid: Pid) {
        self.processes.remove(&pid);
    }

    /// Takes an event. One of a process that was not announced is ignored, as nothing is known of its runtime.
    pub fn apply(&mut self, event: &Event) {
        if let Some(process) = self.processes.get_mut(&event.pid) {
            process.apply(event);
        }
    }

    /// Takes a snapshot of a process.
    pub fn reconcile(&mut self, pid: Pid, snapshot: &Snapshot) {
        if let Some(process) = self.processes.get_mut(&pid) {
            process.reconcile(snapshot);
        }
    }

    /// Takes what a look at the memory of a process found, which began at `at`, after the snapshot it was of.
    pub fn learn(&mut self, pid: Pid, reach: &Reach, at: MonotonicNs, is_proven: bool) {
        if let Some(process) = self.processes.get_mut(&pid) {
            process.learn(reach, at, is_proven);
        }
    }

    /// Takes that a look at the memory of a process, which began at `at`, could not find out whom nobody can wake.
    pub fn learn_nothing(&mut self, pid: Pid, at: MonotonicNs) {
        if let Some(process) = self.processes.get_mut(&pid) {
            process.learn_nothing(at);
        }
    }

    /// Events were lost, nobody knows of which process.
    pub fn lose(&mut self, lost: &Lost) {
        match lost.at {
            LossPoint::Ring | LossPoint::Decode => {
                self.processes.values_mut().for_each(|process| process.lose(lost.to));
            }
            // The output lost it, not the model.
            LossPoint::Sink => {}
        }
    }

    /// Nobody watched all of what any process did, up to `until`: to the model that is as a loss, and is told otherwise.
    pub fn unwatched(&mut self, until: MonotonicNs) {
        self.processes.values_mut().for_each(|process| process.doubt(until));
    }

    /// From here on nobody is told of what is done to channels, or from here on again.
    pub fn channels_watched(&mut self, from: MonotonicNs, is_watched: bool) {
        self.processes.values_mut().for_each(|process| process.turn_channels(from, is_watched));
    }

    /// No more will be told of that of a process.
    pub fn hold_nothing_back_of(&mut self, pid: Pid) {
        self.processes.get_mut(&pid).into_iter().for_each(Process::hold_nothing_back);
    }

    /// No more will be told of that.
    pub fn hold_nothing_back(&mut self) {
        self.processes.values_mut().for_each(Process::hold_nothing_back);
    }

    /// Events of one process are missing.
    pub fn miss(&mut self, gap: Gap) {
        if let Some(process) = self.processes.get_mut(&gap.pid) {
            process.lose(gap.to);
        }
    }

    /// It is `now`: lets go what has been kept long enough. Cheap enough to be called for every batch of events.
    pub fn expire(&mut self, now: MonotonicNs) {
        let sweep = now.0.saturating_sub(self.swept.0) >= self.limits.retention_ns;
        for process in self.processes.values_mut() {
            process.expire(now);
            if sweep {
                process.forget_idle_objects(MonotonicNs(now.0.saturating_sub(self.limits.retention_ns)));
            }
        }
        if sweep {
            self.swept = now;
        }
    }

    /// A process.
    #[must_use]
    pub fn process(&self, pid: Pid) -> Option<&Process> {
        self.processes.get(&pid)
    }

    /// Every process, in no order.
    pub fn processes(&self) -> impl Iterator<Item = &Process> {
        self.processes.values()
    }
}
