//! A goroutine of the model, and which changes of its state are possible.

use super::history::{History, Step};
use crate::binary::addr::RuntimeAddr;
use crate::target::id::{Goid, MonotonicNs, WaitReason};
use crate::target::reach::{Foreign, Hold};
use crate::target::snapshot::{self, Blocked};

/// What a goroutine is known to do.
///
/// Events do not tell whether a goroutine that is awake runs, is in a run queue or makes a system call: that takes a probe
/// on the scheduler, the most frequent function there is. [`Goroutine::seen`] has the runtime's own word of the last
/// snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// Nothing is known yet.
    Unknown,
    /// Runnable, running or in a system call.
    Awake,
    /// Parked.
    Waiting,
    /// Not in the last snapshot, and its end was not seen. A thread that C code created keeps its goroutine, which comes
    /// back when it calls Go again.
    Gone,
    /// Ended.
    Dead,
}

/// What changes the state of a goroutine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cause {
    /// A `go` statement created it.
    Created,
    /// It did something: sent, created, woke another.
    Acted,
    /// It parked.
    Parked,
    /// It was made runnable.
    Readied,
    /// It ended.
    Exited,
    /// A snapshot has it runnable, running or in a system call.
    SeenAwake,
    /// A snapshot has it waiting.
    SeenWaiting,
    /// A snapshot does not have it.
    Missed,
}

impl State {
    const COUNT: usize = 5;

    /// The state after `cause`; `None` where the runtime does not do that.
    #[must_use]
    pub fn after(self, cause: Cause) -> Option<Self> {
        TRANSITIONS[self as usize][cause as usize]
    }
}

impl Cause {
    /// The probe is hit before the runtime makes the change: a snapshot right after may have the old state.
    pub(super) fn is_announced(self) -> bool {
        match self {
            Self::Parked | Self::Readied | Self::Exited => true,
            Self::Created | Self::Acted | Self::SeenAwake | Self::SeenWaiting | Self::Missed => false,
        }
    }

    const COUNT: usize = 8;
}

/// The legal transitions: a row for each [`State`], a column for each [`Cause`].
///
/// From `Waiting` a goroutine may act, park or exit without having been readied: the network poller and the collector
/// put goroutines into the run queue without `runtime.ready` (`injectglist` in src/runtime/proc.go). While `Awake` it may
/// be readied: the collector stops a goroutine to scan its stack and resumes it that way (`resumeG` in
/// src/runtime/preempt.go). A goid is never used again, so nothing leads out of `Dead`.
#[rustfmt::skip]
pub const TRANSITIONS: [[Option<State>; Cause::COUNT]; State::COUNT] = {
    use State::{Awake, Dead, Gone, Waiting};
    const NO: Option<State> = None;
    [
        //           Created      Acted        Parked         Readied      Exited      SeenAwake    SeenWaiting    Missed
        /* Unknown */ [Some(Awake), Some(Awake), Some(Waiting), Some(Awake), Some(Dead), Some(Awake), Some(Waiting), Some(Gone)],
        /* Awake   */ [NO,          Some(Awake), Some(Waiting), Some(Awake), Some(Dead), Some(Awake), Some(Waiting), Some(Gone)],
        /* Waiting */ [NO,          Some(Awake), Some(Waiting), Some(Awake), Some(Dead), Some(Awake), Some(Waiting), Some(Gone)],
        /* Gone    */ [NO,          Some(Awake), Some(Waiting), Some(Awake), Some(Dead), Some(Awake), Some(Waiting), Some(Gone)],
        /* Dead    */ [NO,          NO,          NO,            NO,          NO,         NO,          NO,            Some(Dead)],
    ]
};

