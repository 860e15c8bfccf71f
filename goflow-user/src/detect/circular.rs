//! `circular-wait`: goroutines each of which waits for the next, and the last for the first; or one for itself.

use super::graph::LOOKS;
use super::rule::{CIRCULAR_WAIT, Rule};
use super::survey::{Survey, objects};
use super::{Confidence, Detector, Evidence, Finding, Involved, Link};
use crate::target::id::{Goid, MonotonicNs};
use std::collections::BTreeSet;

/// Goroutines that are named beside those of the cycle.
const MOST_BEHIND: usize = 64;

pub(super) struct CircularWait;

impl Detector for CircularWait {
    fn rule(&self) -> &'static Rule {
        &CIRCULAR_WAIT
    }

    fn check(&mut self, survey: &Survey<'_>, told: &BTreeSet<Goid>) -> Vec<Finding> {
        let is_told = |cycle: &[(Goid, Link)]| cycle.iter().any(|(goid, _)| told.contains(goid));
        let cycles = survey.graph.cycles().into_iter().filter(|cycle| !is_told(cycle));
        cycles.filter_map(|cycle| finding(survey, &cycle)).collect()
    }
}

fn finding(survey: &Survey<'_>, cycle: &[(Goid, Link)]) -> Option<Finding> {
    let process = survey.process;
    let members: BTreeSet<Goid> = cycle.iter().map(|(goid, _)| *goid).collect();
    let (mut goroutines, mut evidence, mut seen) = (Vec::new(), Vec::new(), BTreeSet::new());
    let (mut since, mut confidence) = (None, Confidence::Proven);
    for (goid, link) in cycle {
        let goroutine = process.goroutine(*goid)?;
        let wait = goroutine.wait.as_deref()?;
        // One look at a process that moves is none.
        if wait.looks < LOOKS && !wait.unreachable.as_ref().is_some_and(|one| one.is_proven) {
            return None;
        }
        if !wait.unreachable.as_ref().is_some_and(|one| one.is_proven) {
            confidence = confidence.min(Confidence::Likely);
        }
        // That nobody can wake it is known without the lock; otherwise all depends on which lock it is, or on who else comes.
        if !survey.is_stranded(goroutine) && link.hold.is_none_or(|hold| !hold.is_certain) {
            confidence = Confidence::Suspected;
        }
        since = since.max(Some(wait.since));
        seen.extend(objects(goroutine));
        evidence.push(Evidence::Waits(*goid, objects(goroutine)));
        evidence.push(match link.hold {
            Some(hold) => Evidence::Holds(hold),
            None if !survey.is_stranded(goroutine) => Evidence::Seen(link.object, link.to),
            None => Evidence::Needs(link.object, link.to),
        });
        goroutines.push(Involved::of(goroutine));
    }
    let behind = survey.graph.behind(&members);
    let stuck: Vec<_> = behind.iter().filter_map(|goid| process.goroutine(*goid)).collect();
    for goroutine in stuck.iter().take(MOST_BEHIND) {
        goroutines.push(Involved::of(goroutine));
    }
    if cycle.iter().all(|(goid, _)| process.goroutine(*goid).is_some_and(|one| survey.is_stranded(one))) {
        evidence.push(Evidence::NobodyReaches(cycle[0].0));
    }
    if !behind.is_empty() {
        evidence.push(Evidence::Behind(behind.len() as u64));
    }
    Some(Finding {
        rule: &CIRCULAR_WAIT,
        confidence,
        since: since?,
        opened: MonotonicNs::default(),
        goroutines,
        functions: Vec::new(),
        more: (behind.len().saturating_sub(MOST_BEHIND)) as u64,
        objects: seen.into_iter().collect(),
        evidence,
        identity: members.iter().map(|goid| goid.0).collect(),
    })
}
