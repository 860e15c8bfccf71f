//! Stage 6: what is wrong with a process. In: the model of it, once after each look; out: findings that open and resolve.
//!
//! A [`Detector`] is pure: it reads the model and nothing else. What it finds in one look at a process that runs on may be a
//! coincidence, so a wait counts once it has been found twice ([`Unreachable::looks`]). What a finding says for a
//! reader is made of its [`Evidence`], which has goroutines, objects and addresses; names are given where it is written.
//!
//! [`Unreachable::looks`]: crate::model::Unreachable::looks

mod circular;
mod deadlock;
mod foreign;
mod graph;
mod growth;
mod leak;
mod misuse;
mod pressure;
mod recent;
pub mod rule;
mod stall;
mod survey;
#[cfg(test)]
mod tests;
mod thresholds;
mod unclosed;
mod waitgroup;

pub use self::graph::{Graph, Link};
pub use self::rule::{RULES, Rule, Severity};
pub use self::survey::Survey;
pub use self::thresholds::Thresholds;

use crate::binary::addr::RuntimeAddr;
use crate::model::{Goroutine, MisuseKind, Object, Process};
use crate::target::id::{Goid, MonotonicNs, SyncPrimitive};
use crate::target::reach::Hold;
use crate::target::snapshot::Direction;
use std::collections::{BTreeMap, BTreeSet};

/// How sure a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Confidence {
    /// It would explain what was seen, and other things would as well.
    Suspected,
    /// Everything speaks for it; it is read from a process that ran on meanwhile.
    Likely,
    /// It cannot be otherwise.
    Proven,
}

impl Confidence {
    /// All, the least first.
    pub const ALL: [Self; 3] = [Self::Suspected, Self::Likely, Self::Proven];

    /// The word for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Suspected => "suspected",
            Self::Likely => "likely",
            Self::Proven => "proven",
        }
    }
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Which rule it breaks.
    pub rule: &'static Rule,
    /// How sure it is.
    pub confidence: Confidence,
    /// Since when, at the latest.
    pub since: MonotonicNs,
    /// When the look began that first found it.
    pub opened: MonotonicNs,
    /// Who is in it, the one to look at first.
    pub goroutines: Vec<Involved>,
    /// How many more there are in the same place.
    pub more: u64,
    /// Entries of functions to look at that no goroutine stands in.
    pub functions: Vec<RuntimeAddr>,
    /// What they wait for or hold.
    pub objects: Vec<Object>,
    /// Why, in the order in which to tell it.
    pub evidence: Vec<Evidence>,
    /// What is the same about it at each look.
    pub identity: Vec<u64>,
}

/// A goroutine of a finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Involved {
    /// Its id.
    pub goid: Goid,
    /// Where it stands: return addresses, innermost first.
    pub stack: Vec<RuntimeAddr>,
    /// It runs, so that is another place at each look.
    pub is_passing: bool,
    /// Return address of the `go` statement that created it.
    pub created_at: Option<RuntimeAddr>,
}

impl Involved {
    /// A goroutine as it is now.
    #[must_use]
    pub fn of(goroutine: &Goroutine) -> Self {
        let (is_passing, stack) = match &goroutine.wait {
            Some(wait) => (false, wait.stack.clone()),
            None => (true, goroutine.busy.stack.clone()),
        };
        Self { goid: goroutine.goid, stack, is_passing, created_at: goroutine.created_at }
    }
}