/// A goroutine.
#[derive(Clone, Debug)]
pub struct Goroutine {
    /// Its id.
    pub goid: Goid,
    /// What it does.
    pub state: State,
    /// Since when, as far as that was seen.
    pub since: MonotonicNs,
    /// When an event or a snapshot last told of it.
    pub known_at: MonotonicNs,
    /// When an event or a snapshot first told of it.
    pub(super) known_since: MonotonicNs,
    /// Its last event, and what that was. A snapshot that began before this knows less than we do.
    pub(super) last_event: Option<(MonotonicNs, Cause)>,
    /// The goroutine that created it.
    pub parent: Option<Goid>,
    /// Return address of the `go` statement.
    pub created_at: Option<RuntimeAddr>,
    /// When its creation was seen.
    pub created: Option<MonotonicNs>,
    /// Entry of the function it runs.
    pub start: Option<RuntimeAddr>,
    /// How many goroutines it was seen to create.
    pub children: u64,
    /// It is the runtime's own; `None` until a snapshot tells.
    pub system: Option<bool>,
    /// What it waits for, while it waits.
    pub wait: Option<Box<Wait>>,
    /// Who woke it last.
    pub woken: Option<Woken>,
    /// The runtime's word in the last snapshot that had it, and when that was.
    pub seen: Option<(snapshot::State, MonotonicNs)>,
    /// The runtime's count of how often it left a CPU, modulo 256, in that snapshot.
    pub(super) tracking_seq: Option<u8>,
    /// In how many looks in a row it was seen runnable, or running.
    pub busy: Busy,
    /// How often it parked.
    pub parks: u64,
    /// Nanoseconds in waits that were seen to end.
    pub waited_ns: u64,
    /// The locks that it may hold, as far as its code and its stack tell.
    pub holds: Vec<Hold>,
    /// What it alone is seen to lead to, of what those wait for who hold a lock that it waits for.
    pub serves: Vec<RuntimeAddr>,
    /// What it gives back that it has not taken, as far as its code tells.
    pub foreign: Vec<Foreign>,
    /// The last transitions.
    pub history: History,
    /// What it was last seen to call that may block: the park that follows is about that.
    pub(super) operation: Vec<Blocked>,
}

/// A wait that lasts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wait {
    /// Since when: exactly where the park was seen, else not later than this.
    pub since: MonotonicNs,
    /// The park was seen, so `since` is exact.
    pub exact: bool,
    /// Why.
    pub reason: Option<WaitReason>,
    /// What for: one thing, or each case of a `select`; empty where it has no address or is not known.
    pub on: Vec<Blocked>,
    /// Where: return addresses, innermost first.
    pub stack: Vec<RuntimeAddr>,
    /// How many looks at the memory in a row found this very wait.
    pub looks: u32,
    /// What they found of it: nobody could end it.
    pub unreachable: Option<Unreachable>,
    /// How many of them in a row found that what it waits for is in package variables alone, which no code names that may still run.
    pub unnamed: u32,
}

impl Wait {
    /// It had begun when a look at `at` began, as far as is known.
    pub(super) fn began_before(&self, at: MonotonicNs) -> bool {
        !self.exact || self.since <= at
    }
}

/// A wait that nobody can end, as far as looks at the memory tell (see [`crate::target::reach`]).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreachable {
    /// When the first of these looks was.
    pub since: MonotonicNs,
    /// How many in a row found so.
    pub looks: u32,
    /// Nothing moved while it was looked.
    pub is_proven: bool,
    /// It is stuck behind a lock alone, whose holder nobody can wake.
    pub by_lock: bool,
    /// It takes values until its channel is closed.
    pub awaits_close: bool,
    /// Of what others wait for that nobody can wake, that which this one could reach if it went on.
    pub leads_to: Vec<RuntimeAddr>,
}

/// In how many looks in a row a goroutine was seen to be in a state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Busy {
    /// In a run queue, and it has not run since the first of them.
    pub runnable: u32,
    /// On a CPU, or in a run queue because it had to give up its CPU while it ran.
    pub running: u32,
    /// Where it stood when it was last seen to have lost its CPU: program counters, innermost first.
    pub stack: Vec<RuntimeAddr>,
    /// It was seen on a CPU, or to have lost it, at the last snapshot.
    pub(super) computes: bool,
    /// It ran between the last two snapshots that had it.
    pub(super) has_run: bool,
}

