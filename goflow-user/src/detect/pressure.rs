//! `slow-consumer`, `slow-producer`: a channel through which values go, and one side of which always waits for the other.
//!
//! That values go is seen by who waits: whoever waited at the look before and does not, or waits anew, was served in between; and
//! by the places in the buffer. In a `select` a goroutine may have taken another way, so only those count that wait for this one
//! channel.

use super::recent::Recent;
use super::rule::{Rule, SLOW_CONSUMER, SLOW_PRODUCER};
use super::stall::{Group, finding};
use super::survey::{Survey, Waiter};
use super::{Detector, Evidence, Finding, Needs, Thresholds};
use crate::model::Object;
use crate::target::id::{ChanAddr, Goid, MonotonicNs};
use crate::target::snapshot::Direction;
use std::collections::{BTreeMap, BTreeSet};

/// Goroutines at the other end that are named.
const MOST_AT_HAND: usize = 3;

/// One side of a channel, from look to look.
struct Side {
    /// Many wait.
    crowded: Recent,
    /// At how many looks in a row the very same ones did.
    same: u32,
    /// Between how many looks values went, and of how many.
    flows: (u32, u32),
    /// Who waited at the last look, by goid.
    waited: Vec<Goid>,
    /// Who waited when there were many.
    group: Group,
}

