//! `goroutine-leak`: goroutines that wait where nobody can come any more.

use super::graph::{is_stranded, objects};
use super::rule::{GOROUTINE_LEAK, Rule};
use super::{Confidence, Detector, Evidence, Finding, Graph, Involved};
use crate::binary::addr::RuntimeAddr;
use crate::model::{Goroutine, Process, State};
use crate::target::id::{Goid, MonotonicNs};
use std::collections::{BTreeMap, BTreeSet};

/// Goroutines of one place that are named.
const MOST_NAMED: usize = 64;

/// Frames that make a place.
const FRAMES: usize = 12;

pub(super) struct Leak;

impl Detector for Leak {
    fn rule(&self) -> &'static Rule {
        &GOROUTINE_LEAK
    }

    fn check(&self, process: &Process, _graph: &Graph, told: &BTreeSet<Goid>) -> Vec<Finding> {
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
        places.into_iter().filter_map(|(place, goroutines)| finding(place, goroutines)).collect()
    }
}

/// The first goroutine in `select {}`, or at a nil channel: the program is to live until it is ended.
fn is_parked_on_purpose(goroutine: &Goroutine) -> bool {
    goroutine.goid == Goid(1) && objects(goroutine).is_empty()
}

/// Where it was created, and where it stands.
fn place(goroutine: &Goroutine) -> Vec<u64> {
    let word = |address: Option<RuntimeAddr>| address.map_or(0, |address| address.0);
    let stack = goroutine.wait.iter().flat_map(|wait| &wait.stack).take(FRAMES);
    std::iter::once(word(goroutine.created_at)).chain(stack.map(|pc| pc.0)).collect()
}

fn finding(place: Vec<u64>, mut goroutines: Vec<&Goroutine>) -> Option<Finding> {
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
    evidence.push(if awaited.is_empty() {
        Evidence::Nothing(first.goid)
    } else {
        Evidence::NobodyReaches(first.goid)
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
        objects: awaited,
        evidence,
        identity: place,
    })
}
