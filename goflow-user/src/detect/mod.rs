//! Stage 6: what is wrong with a process. In: the model of it, once after each look; out: findings that open and resolve.
//!
//! A [`Detector`] is pure: it reads the model and nothing else. What it finds in one look at a process that runs on may be a
//! coincidence, so a wait counts once it has been found twice ([`Unreachable::looks`]). What a finding says for a
//! reader is made of its [`Evidence`], which has goroutines, objects and addresses; names are given where it is written.
//!
//! [`Unreachable::looks`]: crate::model::Unreachable::looks

mod circular;
mod deadlock;
mod graph;
mod leak;
mod misuse;
pub mod rule;
mod stall;
#[cfg(test)]
mod tests;

pub use self::graph::{Graph, Link};
pub use self::rule::{RULES, Rule, Severity};

use crate::binary::addr::RuntimeAddr;
use crate::model::{Goroutine, MisuseKind, Object, Process};
use crate::target::id::{Goid, MonotonicNs};
use crate::target::reach::Hold;
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
    /// Return address of the `go` statement that created it.
    pub created_at: Option<RuntimeAddr>,
}

impl Involved {
    /// A goroutine as it is now.
    #[must_use]
    pub fn of(goroutine: &Goroutine) -> Self {
        let stack = goroutine.wait.as_ref().map_or_else(Vec::new, |wait| wait.stack.clone());
        Self { goid: goroutine.goid, stack, created_at: goroutine.created_at }
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
    /// No goroutine that goes on can reach what it waits for.
    NobodyReaches(Goid),
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
    /// A goroutine was on a CPU in so many looks in a row.
    Running(Goid, u32),
    /// So many goroutines were runnable in so many looks in a row.
    Runnable(u64, u32),
    /// So many goroutines wait for a lock, and did in so many looks in a row.
    Crowd(Object, u64, u32),
    /// They were so many, are so many, after so many nanoseconds.
    Growth(u64, u64, u64),
    /// Nobody takes what a goroutine has been sending since at least so many looks.
    Untaken(Goid, u32),
    /// A channel was closed, by whom and where.
    Closed(Object, Option<Goid>, Option<RuntimeAddr>),
    /// What was done to it that must not be, by whom and where, so many nanoseconds later.
    Misused(MisuseKind, Option<Goid>, Vec<RuntimeAddr>, u64),
    /// It has happened so many times.
    Times(u64),
}

/// What makes findings of two looks the same one: the rule, and what the detector says is the same about them.
type Key = (&'static str, Vec<u64>);

/// Finds one kind of fault.
pub trait Detector {
    /// What it finds.
    fn rule(&self) -> &'static Rule;

    /// Looks at a process; what it returns is found now. `told` are the goroutines that others have found already.
    fn check(&mut self, process: &Process, graph: &Graph, told: &BTreeSet<Goid>) -> Vec<Finding>;
}

/// Every detector, in the order in which they are asked: a goroutine that one has in a finding is none of the later ones'.
fn detectors() -> [Box<dyn Detector + Send>; 7] {
    [
        Box::new(deadlock::Deadlock),
        Box::new(circular::CircularWait),
        Box::new(leak::Leak),
        Box::new(stall::LockContention::default()),
        Box::new(stall::Starvation),
        Box::new(stall::LongRunning),
        Box::new(stall::UnboundedGrowth::default()),
    ]
}

/// Those that events tell everything, and looks nothing.
fn event_detectors() -> [Box<dyn Detector + Send>; 2] {
    [Box::new(misuse::SendOnClosed), Box::new(misuse::DoubleClose)]
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
    event_detectors: Vec<Box<dyn Detector + Send>>,
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
        let is_wanted = |detector: &Box<dyn Detector + Send>| wanted(detector.rule());
        let detectors = detectors().into_iter().filter(is_wanted).collect();
        let event_detectors = event_detectors().into_iter().filter(is_wanted).collect();
        Self { detectors, event_detectors, open: BTreeMap::new() }
    }

    /// Takes the model after another look.
    pub fn look(&mut self, process: &Process) -> Vec<Change> {
        let (graph, at) = (Graph::of(process), process.snapshot().unwrap_or_default());
        let mut told: BTreeSet<Goid> = BTreeSet::new();
        let mut found = Vec::new();
        for detector in &mut self.detectors {
            let more = detector.check(process, &graph, &told);
            told.extend(more.iter().flat_map(|finding| &finding.goroutines).map(|one| one.goid));
            found.extend(more);
        }
        found.extend(Self::by_events(&mut self.event_detectors, process));
        self.replace(found, at, |_| true)
    }

    /// Takes the model after events, and no look, which were told up to `at`.
    pub fn look_at_events(&mut self, process: &Process, at: MonotonicNs) -> Vec<Change> {
        let found = Self::by_events(&mut self.event_detectors, process);
        let rules: Vec<&'static Rule> = self.event_detectors.iter().map(|one| one.rule()).collect();
        self.replace(found, at, |rule| rules.contains(&rule))
    }

    fn by_events(detectors: &mut [Box<dyn Detector + Send>], process: &Process) -> Vec<Finding> {
        let (graph, told) = (Graph::default(), BTreeSet::new());
        detectors.iter_mut().flat_map(|detector| detector.check(process, &graph, &told)).collect()
    }

    /// What is wrong now by the rules that were asked; by others, it is what it was.
    fn replace(
        &mut self,
        found: Vec<Finding>,
        at: MonotonicNs,
        asked: impl Fn(&'static Rule) -> bool,
    ) -> Vec<Change> {
        let mut now: BTreeMap<Key, Finding> = BTreeMap::new();
        for mut finding in found {
            let key = (finding.rule.id, finding.identity.clone());
            finding.opened = self.open.get(&key).map_or(at, |before| before.opened);
            now.insert(key, finding);
        }
        let mut changes = Vec::new();
        self.open.retain(|key, before| {
            let stays = !asked(before.rule) || now.contains_key(key);
            if !stays {
                changes.push(Change::Resolved(before.clone()));
            }
            stays
        });
        for (key, finding) in now {
            if self.open.insert(key, finding.clone()).is_none() {
                changes.push(Change::Opened(finding));
            }
        }
        changes
    }

    /// What is wrong now.
    pub fn open(&self) -> impl Iterator<Item = &Finding> {
        self.open.values()
    }
}
