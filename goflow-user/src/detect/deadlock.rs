//! `deadlock`: every goroutine of the program waits for another, and the process lives on.

use super::rule::{DEADLOCK, Rule};
use super::survey::{Survey, objects};
use super::{Confidence, Detector, Evidence, Finding, Graph, Involved};
use crate::model::Goroutine;
use crate::target::id::{Goid, MonotonicNs};
use std::collections::BTreeSet;

/// Goroutines that are named.
const MOST_NAMED: usize = 256;

/// Holders of a lock that are named; a thousand may read.
pub(super) const MOST_HOLDERS: usize = 8;

pub(super) struct Deadlock;

impl Detector for Deadlock {
    fn rule(&self) -> &'static Rule {
        &DEADLOCK
    }

    fn check(&mut self, survey: &Survey<'_>, _told: &BTreeSet<Goid>) -> Vec<Finding> {
        if !survey.process.is_asleep() {
            return Vec::new();
        }
        let mut stuck = survey.stranded.clone();
        stuck.sort_unstable_by_key(|goroutine| goroutine.goid);
        finding(&survey.graph, &stuck).into_iter().collect()
    }
}

fn finding(graph: &Graph, stuck: &[&Goroutine]) -> Option<Finding> {
    let since = stuck.iter().filter_map(|one| one.wait.as_ref()).map(|wait| wait.since).max()?;
    let mut evidence = vec![Evidence::AllAsleep(stuck.len() as u64)];
    let mut seen = BTreeSet::new();
    for goroutine in stuck.iter().take(MOST_NAMED) {
        seen.extend(objects(goroutine));
        evidence.push(Evidence::Waits(goroutine.goid, objects(goroutine)));
        let holds = graph.links(goroutine.goid).filter_map(|link| link.hold);
        evidence.extend(holds.take(MOST_HOLDERS).map(Evidence::Holds));
    }
    let is_proven = stuck.iter().all(|one| {
        one.wait.as_ref().and_then(|wait| wait.unreachable.as_ref()).is_some_and(|one| one.is_proven)
    });
    Some(Finding {
        rule: &DEADLOCK,
        confidence: if is_proven { Confidence::Proven } else { Confidence::Likely },
        since,
        opened: MonotonicNs::default(),
        goroutines: stuck.iter().take(MOST_NAMED).map(|goroutine| Involved::of(goroutine)).collect(),
        more: stuck.len().saturating_sub(MOST_NAMED) as u64,
        functions: Vec::new(),
        objects: seen.into_iter().collect(),
        evidence,
        identity: Vec::new(),
    })
}
