//! `slow-consumer`, `slow-producer`: a channel through which values go, and one side of which always waits for the other.
//!
//! That values go is seen by who waits: whoever waited at the look before and does not, or waits anew, was served in between; and
//! by the places in the buffer. In a `select` a goroutine may have taken another way, so only those count that wait for this one
//! channel.

use super::recent::Recent;
use super::rule::{Rule, SLOW_CONSUMER, SLOW_PRODUCER};
use super::stall::{finding, identity, involved, users};
use super::{Detector, Evidence, Finding, Graph, Involved, Needs, Thresholds};
use crate::model::{Goroutine, Object, Process, State};
use crate::target::id::{ChanAddr, Goid, MonotonicNs};
use crate::target::snapshot::{BlockedOn, Direction};
use std::collections::{BTreeMap, BTreeSet};

/// Goroutines at the other end that are named.
const MOST_AT_HAND: usize = 3;

/// Who waits on one side of each channel, by channel.
type Waiters<'p> = BTreeMap<ChanAddr, Vec<&'p Goroutine>>;

/// One side of a channel, from look to look.
struct Side {
    /// Many wait.
    crowded: Recent,
    /// At how many looks in a row the very same ones did.
    same: u32,
    /// Between how many looks values went, and of how many.
    flows: (u32, u32),
    waited: BTreeSet<Goid>,
    goroutines: Vec<Involved>,
}

impl Side {
    fn first(waiting: &[&Goroutine], at: MonotonicNs, looks: u32) -> Self {
        let waited = waiting.iter().map(|one| one.goid).collect();
        Self {
            crowded: Recent::first(at, looks),
            same: 1,
            flows: (0, 0),
            waited,
            goroutines: involved(waiting),
        }
    }

    /// Another look; `has_moved` tells that the buffer is another than it was.
    fn look(&mut self, waiting: &[&Goroutine], is_crowded: bool, has_moved: bool) {
        let now: BTreeSet<Goid> = waiting.iter().map(|one| one.goid).collect();
        let is_anew = |one: &&Goroutine| {
            self.waited.contains(&one.goid) && one.wait.as_ref().is_some_and(|wait| wait.looks <= 1)
        };
        let flows = has_moved || !self.waited.is_subset(&now) || waiting.iter().any(is_anew);
        self.flows = (self.flows.0 + u32::from(flows), self.flows.1 + 1);
        self.same = if now == self.waited { self.same.saturating_add(1) } else { 1 };
        self.crowded.look(is_crowded);
        self.waited = now;
        if is_crowded {
            self.goroutines = involved(waiting);
        }
    }

    /// Values went between most looks.
    fn flows(&self) -> bool {
        self.flows.0 >= 2 && self.flows.0 * 2 > self.flows.1
    }
}

/// Every channel of which one side has waiters, from look to look.
#[derive(Default)]
struct Sides(BTreeMap<ChanAddr, Side>);

impl Sides {
    fn look(
        &mut self,
        process: &Process,
        waiters: &Waiters<'_>,
        (crowd, looks): (u64, u32),
        at: MonotonicNs,
    ) {
        for (address, side) in &mut self.0 {
            let waiting = waiters.get(address).map_or(&[][..], Vec::as_slice);
            let moved = process.channel(*address).and_then(|channel| channel.moved);
            let has_moved = moved.is_some_and(|moved| moved >= at);
            side.look(waiting, waiting.len() as u64 >= crowd, has_moved);
        }
        for (address, waiting) in waiters {
            if waiting.len() as u64 >= crowd && !self.0.contains_key(address) {
                self.0.insert(*address, Side::first(waiting, at, looks));
            }
        }
        self.0.retain(|_, side| !side.crowded.is_over());
    }
}

/// Who waits for one channel only, in this direction.
fn waiters<'p>(process: &'p Process, direction: Direction, told: &BTreeSet<Goid>) -> Waiters<'p> {
    let mut waiters: Waiters<'p> = BTreeMap::new();
    for goroutine in users(process).filter(|one| one.state == State::Waiting && !told.contains(&one.goid)) {
        let on = goroutine.wait.as_ref().map_or(&[][..], |wait| wait.on.as_slice());
        if let [one] = on
            && let (BlockedOn::Channel, Some(address)) = (one.on, one.address)
            && one.direction == Some(direction)
        {
            waiters.entry(ChanAddr(address.0)).or_default().push(goroutine);
        }
    }
    waiters
}

fn describe(rule: &'static Rule, address: ChanAddr, side: &Side, direction: Direction) -> Finding {
    let (object, count) = (Object::Channel(address), side.goroutines.len() as u64);
    let evidence = Evidence::Pressed(object, direction, count, side.crowded.hits(), side.crowded.looks());
    let mut found = finding(rule, side.crowded.since, side.goroutines.clone(), evidence);
    found.objects = vec![object];
    found.identity = vec![identity(object)];
    found
}

pub(super) struct SlowConsumer {
    thresholds: Thresholds,
    sides: Sides,
}

impl SlowConsumer {
    pub(super) fn new(thresholds: Thresholds) -> Self {
        Self { thresholds, sides: Sides::default() }
    }
}

impl Detector for SlowConsumer {
    fn rule(&self) -> &'static Rule {
        &SLOW_CONSUMER
    }

    fn needs(&self) -> Needs {
        Needs::Looks
    }

    fn check(&mut self, process: &Process, _graph: &Graph, told: &BTreeSet<Goid>) -> Vec<Finding> {
        let at = process.snapshot().unwrap_or_default();
        let waiters = waiters(process, Direction::Send, told);
        self.sides.look(process, &waiters, (self.thresholds.senders, self.thresholds.looks), at);
        let is_slow = |side: &Side| side.crowded.is_usual() && side.flows();
        let slow = self.sides.0.iter().filter(|(_, side)| is_slow(side));
        slow.map(|(address, side)| {
            let mut found = describe(&SLOW_CONSUMER, *address, side, Direction::Send);
            let at_hand = process.channel(*address).into_iter().flat_map(|channel| &channel.at_hand);
            let others = at_hand.filter(|goid| side.goroutines.iter().all(|one| one.goid != **goid));
            let others = others.take(MOST_AT_HAND);
            found.evidence.extend(others.map(|goid| Evidence::AtHand(Object::Channel(*address), *goid)));
            found
        })
        .collect()
    }
}

pub(super) struct SlowProducer {
    thresholds: Thresholds,
    sides: Sides,
}

impl SlowProducer {
    pub(super) fn new(thresholds: Thresholds) -> Self {
        Self { thresholds, sides: Sides::default() }
    }
}

impl Detector for SlowProducer {
    fn rule(&self) -> &'static Rule {
        &SLOW_PRODUCER
    }

    fn needs(&self) -> Needs {
        Needs::Looks
    }

    fn check(&mut self, process: &Process, _graph: &Graph, told: &BTreeSet<Goid>) -> Vec<Finding> {
        let at = process.snapshot().unwrap_or_default();
        let waiters = waiters(process, Direction::Receive, told);
        self.sides.look(process, &waiters, (self.thresholds.receivers, self.thresholds.looks), at);
        // Workers of whom one is seen at work now and then are enough, and not too many. Where nothing comes they are idle.
        let is_steady = |side: &Side| side.flows.0 == side.flows.1 && side.flows.1 > 0;
        let is_slow = |side: &Side| side.same >= self.thresholds.looks && is_steady(side);
        let slow = self.sides.0.iter().filter(|(_, side)| is_slow(side));
        slow.map(|(address, side)| describe(&SLOW_PRODUCER, *address, side, Direction::Receive)).collect()
    }
}