/// A reason for a finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// A goroutine waits, for these if they have addresses.
    Waits(Goid, Vec<Object>),
    /// A goroutine holds a lock that was waited for in the sentence before.
    Holds(Hold),
    /// A goroutine waits for what only this one could do, which is itself in the finding.
    Needs(Object, Goid),
    /// A goroutine waits for what this one alone, which is itself in the finding, is seen to have to do with, among others that may.
    Seen(Object, Goid),
    /// No goroutine that goes on can reach what it waits for.
    NobodyReaches(Goid),
    /// What it waits for is in package variables alone, which no code names that may still run.
    NobodyNames(Goid),
    /// What it waits for is nothing: a nil channel, or a select without a case.
    Nothing(Goid),
    /// A number of goroutines was created by one statement, and is stuck at one place.
    Alike(u64),
    /// Nobody holds the lock although it is locked: who took it has ended or returned without giving it back.
    Orphaned(Object),
    /// Every goroutine of the program waits for another.
    AllAsleep(u64),
    /// So many more wait for those of the circle.
    Behind(u64),
    /// A goroutine was on a CPU, or had lost it while it ran, in so many looks in a row.
    Running(Goid, u32),
    /// So many goroutines from one place were on a CPU, or had lost it while they ran, in so many looks in a row.
    Computing(u64, u32),
    /// So many goroutines were runnable in so many looks in a row, and did not run in between.
    Runnable(u64, u32),
    /// So many goroutines waited for a lock at the last look that had many, and many did at so many of so many looks.
    Crowd(Object, u64, u32, u32),
    /// The one that waited for longest did so for at least so many nanoseconds.
    Longest(u64),
    /// A goroutine held a lock at the last look at which many waited for it.
    Held(Hold),
    /// So many goroutines waited for one side of a channel at the last look that had many, and many did at so many of so many
    /// looks, while values went through it.
    Pressed(Object, Direction, u64, u32, u32),
    /// A goroutine has a channel on its stack, or one step from there.
    AtHand(Object, Goid),
    /// Values in a channel: there were so many, there are so many, after so many nanoseconds.
    Backlog(Object, u64, u64, u64),
    /// There were so many timers that call this, there are so many, after so many nanoseconds.
    Timers {
        /// What they call.
        calls: RuntimeAddr,
        /// Again and again.
        is_periodic: bool,
        /// How many there were.
        before: u64,
        /// How many there are.
        now: u64,
        /// In between.
        ns: u64,
    },
    /// The goroutines that this statement creates were so many, are so many, after so many nanoseconds.
    Growth(RuntimeAddr, u64, u64, u64),
    /// Nobody takes what a goroutine has been sending since at least so many looks.
    Untaken(Goid, u32),
    /// A channel was closed, by whom and where.
    Closed(Object, Option<Goid>, Option<RuntimeAddr>),
    /// A goroutine takes values until its channel is closed, which nothing that goes on can reach.
    AwaitsClose(Goid),
    /// A channel was made, by whom and where.
    Made(Object, Option<Goid>, RuntimeAddr),
    /// A goroutine gives back a lock of this kind there that neither it nor what it calls has taken.
    Unlocks(Goid, SyncPrimitive, RuntimeAddr),
    /// This is the lock, which is locked, and which that goroutine will give back.
    WillUnlock(Object, Goid),
    /// What was done to it that must not be, by whom and where, so many nanoseconds later.
    Misused(MisuseKind, Option<Goid>, Vec<RuntimeAddr>, u64),
    /// A goroutine had called `Wait` of a group, where.
    GroupWait(Object, Goid, Option<RuntimeAddr>),
    /// A goroutine counted itself in it.
    CountedLate {
        /// Which.
        goid: Goid,
        /// Where.
        at: Option<RuntimeAddr>,
        /// So many nanoseconds after the `Wait`.
        after_ns: u64,
        /// The wait was over by then.
        is_over: bool,
    },
    /// A goroutine that counted itself also called `Done` for that.
    DoneByItself(Goid),
    /// It has happened so many times.
    Times(u64),
}

/// What makes findings of two looks the same one: the rule, and what the detector says is the same about them.
type Key = (&'static str, Vec<u64>);

/// What a look has to have found out for a detector to say something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// What the goroutines do.
    Looks,
    /// Whom nobody can wake, and who holds which lock, as well.
    Reachability,
    /// Nothing: events tell.
    Events,
}

/// Why a rule was not asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unasked {
    /// It could not be found out whom nobody can wake.
    Unreached,
    /// It compares so many looks, and there were fewer.
    FewLooks(u32),
}

/// Finds one kind of fault.
pub trait Detector {
    /// What it finds.
    fn rule(&self) -> &'static Rule;

    /// What it cannot do without. At a look that lacks it, it is not asked, and what it found before stays.
    fn needs(&self) -> Needs {
        Needs::Reachability
    }

    /// So many looks it compares at the least.
    fn compares(&self) -> u32 {
        1
    }

    /// Whether a goroutine that is in a finding of it is none of the later ones'.
    fn has_its_goroutines_alone(&self) -> bool {
        true
    }

    /// Looks at a process; what it returns is found now. `told` are the goroutines that others have found already.
    fn check(&mut self, survey: &Survey<'_>, told: &BTreeSet<Goid>) -> Vec<Finding>;
}

/// Every detector, in the order in which they are asked: a goroutine that one has in a finding is none of the later ones'.
fn detectors(thresholds: Thresholds) -> [Box<dyn Detector + Send>; 16] {
    [
        Box::new(deadlock::Deadlock),
        Box::new(circular::CircularWait),
        Box::new(unclosed::ChannelNotClosed),
        Box::new(leak::Leak),
        Box::new(stall::LockContention::new(thresholds)),
        Box::new(pressure::SlowConsumer::new(thresholds)),
        Box::new(stall::Starvation(thresholds)),
        Box::new(stall::LongRunning(thresholds)),
        Box::new(growth::UnboundedGrowth::new(thresholds)),
        Box::new(growth::TimerLeak::new(thresholds)),
        Box::new(pressure::SlowProducer::new(thresholds)),
        Box::new(stall::LongBlocked(thresholds)),
        Box::<foreign::MutexUnlockedByOther>::default(),
        Box::new(misuse::SendOnClosed),
        Box::new(misuse::DoubleClose),
        Box::new(waitgroup::LateAdds),
    ]
}

/// A change of what is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It was not there at the look before.
    Opened(Finding),
    /// It is no more.
    Resolved(Finding),
}