impl Side {
    fn first(waiting: &[&Waiter<'_>], at: MonotonicNs, looks: u32) -> Self {
        Self {
            crowded: Recent::first(at, looks),
            same: 1,
            flows: (0, 0),
            waited: waiting.iter().map(|one| one.goid).collect(),
            group: group(waiting),
        }
    }

    /// Another look; `has_moved` tells that the buffer is another than it was.
    fn look(&mut self, waiting: &[&Waiter<'_>], is_crowded: bool, has_moved: bool) {
        let now: Vec<Goid> = waiting.iter().map(|one| one.goid).collect();
        let waited = |goid: &Goid| self.waited.binary_search(goid).is_ok();
        let is_anew = |one: &&Waiter<'_>| one.is_anew && waited(&one.goid);
        let has_left = || self.waited.iter().any(|goid| now.binary_search(goid).is_err());
        let flows = has_moved || waiting.iter().any(is_anew) || now != self.waited && has_left();
        self.flows = (self.flows.0 + u32::from(flows), self.flows.1 + 1);
        self.same = if now == self.waited { self.same.saturating_add(1) } else { 1 };
        self.crowded.look(is_crowded);
        self.waited = now;
        if is_crowded {
            self.group = group(waiting);
        }
    }

    /// Values went between most looks.
    fn flows(&self) -> bool {
        self.flows.0 >= 2 && self.flows.0 * 2 > self.flows.1
    }
}

fn group(waiting: &[&Waiter<'_>]) -> Group {
    Group::of(&waiting.iter().map(|one| one.goroutine).collect::<Vec<_>>())
}

/// Every channel of which one side has had many waiters lately, from look to look.
struct Sides {
    direction: Direction,
    /// So many are many.
    crowd: u64,
    looks: u32,
    seen: BTreeMap<ChanAddr, Side>,
}

impl Sides {
    fn new(direction: Direction, crowd: u64, looks: u32) -> Self {
        Self { direction, crowd, looks, seen: BTreeMap::new() }
    }

    fn look(&mut self, survey: &Survey<'_>, told: &BTreeSet<Goid>) {
        let is_meant = |one: &&Waiter<'_>| one.is_at(self.direction) && !told.contains(&one.goid);
        for (address, side) in &mut self.seen {
            let waiting = survey.at(Object::Channel(*address));
            let waiting: Vec<_> = waiting.iter().filter(is_meant).collect();
            let moved = survey.process.channel(*address).and_then(|channel| channel.moved);
            let has_moved = moved.is_some_and(|moved| moved >= survey.at);
            side.look(&waiting, waiting.len() as u64 >= self.crowd, has_moved);
        }
        for waiting in survey.by_object().filter(|waiting| waiting.len() as u64 >= self.crowd) {
            let Object::Channel(address) = waiting[0].object else { continue };
            if self.seen.contains_key(&address) {
                continue;
            }
            let waiting: Vec<_> = waiting.iter().filter(is_meant).collect();
            if waiting.len() as u64 >= self.crowd {
                self.seen.insert(address, Side::first(&waiting, survey.at, self.looks));
            }
        }
        self.seen.retain(|_, side| !side.crowded.is_over());
    }

    /// A finding of each that is so.
    fn findings(&self, rule: &'static Rule, is_so: impl Fn(&Side) -> bool) -> Vec<(ChanAddr, Finding)> {
        let found = self.seen.iter().filter(|(_, side)| is_so(side));
        found.map(|(address, side)| (*address, self.describe(rule, *address, side))).collect()
    }

    fn describe(&self, rule: &'static Rule, address: ChanAddr, side: &Side) -> Finding {
        let (object, crowded) = (Object::Channel(address), side.crowded);
        let evidence =
            Evidence::Pressed(object, self.direction, side.group.count, crowded.hits(), crowded.looks());
        let mut found = finding(rule, crowded.since, side.group.clone(), evidence);
        found.objects = vec![object];
        found.identity = vec![address.0];
        found
    }
}

pub(super) struct SlowConsumer(Sides);

impl SlowConsumer {
    pub(super) fn new(thresholds: Thresholds) -> Self {
        Self(Sides::new(Direction::Send, thresholds.senders, thresholds.looks))
    }
}

impl Detector for SlowConsumer {
    fn rule(&self) -> &'static Rule {
        &SLOW_CONSUMER
    }

    fn needs(&self) -> Needs {
        Needs::Looks
    }

    fn compares(&self) -> u32 {
        self.0.looks
    }

    fn check(&mut self, survey: &Survey<'_>, told: &BTreeSet<Goid>) -> Vec<Finding> {
        self.0.look(survey, told);
        let slow = self.0.findings(&SLOW_CONSUMER, |side| side.crowded.is_usual() && side.flows());
        let with_consumers = |(address, mut found): (ChanAddr, Finding)| {
            let object = Object::Channel(address);
            let at_hand = survey.process.channel(address).into_iter().flat_map(|channel| &channel.at_hand);
            let waits = |goid: &Goid| survey.at(object).binary_search_by_key(goid, |one| one.goid).is_ok();
            let is_named = |goid: &Goid| found.goroutines.iter().any(|one| one.goid == *goid);
            let others = at_hand.filter(|goid| !waits(goid) && !is_named(goid)).take(MOST_AT_HAND);
            let others: Vec<Goid> = others.copied().collect();
            found.evidence.extend(others.into_iter().map(|goid| Evidence::AtHand(object, goid)));
            found
        };
        slow.into_iter().map(with_consumers).collect()
    }
}

pub(super) struct SlowProducer(Sides);

impl SlowProducer {
    pub(super) fn new(thresholds: Thresholds) -> Self {
        Self(Sides::new(Direction::Receive, thresholds.receivers, thresholds.looks))
    }
}

impl Detector for SlowProducer {
    fn rule(&self) -> &'static Rule {
        &SLOW_PRODUCER
    }

    fn needs(&self) -> Needs {
        Needs::Looks
    }

    fn compares(&self) -> u32 {
        self.0.looks
    }

    fn check(&mut self, survey: &Survey<'_>, told: &BTreeSet<Goid>) -> Vec<Finding> {
        self.0.look(survey, told);
        // Workers of whom one is seen at work now and then are enough, and not too many. Where nothing comes they are idle.
        let is_steady = |side: &Side| side.flows.0 == side.flows.1 && side.flows.1 > 0;
        let slow = self.0.findings(&SLOW_PRODUCER, |side| side.same >= self.0.looks && is_steady(side));
        slow.into_iter().map(|(_, found)| found).collect()
    }
}
