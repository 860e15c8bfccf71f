//! `unbounded-growth`, `timer-leak`: what becomes more and more, from look to look, and never less.
//!
//! Goroutines by the statement that created them, values in a channel, timers by what they call. Suspicions: a burst looks like
//! the beginning of too many.

use super::recent::Trend;
use super::rule::{Rule, TIMER_LEAK, UNBOUNDED_GROWTH};
use super::stall::{finding, involved, users};
use super::{Detector, Evidence, Finding, Graph, Needs, Thresholds};
use crate::binary::addr::RuntimeAddr;
use crate::model::{Goroutine, Object, Process};
use crate::target::id::{ChanAddr, Goid, MonotonicNs};
use std::collections::{BTreeMap, BTreeSet};

pub(super) struct UnboundedGrowth {
    thresholds: Thresholds,
    /// Goroutines by where they were created.
    created: BTreeMap<RuntimeAddr, Trend>,
    /// Values by channel.
    backlogs: BTreeMap<ChanAddr, Trend>,
}

pub(super) struct TimerLeak {
    thresholds: Thresholds,
    /// By what they call, and whether again and again.
    called: BTreeMap<(RuntimeAddr, bool), Trend>,
}

/// Counts what there is now; what there is no more is forgotten.
fn count<K: Copy + Ord>(seen: &mut BTreeMap<K, Trend>, now: &BTreeMap<K, u64>, at: MonotonicNs) {
    seen.retain(|key, _| now.contains_key(key));
    for (&key, &count) in now {
        match seen.get_mut(&key) {
            Some(trend) => trend.count(count, at),
            None => _ = seen.insert(key, Trend::first(count, at)),
        }
    }
}

impl UnboundedGrowth {
    pub(super) fn new(thresholds: Thresholds) -> Self {
        Self { thresholds, created: BTreeMap::new(), backlogs: BTreeMap::new() }
    }

    fn goroutines(&mut self, process: &Process, at: MonotonicNs) -> Vec<Finding> {
        let mut now: BTreeMap<RuntimeAddr, Vec<&Goroutine>> = BTreeMap::new();
        for goroutine in users(process) {
            if let Some(created) = goroutine.created_at {
                now.entry(created).or_default().push(goroutine);
            }
        }
        let counts = now.iter().map(|(created, goroutines)| (*created, goroutines.len() as u64)).collect();
        count(&mut self.created, &counts, at);
        let (looks, by) = (self.thresholds.looks, self.thresholds.goroutines);
        let growing = self.created.iter().filter(|(_, trend)| trend.grows(looks, by));
        let found = growing.map(|(created, trend)| {
            let evidence = Evidence::Growth(trend.first, trend.last, trend.took_ns());
            let goroutines = involved(&now[created]);
            Finding {
                identity: vec![created.0],
                ..finding(&UNBOUNDED_GROWTH, trend.since, goroutines, evidence)
            }
        });
        found.collect()
    }

    /// Of the channels that this look found with values in them.
    fn backlogs(&mut self, process: &Process, at: MonotonicNs) -> Vec<Finding> {
        let fresh = process.channels().filter_map(|channel| {
            let (len, _) = channel.len.filter(|(len, read)| *len > 0 && *read >= at)?;
            Some((channel.address, len))
        });
        let now: BTreeMap<ChanAddr, u64> = fresh.collect();
        count(&mut self.backlogs, &now, at);
        let (looks, by) = (self.thresholds.looks, self.thresholds.backlog);
        // A queue that is emptied every two seconds rises for four looks.
        let growing = self.backlogs.iter().filter(|(_, trend)| trend.grows(looks + 1, by));
        growing.map(|(address, trend)| backlog(process, *address, trend)).collect()
    }
}

fn backlog(process: &Process, address: ChanAddr, trend: &Trend) -> Finding {
    let channel = process.channel(address);
    let at_hand = channel.iter().flat_map(|channel| &channel.at_hand);
    let goroutines: Vec<&Goroutine> = at_hand.filter_map(|goid| process.goroutine(*goid)).collect();
    let object = Object::Channel(address);
    let evidence = Evidence::Backlog(object, trend.first, trend.last, trend.took_ns());
    let mut found = finding(&UNBOUNDED_GROWTH, trend.since, involved(&goroutines), evidence);
    found.evidence.extend(goroutines.iter().map(|one| Evidence::AtHand(object, one.goid)));
    found.objects = vec![object];
    found.identity = vec![address.0];
    found
}

impl Detector for UnboundedGrowth {
    fn rule(&self) -> &'static Rule {
        &UNBOUNDED_GROWTH
    }

    fn needs(&self) -> Needs {
        Needs::Looks
    }

    fn check(&mut self, process: &Process, _graph: &Graph, _told: &BTreeSet<Goid>) -> Vec<Finding> {
        let at = process.snapshot().unwrap_or_default();
        let mut found = self.goroutines(process, at);
        // Where it is not known what can be reached, channels are not looked for.
        if process.knows_reach() {
            found.extend(self.backlogs(process, at));
        }
        found
    }
}

impl TimerLeak {
    pub(super) fn new(thresholds: Thresholds) -> Self {
        Self { thresholds, called: BTreeMap::new() }
    }
}

impl Detector for TimerLeak {
    fn rule(&self) -> &'static Rule {
        &TIMER_LEAK
    }

    fn check(&mut self, process: &Process, _graph: &Graph, _told: &BTreeSet<Goid>) -> Vec<Finding> {
        let at = process.snapshot().unwrap_or_default();
        let timers = process.timers().iter();
        let now = timers.map(|timers| ((timers.calls, timers.is_periodic), timers.count)).collect();
        count(&mut self.called, &now, at);
        let (looks, by) = (self.thresholds.looks, self.thresholds.timers);
        let growing = self.called.iter().filter(|(_, trend)| trend.grows(looks, by));
        let found = growing.map(|(&(calls, is_periodic), trend)| {
            let evidence = Evidence::Timers {
                calls,
                is_periodic,
                before: trend.first,
                now: trend.last,
                ns: trend.took_ns(),
            };
            Finding {
                identity: vec![calls.0, u64::from(is_periodic)],
                functions: vec![calls],
                ..finding(&TIMER_LEAK, trend.since, Vec::new(), evidence)
            }
        });
        found.collect()
    }
}
