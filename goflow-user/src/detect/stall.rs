//! `lock-contention`, `long-running`, `starvation`, `long-blocked`: what goes on, but badly.
//!
//! A look is a moment, so all of these count looks. They are suspicions: a program may mean to compute for long, or to do things
//! one by one.

use super::recent::Recent;
use super::rule::{LOCK_CONTENTION, LONG_BLOCKED, LONG_RUNNING, Rule, STARVATION};
use super::{Confidence, Detector, Evidence, Finding, Graph, Involved, Needs, Thresholds};
use crate::binary::addr::RuntimeAddr;
use crate::model::{Goroutine, Object, Process, State};
use crate::target::id::{Goid, MonotonicNs, SyncPrimitive};
use crate::target::reach::Hold;
use crate::target::snapshot::{BlockedOn, Direction};
use std::collections::{BTreeMap, BTreeSet};

/// Goroutines that are named.
const MOST_NAMED: usize = 64;

pub(super) struct LongRunning(pub(super) Thresholds);
pub(super) struct Starvation(pub(super) Thresholds);
pub(super) struct LongBlocked(pub(super) Thresholds);

pub(super) struct LockContention {
    thresholds: Thresholds,
    crowds: BTreeMap<Object, Crowd>,
}

/// Who waited for a lock at the last look that had many.
struct Crowd {
    recent: Recent,
    goroutines: Vec<Involved>,
    longest_ns: u64,
    holders: Vec<Hold>,
}

impl Detector for LongRunning {
    fn rule(&self) -> &'static Rule {
        &LONG_RUNNING
    }

    fn needs(&self) -> Needs {
        Needs::Looks
    }

    fn check(&mut self, process: &Process, _graph: &Graph, _told: &BTreeSet<Goid>) -> Vec<Finding> {
        let mut places: BTreeMap<Option<RuntimeAddr>, Vec<&Goroutine>> = BTreeMap::new();
        for goroutine in users(process).filter(|one| one.busy.running >= self.0.looks) {
            places.entry(goroutine.created_at).or_default().push(goroutine);
        }
        places.into_iter().filter_map(|(created, busy)| computing(created, busy)).collect()
    }
}

/// Those that were created at one place; the one first of which it is best known where it stands.
fn computing(created: Option<RuntimeAddr>, mut busy: Vec<&Goroutine>) -> Option<Finding> {
    busy.sort_unstable_by_key(|one| one.goid);
    let looks = busy.iter().map(|one| one.busy.running).min()?;
    let since = busy.iter().map(|one| one.since).min()?;
    let evidence = match busy.as_slice() {
        [one] => Evidence::Running(one.goid, looks),
        several => Evidence::Computing(several.len() as u64, looks),
    };
    let mut goroutines = involved(&busy);
    goroutines.sort_by_key(|one| one.stack.is_empty());
    let identity = vec![created.map_or(0, |created| created.0)];
    Some(Finding { identity, ..finding(&LONG_RUNNING, since, goroutines, evidence) })
}

impl Detector for Starvation {
    fn rule(&self) -> &'static Rule {
        &STARVATION
    }

    fn needs(&self) -> Needs {
        Needs::Looks
    }

    fn check(&mut self, process: &Process, _graph: &Graph, _told: &BTreeSet<Goid>) -> Vec<Finding> {
        let is_starved = |one: &&Goroutine| one.busy.runnable >= self.0.looks;
        let mut starved: Vec<&Goroutine> = users(process).filter(is_starved).collect();
        starved.sort_unstable_by_key(|one| one.goid);
        let Some(first) = starved.first() else { return Vec::new() };
        let evidence = Evidence::Runnable(starved.len() as u64, first.busy.runnable);
        vec![finding(&STARVATION, first.since, involved(&starved), evidence)]
    }
}

impl LockContention {
    pub(super) fn new(thresholds: Thresholds) -> Self {
        Self { thresholds, crowds: BTreeMap::new() }
    }

    /// Takes who waits for a lock now.
    fn meet(&mut self, process: &Process, object: Object, waiting: &[&Goroutine], at: MonotonicNs) {
        let since = waiting.iter().filter_map(|one| one.wait.as_ref()).map(|wait| wait.since).min();
        let longest_ns = since.map_or(0, |since| at.0.saturating_sub(since.0));
        let is_of = |hold: &&Hold| matches!(object, Object::Sync(_, address) if address == hold.address);
        let holders: Vec<Hold> =
            process.goroutines().flat_map(|one| &one.holds).filter(is_of).copied().collect();
        let goroutines = involved(waiting);
        match self.crowds.get_mut(&object) {
            Some(crowd) => {
                crowd.recent.look(true);
                crowd.goroutines = goroutines;
                crowd.longest_ns = crowd.longest_ns.max(longest_ns);
                if !holders.is_empty() {
                    crowd.holders = holders;
                }
            }
            None => {
                let crowd = Crowd {
                    recent: Recent::first(at, self.thresholds.looks),
                    goroutines,
                    longest_ns,
                    holders,
                };
                self.crowds.insert(object, crowd);
            }
        }
    }
}

