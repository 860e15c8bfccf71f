//! `goroutine-leak`: goroutines that wait where nobody can come any more.

use super::graph::{LOOKS, is_stranded, objects};
use super::rule::{GOROUTINE_LEAK, Rule};
use super::{Confidence, Detector, Evidence, Finding, Graph, Involved};
use crate::binary::addr::RuntimeAddr;
use crate::model::{Goroutine, Object, Process, State};
use crate::target::id::{Goid, MonotonicNs, SyncPrimitive};
use crate::target::snapshot::{BlockedOn, Direction};
use std::collections::{BTreeMap, BTreeSet};

/// Goroutines of one place that are named.
pub(super) const MOST_NAMED: usize = 64;

/// So many looks are long: two seconds and a half at the pace of `goflow check`.
const LONG: u32 = 5;

/// Frames that make a place.
const FRAMES: usize = 12;

pub(super) struct Leak;

impl Detector for Leak {
    fn rule(&self) -> &'static Rule {
        &GOROUTINE_LEAK
    }

    fn check(&mut self, process: &Process, graph: &Graph, told: &BTreeSet<Goid>) -> Vec<Finding> {
        let mut places: BTreeMap<Vec<u64>, Vec<&Goroutine>> = BTreeMap::new();
        for goroutine in process.goroutines() {
            let is_stuck = goroutine.state == State::Waiting && goroutine.system == Some(false);
            if is_stuck
                && is_stranded(goroutine)
                && !told.contains(&goroutine.goid)
                && !is_parked_on_purpose(goroutine)
            {
                places.entry(place(goroutine)).or_default().push(goroutine);
            }
        }
        let mut findings: Vec<Finding> =
            places.into_iter().filter_map(|(place, goroutines)| finding(place, goroutines, graph)).collect();
        findings.extend(suspicions(process, graph, told));
        findings
    }
}

/// Who waits for long where somebody could come, but nobody is seen who would: for what only code names that has run, for a lock
/// that nobody is known to hold, or for a receiver where none has come.
fn suspicions(process: &Process, graph: &Graph, told: &BTreeSet<Goid>) -> Vec<Finding> {
    // Who has it, or will give it back all the same.
    let returns = |one: &Goroutine| {
        let foreign = one.foreign.iter().filter_map(|foreign| foreign.address);
        one.holds.iter().map(|hold| hold.address).chain(foreign).collect::<Vec<_>>()
    };
    let held: BTreeSet<RuntimeAddr> = process.goroutines().flat_map(returns).collect();
    let mut places: BTreeMap<Vec<u64>, (Vec<&Goroutine>, Evidence)> = BTreeMap::new();
    for goroutine in process.goroutines() {
        let is_user = goroutine.state == State::Waiting && goroutine.system == Some(false);
        if !is_user || is_stranded(goroutine) || told.contains(&goroutine.goid) {
            continue;
        }
        let Some(wait) = goroutine.wait.as_deref() else { continue };
        if wait.unnamed >= LOOKS && !is_parked_on_purpose(goroutine) {
            let evidence = Evidence::NobodyNames(goroutine.goid);
            places.entry(place(goroutine)).or_insert((Vec::new(), evidence)).0.push(goroutine);
            continue;
        }
        let [on] = wait.on.as_slice() else { continue };
        if wait.looks < LONG {
            continue;
        }
        let evidence = match (on.on, on.direction, on.address, Object::of(on)) {
            (
                BlockedOn::Sync(SyncPrimitive::Mutex | SyncPrimitive::RwMutex),
                _,
                Some(address),
                Some(object),
            ) if !held.contains(&address) => Evidence::Orphaned(object),
            (BlockedOn::Channel, Some(Direction::Send), Some(_), _) => {
                Evidence::Untaken(goroutine.goid, wait.looks)
            }
            _ => continue,
        };
        places.entry(place(goroutine)).or_insert((Vec::new(), evidence)).0.push(goroutine);
    }
    let suspicion = |(place, (goroutines, evidence)): (Vec<u64>, (Vec<&Goroutine>, Evidence))| {
        let mut found = finding(place, goroutines, graph)?;
        found.confidence = Confidence::Suspected;
        let first = found.goroutines.first()?.goid;
        found.evidence[1] = match evidence {
            Evidence::Untaken(_, looks) => Evidence::Untaken(first, looks),
            Evidence::NobodyNames(_) => Evidence::NobodyNames(first),
            other => other,
        };
        Some(found)
    };
    places.into_iter().filter_map(suspicion).collect()
}

/// The first goroutine in `select {}`, or at a nil channel: the program is to live until it is ended.
fn is_parked_on_purpose(goroutine: &Goroutine) -> bool {
    goroutine.goid == Goid(1) && objects(goroutine).is_empty()
}

fn is_behind_lock(goroutine: &Goroutine) -> bool {
    goroutine.wait.iter().filter_map(|wait| wait.unreachable.as_ref()).any(|one| one.by_lock)
}

/// Where it was created, and where it stands.
pub(super) fn place(goroutine: &Goroutine) -> Vec<u64> {
    let word = |address: Option<RuntimeAddr>| address.map_or(0, |address| address.0);
    let stack = goroutine.wait.iter().flat_map(|wait| &wait.stack).take(FRAMES);
    std::iter::once(word(goroutine.created_at)).chain(stack.map(|pc| pc.0)).collect()
}

fn finding(place: Vec<u64>, mut goroutines: Vec<&Goroutine>, graph: &Graph) -> Option<Finding> {
    goroutines.sort_unstable_by_key(|goroutine| goroutine.goid);
    let since = goroutines.iter().filter_map(|one| one.wait.as_ref()).map(|wait| wait.since).min()?;
    let is_proven = |goroutine: &&Goroutine| {
        let unreachable = goroutine.wait.as_ref().and_then(|wait| wait.unreachable.as_ref());
        unreachable.is_some_and(|one| one.is_proven)
    };
    let confidence = if goroutines.iter().all(is_proven) { Confidence::Proven } else { Confidence::Likely };
    let first = *goroutines.first()?;
    let awaited = objects(first);
    let mut evidence = vec![Evidence::Waits(first.goid, awaited.clone())];
    let holder = || graph.links(first.goid).iter().find_map(|link| link.hold);
    evidence.push(match holder().filter(|_| is_behind_lock(first)) {
        Some(hold) => Evidence::Holds(hold),
        None if awaited.is_empty() => Evidence::Nothing(first.goid),
        None => Evidence::NobodyReaches(first.goid),
    });
    if goroutines.len() > 1 {
        evidence.push(Evidence::Alike(goroutines.len() as u64));
    }
    Some(Finding {
        rule: &GOROUTINE_LEAK,
        confidence,
        since,
        opened: MonotonicNs::default(),
        more: goroutines.len().saturating_sub(MOST_NAMED) as u64,
        goroutines: goroutines.iter().take(MOST_NAMED).map(|goroutine| Involved::of(goroutine)).collect(),
        functions: Vec::new(),
        objects: awaited,
        evidence,
        identity: place,
    })
}