/// What is wrong with one process, from look to look.
pub struct Detection {
    detectors: Vec<Box<dyn Detector + Send>>,
    open: BTreeMap<Key, Finding>,
}

impl Default for Detection {
    fn default() -> Self {
        Self::new(|_| true)
    }
}

impl Detection {
    /// By the rules that are wanted.
    #[must_use]
    pub fn new(wanted: impl Fn(&'static Rule) -> bool) -> Self {
        Self::with(wanted, Thresholds::default())
    }

    /// By the rules that are wanted, which tell something from these numbers on.
    #[must_use]
    pub fn with(wanted: impl Fn(&'static Rule) -> bool, thresholds: Thresholds) -> Self {
        let all = detectors(thresholds).into_iter();
        Self { detectors: all.filter(|detector| wanted(detector.rule())).collect(), open: BTreeMap::new() }
    }

    /// Takes the model after another look. Where that could not find out whom nobody can wake
    /// ([`Process::knows_reach`]), only those detectors are asked that do without.
    pub fn look(&mut self, process: &Process) -> Vec<Change> {
        let survey = Survey::of(process);
        self.ask(&survey, |needs| needs != Needs::Reachability || process.knows_reach())
    }

    /// Takes the model after events, and no look, which were told up to `at`.
    pub fn look_at_events(&mut self, process: &Process, at: MonotonicNs) -> Vec<Change> {
        self.ask(&Survey::without_goroutines(process, at), |needs| needs == Needs::Events)
    }

    /// Asks those detectors that have what they need; of the others, what they found stays.
    fn ask(&mut self, survey: &Survey<'_>, has: impl Fn(Needs) -> bool) -> Vec<Change> {
        let mut now: BTreeMap<Key, Finding> = BTreeMap::new();
        let mut told: BTreeSet<Goid> = BTreeSet::new();
        for detector in &mut self.detectors {
            let found: Vec<(Key, Finding)> = if has(detector.needs()) {
                let found = detector.check(survey, &told).into_iter();
                found.map(|finding| opened(finding, &self.open, survey.at)).collect()
            } else {
                let stays = self.open.iter().filter(|((rule, _), _)| *rule == detector.rule().id);
                stays.map(|(key, finding)| (key.clone(), finding.clone())).collect()
            };
            if detector.has_its_goroutines_alone() {
                told.extend(found.iter().flat_map(|(_, finding)| &finding.goroutines).map(|one| one.goid));
            }
            now.extend(found);
        }
        let before = std::mem::replace(&mut self.open, now);
        let resolved = before.iter().filter(|(key, _)| !self.open.contains_key(*key));
        let opened = self.open.iter().filter(|(key, _)| !before.contains_key(*key));
        let resolved = resolved.map(|(_, finding)| Change::Resolved(finding.clone()));
        resolved.chain(opened.map(|(_, finding)| Change::Opened(finding.clone()))).collect()
    }

    /// The rules that need looks and could not be asked, when `process` has been looked at so often.
    pub fn unasked(&self, process: &Process, looks: u32) -> impl Iterator<Item = (&'static Rule, Unasked)> {
        let why = move |detector: &(dyn Detector + Send)| {
            let why = match detector.needs() {
                Needs::Events => None,
                Needs::Reachability if !process.knows_reach() => Some(Unasked::Unreached),
                _ if looks < detector.compares() => Some(Unasked::FewLooks(detector.compares())),
                _ => None,
            };
            Some((detector.rule(), why?))
        };
        self.detectors.iter().map(Box::as_ref).filter_map(why)
    }

    /// What is wrong now.
    pub fn open(&self) -> impl Iterator<Item = &Finding> {
        self.open.values()
    }
}

/// A finding with what makes it the same one at the next look, and when it opened.
fn opened(mut finding: Finding, before: &BTreeMap<Key, Finding>, at: MonotonicNs) -> (Key, Finding) {
    let key = (finding.rule.id, finding.identity.clone());
    finding.opened = before.get(&key).map_or(at, |before| before.opened);
    (key, finding)
}
