//! `lock-contention`, `long-running`, `starvation`, `unbounded-growth`: what goes on, but badly.
//!
//! A look is a moment, so all of these count looks in a row. They are suspicions: a program may mean to compute for long, and a
//! burst of goroutines looks like the beginning of too many.

use super::rule::{LOCK_CONTENTION, LONG_RUNNING, Rule, STARVATION, UNBOUNDED_GROWTH};
use super::{Confidence, Detector, Evidence, Finding, Graph, Involved};
use crate::binary::addr::RuntimeAddr;
use crate::model::{Goroutine, Object, Process, State};
use crate::target::id::{Goid, MonotonicNs, SyncPrimitive};
use std::collections::{BTreeMap, BTreeSet};

/// So many looks in a row.
const LOOKS: u32 = 5;

/// So many goroutines at one lock are many.
const CROWD: usize = 3;

/// Goroutines from one place must have become so many more.
const GROWTH: u64 = 4;

/// Goroutines that are named.
const MOST_NAMED: usize = 64;

pub(super) struct LongRunning;
pub(super) struct Starvation;

#[derive(Default)]
pub(super) struct LockContention {
    /// In how many looks in a row each lock was crowded.
    crowded: BTreeMap<Object, (u32, MonotonicNs)>,
}

#[derive(Default)]
pub(super) struct UnboundedGrowth {
    /// Goroutines by where they were created: at the first look, at the last, and looks in a row at which they were more.
    seen: BTreeMap<RuntimeAddr, Trend>,
    looks: u32,
}

#[derive(Clone, Copy, Debug)]
struct Trend {
    first: u64,
    last: u64,
    risen: u32,
    since: MonotonicNs,
}

impl Detector for LongRunning {
    fn rule(&self) -> &'static Rule {
        &LONG_RUNNING
    }

    fn check(&mut self, process: &Process, _graph: &Graph, _told: &BTreeSet<Goid>) -> Vec<Finding> {
        let busy = users(process).filter(|one| one.busy.running >= LOOKS);
        busy.map(|one| {
            finding(&LONG_RUNNING, one.since, &[one], Evidence::Running(one.goid, one.busy.running))
        })
        .collect()
    }
}

impl Detector for Starvation {
    fn rule(&self) -> &'static Rule {
        &STARVATION
    }

    fn check(&mut self, process: &Process, _graph: &Graph, _told: &BTreeSet<Goid>) -> Vec<Finding> {
        let starved: Vec<&Goroutine> = users(process).filter(|one| one.busy.runnable >= LOOKS).collect();
        let Some(first) = starved.first() else { return Vec::new() };
        let evidence = Evidence::Runnable(starved.len() as u64, first.busy.runnable);
        vec![finding(&STARVATION, first.since, &starved, evidence)]
    }
}

impl Detector for LockContention {
    fn rule(&self) -> &'static Rule {
        &LOCK_CONTENTION
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
        waiters.retain(|_, waiting| waiting.len() >= CROWD);
        self.crowded.retain(|object, _| waiters.contains_key(object));
        let mut findings = Vec::new();
        for (object, waiting) in waiters {
            let (looks, since) = self.crowded.entry(object).or_insert((0, at));
            *looks += 1;
            if *looks >= LOOKS {
                let evidence = Evidence::Crowd(object, waiting.len() as u64, *looks);
                let mut found = finding(&LOCK_CONTENTION, *since, &waiting, evidence);
                let holders = process.goroutines().flat_map(|one| &one.holds);
                let address = |hold: &&crate::target::reach::Hold| matches!(object, Object::Sync(_, address) if address == hold.address);
                found.evidence.extend(holders.filter(address).map(|hold| Evidence::Holds(*hold)));
                found.objects = vec![object];
                found.identity = vec![identity(object)];
                findings.push(found);
            }
        }
        findings
    }
}

impl Detector for UnboundedGrowth {
    fn rule(&self) -> &'static Rule {
        &UNBOUNDED_GROWTH
    }

    fn check(&mut self, process: &Process, _graph: &Graph, _told: &BTreeSet<Goid>) -> Vec<Finding> {
        let at = process.snapshot().unwrap_or_default();
        self.looks += 1;
        let mut now: BTreeMap<RuntimeAddr, Vec<&Goroutine>> = BTreeMap::new();
        for goroutine in users(process) {
            if let Some(created) = goroutine.created_at {
                now.entry(created).or_default().push(goroutine);
            }
        }
        self.seen.retain(|created, _| now.contains_key(created));
        let mut findings = Vec::new();
        for (created, goroutines) in now {
            let count = goroutines.len() as u64;
            let new = Trend { first: count, last: count, risen: 0, since: at };
            let trend = self.seen.entry(created).or_insert(new);
            if count > trend.last {
                (trend.risen, trend.last) = (trend.risen + 1, count);
            } else if count < trend.last {
                *trend = new;
            }
            if trend.risen >= LOOKS - 1 && count - trend.first >= GROWTH {
                let evidence = Evidence::Growth(trend.first, count, at.0.saturating_sub(trend.since.0));
                let mut found = finding(&UNBOUNDED_GROWTH, trend.since, &goroutines, evidence);
                found.identity = vec![created.0];
                findings.push(found);
            }
        }
        findings
    }
}

/// The program's own goroutines that live.
fn users(process: &Process) -> impl Iterator<Item = &Goroutine> {
    process.goroutines().filter(|one| one.is_live() && one.system == Some(false))
}

fn identity(object: Object) -> u64 {
    match object {
        Object::Channel(address) => address.0,
        Object::Sync(_, address) => address.0,
    }
}

fn finding(
    rule: &'static Rule,
    since: MonotonicNs,
    goroutines: &[&Goroutine],
    evidence: Evidence,
) -> Finding {
    let mut goroutines = goroutines.to_vec();
    goroutines.sort_unstable_by_key(|one| one.goid);
    Finding {
        rule,
        confidence: Confidence::Suspected,
        since,
        opened: MonotonicNs::default(),
        more: goroutines.len().saturating_sub(MOST_NAMED) as u64,
        identity: goroutines.iter().take(1).map(|one| one.goid.0).collect(),
        goroutines: goroutines.iter().take(MOST_NAMED).map(|one| Involved::of(one)).collect(),
        objects: Vec::new(),
        evidence: vec![evidence],
    }
}
