//! `lock-contention`, `long-running`, `starvation`, `long-blocked`: what goes on, but badly.
//!
//! A look is a moment, so all of these count looks. They are suspicions: a program may mean to compute for long, or to do things
//! one by one.

use super::deadlock::MOST_HOLDERS;
use super::recent::Recent;
use super::rule::{LOCK_CONTENTION, LONG_BLOCKED, LONG_RUNNING, Rule, STARVATION};
use super::survey::{Survey, Waiter, first, objects};
use super::{Confidence, Detector, Evidence, Finding, Involved, Needs, Thresholds};
use crate::binary::addr::RuntimeAddr;
use crate::model::{Goroutine, Object};
use crate::target::id::{Goid, MonotonicNs};
use crate::target::reach::Hold;
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
    group: Group,
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

    fn compares(&self) -> u32 {
        self.0.looks
    }

    fn check(&mut self, survey: &Survey<'_>, _told: &BTreeSet<Goid>) -> Vec<Finding> {
        let mut places: BTreeMap<Option<RuntimeAddr>, Vec<&Goroutine>> = BTreeMap::new();
        for goroutine in survey.busy.iter().filter(|one| one.busy.running >= self.0.looks) {
            places.entry(goroutine.created_at).or_default().push(goroutine);
        }
        places.into_iter().filter_map(|(created, busy)| computing(created, &busy)).collect()
    }
}

/// Those that were created at one place; the one first of which it is best known where it stands.
fn computing(created: Option<RuntimeAddr>, busy: &[&Goroutine]) -> Option<Finding> {
    let looks = busy.iter().map(|one| one.busy.running).min()?;
    let since = busy.iter().map(|one| one.since).min()?;
    let evidence = match busy {
        [one] => Evidence::Running(one.goid, looks),
        several => Evidence::Computing(several.len() as u64, looks),
    };
    let mut group = Group::of(busy);
    group.named.sort_by_key(|one| one.stack.is_empty());
    let identity = vec![created.map_or(0, |created| created.0)];
    Some(Finding { identity, ..finding(&LONG_RUNNING, since, group, evidence) })
}

impl Detector for Starvation {
    fn rule(&self) -> &'static Rule {
        &STARVATION
    }

    fn needs(&self) -> Needs {
        Needs::Looks
    }

    fn compares(&self) -> u32 {
        self.0.looks
    }

    fn check(&mut self, survey: &Survey<'_>, _told: &BTreeSet<Goid>) -> Vec<Finding> {
        let is_starved = |one: &&&Goroutine| one.busy.runnable >= self.0.looks;
        let starved: Vec<&Goroutine> = survey.busy.iter().filter(is_starved).copied().collect();
        let Some(first) = starved.iter().min_by_key(|one| one.goid) else { return Vec::new() };
        let evidence = Evidence::Runnable(starved.len() as u64, first.busy.runnable);
        vec![finding(&STARVATION, first.since, Group::of(&starved), evidence)]
    }
}

impl LockContention {
    pub(super) fn new(thresholds: Thresholds) -> Self {
        Self { thresholds, crowds: BTreeMap::new() }
    }

    /// Takes who waits for a lock now.
    fn meet(&mut self, survey: &Survey<'_>, object: Object, waiting: &[&Goroutine]) {
        let since = waiting.iter().filter_map(|one| one.wait.as_ref()).map(|wait| wait.since).min();
        let longest_ns = since.map_or(0, |since| survey.at.0.saturating_sub(since.0));
        let holders: Vec<Hold> = survey.holders(object).iter().take(MOST_HOLDERS).copied().collect();
        let group = Group::of(waiting);
        match self.crowds.get_mut(&object) {
            Some(crowd) => {
                crowd.recent.look(true);
                crowd.group = group;
                crowd.longest_ns = crowd.longest_ns.max(longest_ns);
                if !holders.is_empty() {
                    crowd.holders = holders;
                }
            }
            None => {
                let recent = Recent::first(survey.at, self.thresholds.looks);
                self.crowds.insert(object, Crowd { recent, group, longest_ns, holders });
            }
        }
    }
}

