//! `mutex-unlocked-by-other`: a goroutine gives back a lock that it has not taken, so another one has.
//!
//! Go allows it: a mutex belongs to no goroutine. What is found is told as long as the process is looked at, because goroutines that
//! do so come and go.

use super::rule::{MUTEX_UNLOCKED_BY_OTHER, Rule};
use super::{Confidence, Detector, Evidence, Finding, Involved, Survey};
use crate::binary::addr::RuntimeAddr;
use crate::model::{Goroutine, Object, Process};
use crate::target::id::{Goid, MonotonicNs};
use crate::target::reach::Foreign;
use std::collections::{BTreeMap, BTreeSet};

/// Goroutines of one place that are named.
const MOST_NAMED: usize = 8;

/// Places that are kept.
const MOST_PLACES: usize = 256;

/// By where it is unlocked.
#[derive(Default)]
pub(super) struct MutexUnlockedByOther(BTreeMap<RuntimeAddr, Finding>);

impl Detector for MutexUnlockedByOther {
    fn rule(&self) -> &'static Rule {
        &MUTEX_UNLOCKED_BY_OTHER
    }

    fn has_its_goroutines_alone(&self) -> bool {
        false
    }

    fn check(&mut self, survey: &Survey<'_>, _told: &BTreeSet<Goid>) -> Vec<Finding> {
        for goroutine in &survey.foreign {
            for foreign in &goroutine.foreign {
                self.note(survey.process, goroutine, *foreign);
            }
        }
        self.0.values().cloned().collect()
    }
}

impl MutexUnlockedByOther {
    fn note(&mut self, process: &Process, goroutine: &Goroutine, foreign: Foreign) {
        let (has_room, has_lock) = (self.0.len() < MOST_PLACES, foreign.address.is_some());
        match self.0.get_mut(&foreign.at) {
            // Seen at it for the first time, it is told by that goroutine and that lock.
            Some(known) if has_lock && known.objects.is_empty() => {
                *known = Finding { since: known.since, ..finding(process, goroutine, foreign) };
            }
            Some(known) => add(known, goroutine),
            None if has_room => _ = self.0.insert(foreign.at, finding(process, goroutine, foreign)),
            None => {}
        }
    }
}

/// One more goroutine that does the same.
fn add(finding: &mut Finding, goroutine: &Goroutine) {
    let at = finding.goroutines.first().map(|first| first.stack.clone()).unwrap_or_default();
    let is_named = finding.goroutines.iter().any(|one| one.goid == goroutine.goid);
    if !is_named && finding.goroutines.len() < MOST_NAMED {
        finding.goroutines.push(involved(goroutine, at));
    }
}

fn involved(goroutine: &Goroutine, stack: Vec<RuntimeAddr>) -> Involved {
    Involved { goid: goroutine.goid, stack, is_passing: false, created_at: goroutine.created_at }
}

fn finding(process: &Process, goroutine: &Goroutine, foreign: Foreign) -> Finding {
    let object = foreign.address.map(|address| Object::Sync(foreign.kind, address));
    let mut evidence = vec![Evidence::Unlocks(goroutine.goid, foreign.kind, foreign.at)];
    if let Some(object) = object {
        evidence.push(Evidence::WillUnlock(object, goroutine.goid));
    }
    Finding {
        rule: &MUTEX_UNLOCKED_BY_OTHER,
        confidence: if object.is_some() { Confidence::Likely } else { Confidence::Suspected },
        since: process.snapshot().unwrap_or(goroutine.since),
        opened: MonotonicNs::default(),
        goroutines: vec![involved(goroutine, vec![foreign.at])],
        more: 0,
        functions: Vec::new(),
        objects: object.into_iter().collect(),
        evidence,
        identity: vec![foreign.at.0],
    }
}
