//! `channel-not-closed`: goroutines that take values until their channel is closed, which nobody can do any more.
//!
//! They are stuck, so `goroutine-leak` has them as well; this names the channel, because to close it is what mends that.

use super::graph::{is_stranded, objects};
use super::leak::{MOST_NAMED, place};
use super::rule::{CHANNEL_NOT_CLOSED, Rule};
use super::{Confidence, Detector, Evidence, Finding, Graph, Involved};
use crate::model::{Goroutine, Object, Process, State, Unreachable};
use crate::target::id::{Goid, MonotonicNs};
use std::collections::{BTreeMap, BTreeSet};

pub(super) struct ChannelNotClosed;

impl Detector for ChannelNotClosed {
    fn rule(&self) -> &'static Rule {
        &CHANNEL_NOT_CLOSED
    }

    fn has_its_goroutines_alone(&self) -> bool {
        false
    }

    fn check(&mut self, process: &Process, _graph: &Graph, told: &BTreeSet<Goid>) -> Vec<Finding> {
        let mut places: BTreeMap<Vec<u64>, Vec<&Goroutine>> = BTreeMap::new();
        for goroutine in process.goroutines() {
            let is_stuck = goroutine.state == State::Waiting && goroutine.system == Some(false);
            if is_stuck
                && is_stranded(goroutine)
                && !told.contains(&goroutine.goid)
                && unreachable(goroutine).is_some_and(|one| one.awaits_close && !one.by_lock)
                // A nil channel cannot be closed.
                && !objects(goroutine).is_empty()
            {
                places.entry(place(goroutine)).or_default().push(goroutine);
            }
        }
        places.into_iter().filter_map(|(place, goroutines)| finding(process, place, goroutines)).collect()
    }
}

fn unreachable(goroutine: &Goroutine) -> Option<&Unreachable> {
    goroutine.wait.as_ref()?.unreachable.as_ref()
}

fn finding(process: &Process, place: Vec<u64>, mut goroutines: Vec<&Goroutine>) -> Option<Finding> {
    goroutines.sort_unstable_by_key(|goroutine| goroutine.goid);
    let first = *goroutines.first()?;
    let since = goroutines.iter().filter_map(|one| one.wait.as_ref()).map(|wait| wait.since).min()?;
    let channels: BTreeSet<Object> =
        goroutines.iter().take(MOST_NAMED).flat_map(|one| objects(one)).collect();
    let is_proven = |one: &&Goroutine| unreachable(one).is_some_and(|one| one.is_proven);
    let mut evidence = vec![Evidence::Waits(first.goid, objects(first)), Evidence::AwaitsClose(first.goid)];
    if let [Object::Channel(address)] = objects(first)[..] {
        let made = process.channel(address).and_then(|channel| channel.made);
        evidence.extend(
            made.and_then(|made| Some(Evidence::Made(Object::Channel(address), made.by, made.site?))),
        );
    }
    if goroutines.len() > 1 {
        evidence.push(Evidence::Alike(goroutines.len() as u64));
    }
    Some(Finding {
        rule: &CHANNEL_NOT_CLOSED,
        confidence: if goroutines.iter().all(is_proven) { Confidence::Proven } else { Confidence::Likely },
        since,
        opened: MonotonicNs::default(),
        more: goroutines.len().saturating_sub(MOST_NAMED) as u64,
        goroutines: goroutines.iter().take(MOST_NAMED).map(|goroutine| Involved::of(goroutine)).collect(),
        functions: Vec::new(),
        objects: channels.into_iter().collect(),
        evidence,
        identity: place,
    })
}