impl Crowd {
    fn finding(&self, object: Object) -> Finding {
        let evidence = Evidence::Crowd(object, self.group.count, self.recent.hits(), self.recent.looks());
        let mut found = finding(&LOCK_CONTENTION, self.recent.since, self.group.clone(), evidence);
        if self.longest_ns > 0 {
            found.evidence.push(Evidence::Longest(self.longest_ns));
        }
        found.evidence.extend(self.holders.iter().map(|hold| Evidence::Held(*hold)));
        found.objects = vec![object];
        found.identity = vec![object.address().0];
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

    fn compares(&self) -> u32 {
        self.thresholds.looks
    }

    fn check(&mut self, survey: &Survey<'_>, told: &BTreeSet<Goid>) -> Vec<Finding> {
        let is_meant = |one: &&Waiter<'_>| one.is_user && !told.contains(&one.goid);
        let mut crowded = BTreeSet::new();
        for waiters in survey.by_object().filter(|waiters| waiters[0].is_at_lock()) {
            let waiting: Vec<&Goroutine> = waiters.iter().filter(is_meant).map(|one| one.goroutine).collect();
            if waiting.len() as u64 >= self.thresholds.waiters {
                crowded.insert(waiters[0].object);
                self.meet(survey, waiters[0].object, &waiting);
            }
        }
        for (object, crowd) in &mut self.crowds {
            if !crowded.contains(object) {
                crowd.recent.look(false);
            }
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

    fn compares(&self) -> u32 {
        self.0.looks
    }

    fn check(&mut self, survey: &Survey<'_>, told: &BTreeSet<Goid>) -> Vec<Finding> {
        let mut found = Vec::new();
        for goroutine in survey.in_need.iter().filter(|one| !told.contains(&one.goid)) {
            let Some(wait) = goroutine.wait.as_deref().filter(|wait| wait.looks >= self.0.looks) else {
                continue;
            };
            let ns = survey.at.0.saturating_sub(wait.since.0);
            if ns < self.0.blocked.saturating_mul(1_000_000_000) {
                continue;
            }
            let objects = objects(goroutine);
            let evidence = Evidence::Waits(goroutine.goid, objects.clone());
            let mut one = finding(&LONG_BLOCKED, wait.since, Group::of(&[goroutine]), evidence);
            let holds = objects.iter().flat_map(|object| survey.holders(*object));
            one.evidence.extend(holds.take(MOST_HOLDERS).map(|hold| Evidence::Holds(*hold)));
            one.objects = objects;
            found.push(one);
        }
        found.sort_unstable_by_key(|one: &Finding| one.goroutines.first().map(|one| one.goid));
        found
    }
}

/// Goroutines of which some are named.
#[derive(Clone, Debug)]
pub(super) struct Group {
    /// By goid.
    pub(super) named: Vec<Involved>,
    /// All of them.
    pub(super) count: u64,
}

impl Group {
    pub(super) fn of(goroutines: &[&Goroutine]) -> Self {
        let named = first(goroutines, MOST_NAMED).into_iter().map(Involved::of).collect();
        Self { named, count: goroutines.len() as u64 }
    }
}

/// A suspicion about these.
pub(super) fn finding(rule: &'static Rule, since: MonotonicNs, group: Group, evidence: Evidence) -> Finding {
    Finding {
        rule,
        confidence: Confidence::Suspected,
        since,
        opened: MonotonicNs::default(),
        more: group.count - group.named.len() as u64,
        identity: group.named.iter().take(1).map(|one| one.goid.0).collect(),
        goroutines: group.named,
        functions: Vec::new(),
        objects: Vec::new(),
        evidence: vec![evidence],
    }
}