impl Crowd {
    fn finding(&self, object: Object) -> Finding {
        let count = self.goroutines.len() as u64;
        let evidence = Evidence::Crowd(object, count, self.recent.hits(), self.recent.looks());
        let mut found = finding(&LOCK_CONTENTION, self.recent.since, self.goroutines.clone(), evidence);
        if self.longest_ns > 0 {
            found.evidence.push(Evidence::Longest(self.longest_ns));
        }
        found.evidence.extend(self.holders.iter().map(|hold| Evidence::Held(*hold)));
        found.objects = vec![object];
        found.identity = vec![identity(object)];
        found
    }
}

impl Detector for LockContention {
    fn rule(&self) -> &'static Rule {
        &LOCK_CONTENTION
    }

    fn needs(&self) -> Needs {
        Needs::Looks
    }

    fn check(&mut self, process: &Process, _graph: &Graph, told: &BTreeSet<Goid>) -> Vec<Finding> {
        let at = process.snapshot().unwrap_or_default();
        let mut waiters: BTreeMap<Object, Vec<&Goroutine>> = BTreeMap::new();
        for goroutine in users(process).filter(|one| one.state == State::Waiting && !told.contains(&one.goid))
        {
            for object in super::graph::objects(goroutine) {
                if let Object::Sync(SyncPrimitive::Mutex | SyncPrimitive::RwMutex, _) = object {
                    waiters.entry(object).or_default().push(goroutine);
                }
            }
        }
        waiters.retain(|_, waiting| waiting.len() as u64 >= self.thresholds.waiters);
        for (object, crowd) in &mut self.crowds {
            if !waiters.contains_key(object) {
                crowd.recent.look(false);
            }
        }
        for (object, waiting) in waiters {
            self.meet(process, object, &waiting, at);
        }
        self.crowds.retain(|_, crowd| !crowd.recent.is_over());
        let often = self.crowds.iter().filter(|(_, crowd)| crowd.recent.is_often());
        often.map(|(object, crowd)| crowd.finding(*object)).collect()
    }
}

impl Detector for LongBlocked {
    fn rule(&self) -> &'static Rule {
        &LONG_BLOCKED
    }

    fn needs(&self) -> Needs {
        Needs::Looks
    }

    fn check(&mut self, process: &Process, _graph: &Graph, told: &BTreeSet<Goid>) -> Vec<Finding> {
        let at = process.snapshot().unwrap_or_default();
        let mut found = Vec::new();
        for goroutine in users(process).filter(|one| one.state == State::Waiting && !told.contains(&one.goid))
        {
            let Some(wait) = goroutine.wait.as_deref().filter(|wait| wait.looks >= self.0.looks) else {
                continue;
            };
            // To wait for what may come is what many do for all of their lives; to wait to give something away, or for a lock, is not.
            let [on] = wait.on.as_slice() else { continue };
            let is_in_need = matches!(on.on, BlockedOn::Sync(SyncPrimitive::Mutex | SyncPrimitive::RwMutex))
                || on.on == BlockedOn::Channel && on.direction == Some(Direction::Send);
            let ns = at.0.saturating_sub(wait.since.0);
            if !is_in_need || ns < self.0.blocked.saturating_mul(1_000_000_000) {
                continue;
            }
            let objects = super::graph::objects(goroutine);
            let evidence = Evidence::Waits(goroutine.goid, objects.clone());
            let mut one = finding(&LONG_BLOCKED, wait.since, involved(&[goroutine]), evidence);
            let holds = process.goroutines().flat_map(|one| &one.holds);
            let of_it = holds.filter(|hold| on.on.is_sync() && on.address == Some(hold.address));
            one.evidence.extend(of_it.map(|hold| Evidence::Holds(*hold)));
            one.objects = objects;
            found.push(one);
        }
        found
    }
}

/// The program's own goroutines that live.
pub(super) fn users(process: &Process) -> impl Iterator<Item = &Goroutine> {
    process.goroutines().filter(|one| one.is_live() && one.system == Some(false))
}

pub(super) fn identity(object: Object) -> u64 {
    match object {
        Object::Channel(address) => address.0,
        Object::Sync(_, address) => address.0,
    }
}

/// By goid.
pub(super) fn involved(goroutines: &[&Goroutine]) -> Vec<Involved> {
    let mut involved: Vec<Involved> = goroutines.iter().map(|one| Involved::of(one)).collect();
    involved.sort_unstable_by_key(|one| one.goid);
    involved
}

/// A suspicion about these.
pub(super) fn finding(
    rule: &'static Rule,
    since: MonotonicNs,
    mut goroutines: Vec<Involved>,
    evidence: Evidence,
) -> Finding {
    let more = goroutines.len().saturating_sub(MOST_NAMED) as u64;
    goroutines.truncate(MOST_NAMED);
    Finding {
        rule,
        confidence: Confidence::Suspected,
        since,
        opened: MonotonicNs::default(),
        more,
        identity: goroutines.iter().take(1).map(|one| one.goid.0).collect(),
        goroutines,
        functions: Vec::new(),
        objects: Vec::new(),
        evidence: vec![evidence],
    }
}