/// How a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Woken {
    /// By whom; goid 0 is the runtime itself (a timer, the collector), `None` one whose id could not be read.
    pub by: Option<Goid>,
    /// When.
    pub at: MonotonicNs,
}

impl Goroutine {
    pub(super) fn new(goid: Goid, at: MonotonicNs) -> Self {
        Self {
            goid,
            state: State::Unknown,
            since: at,
            known_at: at,
            known_since: at,
            last_event: None,
            parent: None,
            created_at: None,
            created: None,
            start: None,
            children: 0,
            system: None,
            wait: None,
            woken: None,
            seen: None,
            tracking_seq: None,
            busy: Busy::default(),
            parks: 0,
            waited_ns: 0,
            holds: Vec::new(),
            serves: Vec::new(),
            foreign: Vec::new(),
            history: History::default(),
            operation: Vec::new(),
        }
    }

    /// It exists, as far as is known.
    #[must_use]
    pub fn is_live(&self) -> bool {
        match self.state {
            State::Unknown | State::Awake | State::Waiting => true,
            State::Gone | State::Dead => false,
        }
    }

    /// Takes what a snapshot tells of whether it runs. Returns whether it ran since the one before.
    pub(super) fn saw(&mut self, seen: &snapshot::Goroutine) -> bool {
        let before = self.tracking_seq.replace(seen.tracking_seq);
        self.busy.has_run = before.is_some_and(|before| before != seen.tracking_seq);
        self.busy.computes = seen.state == snapshot::State::Running || seen.interrupted;
        if seen.interrupted {
            self.busy.stack.clone_from(&seen.stack.frames);
        } else if !self.busy.computes {
            self.busy.stack = Vec::new();
        }
        self.busy.has_run
    }

    /// Counts a look that began at `at`, after its snapshot was taken.
    pub(super) fn looked_at(&mut self, at: MonotonicNs) {
        let state = self.seen.filter(|(_, seen)| *seen == at).map(|(state, _)| state);
        let (is_there, is_runnable) = (state.is_some(), state == Some(snapshot::State::Runnable));
        let before = if self.busy.has_run { 0 } else { self.busy.runnable };
        self.busy.runnable = if is_runnable { before.saturating_add(1) } else { 0 };
        let computes = is_there && self.busy.computes;
        self.busy.running = if computes { self.busy.running.saturating_add(1) } else { 0 };
        if let Some(wait) = self.wait.as_deref_mut().filter(|wait| wait.began_before(at)) {
            wait.looks = wait.looks.saturating_add(1);
        }
    }

    /// Takes the step that `cause` leads to. Returns the wait that ended by it; `Err` where there is no such step, which
    /// leaves everything as it was.
    pub(super) fn step(
        &mut self,
        cause: Cause,
        at: MonotonicNs,
        by: Option<Goid>,
    ) -> Result<Option<Box<Wait>>, Impossible> {
        let Some(next) = self.state.after(cause) else {
            return Err(Impossible { goid: self.goid, state: self.state, cause, at });
        };
        self.known_at = self.known_at.max(at);
        let begins = next == State::Waiting && cause == Cause::Parked;
        if next == self.state && !begins {
            return Ok(None);
        }
        self.state = next;
        self.since = at;
        self.holds.clear();
        self.serves.clear();
        self.foreign.clear();
        self.history.push(Step { at, state: next, cause, by });
        let ended = self.wait.take();
        if let Some(wait) = &ended {
            self.waited_ns = self.waited_ns.saturating_add(at.0.saturating_sub(wait.since.0));
        }
        Ok(ended)
    }
}

/// A change that the runtime does not make: events were lost unnoticed, or goflow is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Impossible {
    /// The goroutine.
    pub goid: Goid,
    /// What it did, as far as was known.
    pub state: State,
    /// What happened to it.
    pub cause: Cause,
    /// When.
    pub at: MonotonicNs,
}
