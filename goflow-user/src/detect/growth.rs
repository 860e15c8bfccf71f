//! `unbounded-growth`, `timer-leak`: what becomes more and more, from look to look, and never less.
//!
//! Goroutines by the statement that created them, values in a channel, timers by what they call. Suspicions: a burst looks like
//! the beginning of too many.

use super::recent::Trend;
use super::rule::{Rule, TIMER_LEAK, UNBOUNDED_GROWTH};
use super::stall::{Group, finding};
use super::{Detector, Evidence, Finding, Needs, Survey, Thresholds};
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

    fn goroutines(&mut self, survey: &Survey<'_>) -> Vec<Finding> {
        let counts = survey.created.iter().map(|(created, all)| (*created, all.len() as u64)).collect();
        count(&mut self.created, &counts, survey.at);
        let (looks, by) = (self.thresholds.looks, self.thresholds.goroutines);
        let growing = self.created.iter().filter(|(_, trend)| trend.grows(looks, by));
        let found = growing.map(|(created, trend)| {
            let evidence = Evidence::Growth(*created, trend.first, trend.last, trend.took_ns());
            let group = Group::of(&survey.created[created]);
            Finding { identity: vec![created.0], ..finding(&UNBOUNDED_GROWTH, trend.since, group, evidence) }
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
    let mut found = finding(&UNBOUNDED_GROWTH, trend.since, Group::of(&goroutines), evidence);
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

    fn compares(&self) -> u32 {
        self.thresholds.looks
    }

    fn check(&mut self, survey: &Survey<'_>, _told: &BTreeSet<Goid>) -> Vec<Finding> {
        let mut found = self.goroutines(survey);
        // Where it is not known what can be reached, channels are not looked for.
        if survey.process.knows_reach() {
            found.extend(self.backlogs(survey.process, survey.at));
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

    fn compares(&self) -> u32 {
        self.thresholds.looks
    }

    fn check(&mut self, survey: &Survey<'_>, _told: &BTreeSet<Goid>) -> Vec<Finding> {
        let timers = survey.process.timers().iter();
        let now = timers.map(|timers| ((timers.calls, timers.is_periodic), timers.count)).collect();
        count(&mut self.called, &now, survey.at);
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
                ..finding(&TIMER_LEAK, trend.since, Group::of(&[]), evidence)
            }
        });
        found.collect()
    }
}
