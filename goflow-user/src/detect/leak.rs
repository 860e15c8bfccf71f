//! `goroutine-leak`: goroutines that wait where nobody can come any more.

use super::rule::{GOROUTINE_LEAK, Rule};
use super::survey::{Survey, first, objects};
use super::{Confidence, Detector, Evidence, Finding, Graph, Involved};
use crate::binary::addr::RuntimeAddr;
use crate::model::{Goroutine, Object, State};
use crate::target::id::{Goid, MonotonicNs, SyncPrimitive};
use crate::target::snapshot::{BlockedOn, Direction};
use foldhash::{HashMap, HashMapExt};
use std::collections::BTreeSet;

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

    fn check(&mut self, survey: &Survey<'_>, told: &BTreeSet<Goid>) -> Vec<Finding> {
        let is_meant =
            |one: &&&Goroutine| is_stuck(one) && !told.contains(&one.goid) && !is_parked_on_purpose(one);
        let places: Places<'_> = survey.stranded.iter().filter(is_meant).copied().collect();
        let findings = places.sorted().filter_map(|(place, all)| finding(place, &all, &survey.graph));
        let mut findings: Vec<Finding> = findings.collect();
        findings.extend(suspicions(survey, told));
        findings
    }
}

/// Who waits for long where somebody could come, but nobody is seen who would: for what only code names that has run, for a lock
/// that nobody is known to hold, or for a receiver where none has come.
fn suspicions(survey: &Survey<'_>, told: &BTreeSet<Goid>) -> Vec<Finding> {
    let of_wait = |one: &Goroutine| {
        let wait = one.wait.as_deref()?;
        if wait.unnamed >= survey.looks_needed && !is_parked_on_purpose(one) {
            return Some(Evidence::NobodyNames(one.goid));
        }
        let [on] = wait.on.as_slice() else { return None };
        let object = Object::of(on).filter(|_| wait.looks >= LONG)?;
        match (on.on, on.direction) {
            (BlockedOn::Sync(SyncPrimitive::Mutex | SyncPrimitive::RwMutex), _) => {
                (!is_given_back(survey, object)).then_some(Evidence::Orphaned(object))
            }
            (BlockedOn::Channel, Some(Direction::Send)) => Some(Evidence::Untaken(one.goid, wait.looks)),
            _ => None,
        }
    };
    let is_meant =
        |one: &&&Goroutine| !survey.is_stranded(one) && !told.contains(&one.goid) && of_wait(one).is_some();
    let mut asked: Vec<&Goroutine> =
        survey.unnamed.iter().chain(&survey.in_need).filter(is_meant).copied().collect();
    asked.sort_unstable_by_key(|one| one.goid);
    asked.dedup_by_key(|one| one.goid);
    let places: Places<'_> = asked.into_iter().collect();
    let suspicion = |(place, goroutines): (Vec<u64>, Vec<&Goroutine>)| {
        let mut found = finding(place, &goroutines, &survey.graph)?;
        found.confidence = Confidence::Suspected;
        found.evidence[1] = of_wait(survey.process.goroutine(found.goroutines.first()?.goid)?)?;
        Some(found)
    };
    places.sorted().filter_map(suspicion).collect()
}

/// Somebody has this lock, or will give it back all the same.
fn is_given_back(survey: &Survey<'_>, lock: Object) -> bool {
    let mut foreign = survey.foreign.iter().flat_map(|one| &one.foreign);
    !survey.holders(lock).is_empty() || foreign.any(|foreign| foreign.address == Some(lock.address()))
}

/// It waits, and is the program's own.
pub(super) fn is_stuck(goroutine: &Goroutine) -> bool {
    goroutine.state == State::Waiting && goroutine.system == Some(false)
}

/// The first goroutine in `select {}`, or at a nil channel: the program is to live until it is ended.
fn is_parked_on_purpose(goroutine: &Goroutine) -> bool {
    goroutine.goid == Goid(1) && objects(goroutine).is_empty()
}

fn is_behind_lock(goroutine: &Goroutine) -> bool {
    goroutine.wait.iter().filter_map(|wait| wait.unreachable.as_ref()).any(|one| one.by_lock)
}

/// Goroutines by where they were created and where they stand.
pub(super) struct Places<'p>(HashMap<Place<'p>, Vec<&'p Goroutine>>);

/// The return address of the `go` statement, and the innermost frames.
type Place<'p> = (Option<RuntimeAddr>, &'p [RuntimeAddr]);

impl<'p> FromIterator<&'p Goroutine> for Places<'p> {
    fn from_iter<I: IntoIterator<Item = &'p Goroutine>>(goroutines: I) -> Self {
        let mut places: HashMap<Place<'p>, Vec<&'p Goroutine>> = HashMap::new();
        for goroutine in goroutines {
            let stack = goroutine.wait.as_ref().map_or(&[][..], |wait| wait.stack.as_slice());
            let place = (goroutine.created_at, &stack[..stack.len().min(FRAMES)]);
            places.entry(place).or_default().push(goroutine);
        }
        Self(places)
    }
}

impl<'p> Places<'p> {
    /// Each in the words that are the same about it at each look, in their order.
    pub(super) fn sorted(self) -> impl Iterator<Item = (Vec<u64>, Vec<&'p Goroutine>)> {
        let words = |(created, stack): Place<'_>| -> Vec<u64> {
            let created = created.map_or(0, |created| created.0);
            std::iter::once(created).chain(stack.iter().map(|pc| pc.0)).collect()
        };
        let mut places: Vec<_> = self.0.into_iter().map(|(place, all)| (words(place), all)).collect();
        places.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        places.into_iter()
    }
}

fn finding(place: Vec<u64>, goroutines: &[&Goroutine], graph: &Graph) -> Option<Finding> {
    let waits = || goroutines.iter().filter_map(|one| one.wait.as_deref());
    let since = waits().map(|wait| wait.since).min()?;
    let is_proven = waits().all(|wait| wait.unreachable.as_ref().is_some_and(|one| one.is_proven));
    let confidence = if is_proven { Confidence::Proven } else { Confidence::Likely };
    let named = first(goroutines, MOST_NAMED);
    let first = *named.first()?;
    let awaited = objects(first);
    let mut evidence = vec![Evidence::Waits(first.goid, awaited.clone())];
    let holder = || graph.links(first.goid).find_map(|link| link.hold);
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
        more: (goroutines.len() - named.len()) as u64,
        goroutines: named.into_iter().map(Involved::of).collect(),
        functions: Vec::new(),
        objects: awaited,
        evidence,
        identity: place,
    })
}
