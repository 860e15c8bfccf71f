//! `channel-not-closed`: goroutines that take values until their channel is closed, which nobody can do any more.
//!
//! They are stuck, so `goroutine-leak` has them as well; this names the channel, because to close it is what mends that.

use super::leak::{MOST_NAMED, Places, is_stuck};
use super::rule::{CHANNEL_NOT_CLOSED, Rule};
use super::survey::{Survey, first, objects};
use super::{Confidence, Detector, Evidence, Finding, Involved};
use crate::model::{Goroutine, Object, Unreachable};
use crate::target::id::{Goid, MonotonicNs};
use std::collections::BTreeSet;

pub(super) struct ChannelNotClosed;

impl Detector for ChannelNotClosed {
    fn rule(&self) -> &'static Rule {
        &CHANNEL_NOT_CLOSED
    }

    fn has_its_goroutines_alone(&self) -> bool {
        false
    }

    fn check(&mut self, survey: &Survey<'_>, told: &BTreeSet<Goid>) -> Vec<Finding> {
        let is_meant = |one: &&&Goroutine| {
            is_stuck(one)
                && !told.contains(&one.goid)
                && unreachable(one).is_some_and(|one| one.awaits_close && !one.by_lock)
                // A nil channel cannot be closed.
                && !objects(one).is_empty()
        };
        let places: Places<'_> = survey.stranded.iter().filter(is_meant).copied().collect();
        places.sorted().filter_map(|(place, goroutines)| finding(survey, place, &goroutines)).collect()
    }
}

fn unreachable(goroutine: &Goroutine) -> Option<&Unreachable> {
    goroutine.wait.as_ref()?.unreachable.as_ref()
}

fn finding(survey: &Survey<'_>, place: Vec<u64>, goroutines: &[&Goroutine]) -> Option<Finding> {
    let named = first(goroutines, MOST_NAMED);
    let first = *named.first()?;
    let since = goroutines.iter().filter_map(|one| one.wait.as_ref()).map(|wait| wait.since).min()?;
    let channels: BTreeSet<Object> = named.iter().flat_map(|one| objects(one)).collect();
    let is_proven = |one: &&Goroutine| unreachable(one).is_some_and(|one| one.is_proven);
    let mut evidence = vec![Evidence::Waits(first.goid, objects(first)), Evidence::AwaitsClose(first.goid)];
    if let [Object::Channel(address)] = objects(first)[..] {
        let made = survey.process.channel(address).and_then(|channel| channel.made);
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
        more: (goroutines.len() - named.len()) as u64,
        goroutines: named.into_iter().map(Involved::of).collect(),
        functions: Vec::new(),
        objects: channels.into_iter().collect(),
        evidence,
        identity: place,
    })
}
