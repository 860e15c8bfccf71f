//! Keeps a session to its budget: the books behind [`Controller`], and the times in which each level is watched.
//!
//! In: counters of the ingest thread and clocks of the targets, as control reads them; out: what each level has cost, what
//! is to be done, and for the summary how much of the time each level was watched and what that says of the rest. Control
//! carries out what is to be done, because it holds the probes.

use super::ingest::{Hits, Tally};
use crate::ingest::event::MonotonicNs;
use crate::probe::budget::{Budget, Controller, LEVELS, Mode, Order, Reading, Turn};
use crate::probe::catalog::{self, Level};
use crate::probe::cost::Costs;
use crate::probe::estimate::{Estimate, Estimator};
use crate::probe::load::AttachMethod;
use crate::probe::plan::{Plan, PlannedSite};
use crate::sink::record::{BinaryName, Coverage, LevelCoverage};
use crate::target::host::monotonic_ns;
use goflow_common::probe::ProbeId;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// What taking the probes of a level out and putting them in again takes from the targets: `cargo xtask bench overhead turn`.
const TURN_NS: u64 = 3_000_000;

/// When the probes of each level are all in: what is recorded while some go in or out is no measure of anything.
#[derive(Default)]
pub(super) struct Spans([Span; LEVELS.len()]);

struct Span {
    opened: AtomicU64,
    closed: AtomicU64,
}

impl Default for Span {
    /// From before the first event on.
    fn default() -> Self {
        Self { opened: AtomicU64::new(0), closed: AtomicU64::new(u64::MAX) }
    }
}

impl Spans {
    /// Whether every probe of the level that `probe` belongs to was in at `t`.
    pub(super) fn contains(&self, probe: ProbeId, t: MonotonicNs) -> bool {
        let Some(Span { opened, closed }) = index(catalog::spec(probe).level).and_then(|at| self.0.get(at))
        else {
            return true;
        };
        // In this order: a span that is opened anew has its start before its end.
        t.0 <= closed.load(Ordering::Acquire) && opened.load(Ordering::Acquire) <= t.0
    }

    fn open(&self, level: Level) -> MonotonicNs {
        let now = monotonic_ns();
        if let Some(span) = index(level).and_then(|at| self.0.get(at)) {
            span.opened.store(now, Ordering::Release);
            span.closed.store(u64::MAX, Ordering::Release);
        }
        MonotonicNs(now)
    }

    fn close(&self, level: Level) -> MonotonicNs {
        let now = monotonic_ns();
        if let Some(span) = index(level).and_then(|at| self.0.get(at)) {
            span.closed.store(now, Ordering::Release);
        }
        MonotonicNs(now)
    }
}

fn index(level: Level) -> Option<usize> {
    LEVELS.iter().position(|known| *known == level)
}

/// What a hit costs: measured once the session is under way, assumed before and where it cannot be.
pub(super) type Measured = Arc<OnceLock<Costs>>;

/// One site of each probe that is in: all of a probe are of one class.
pub(super) fn probed(plan: &Plan) -> impl Iterator<Item = &PlannedSite> {
    let site_of = |probe| plan.sites.iter().find(|planned| planned.spec.probe == probe);
    ProbeId::ALL.into_iter().filter_map(site_of)
}

/// What the hits of a probe cost.
pub(super) fn cost_of(planned: &PlannedSite, plan: &Plan, hits: &Hits, costs: &Costs) -> u64 {
    hits[planned.spec.probe as usize] * costs.of_hit(planned, plan.frames_of_park())
}

/// What the hits of each of [`LEVELS`] cost, of all binaries.
pub(super) fn costs_by_level(
    plans: &[(BinaryName, Plan)],
    hits: &[Hits],
    costs: &Costs,
) -> [u64; LEVELS.len()] {
    let mut cost_ns = [0; LEVELS.len()];
    for ((_, plan), hits) in plans.iter().zip(hits) {
        for planned in probed(plan) {
            cost_ns[index(planned.spec.level).unwrap_or(0)] += cost_of(planned, plan, hits, costs);
        }
    }
    cost_ns
}

/// What is known of one level.
struct Lane {
    level: Level,
    is_in: bool,
    /// The last time that it went in or out.
    turned: Turning,
    watched_ns: u64,
    windows: u64,
    /// Of each binary, by probe.
    estimators: Vec<Vec<Estimator>>,
}

/// The books at a moment at which a level went in or out.
#[derive(Clone, Default)]
struct Turning {
    t: MonotonicNs,
    cpu_ns: u64,
    /// Of all levels, as of `counted`.
    cost_ns: u64,
    counted: MonotonicNs,
    /// Hits while every probe of the level was in, of each binary.
    watched: Vec<Hits>,
}

/// The books of a session.
pub(super) struct Books {
    budget: Budget,
    controller: Option<Controller>,
    spans: Arc<Spans>,
    measured: Measured,
    lanes: Vec<Lane>,
    due_ns: u64,
}

impl Books {
    pub(super) fn new(
        budget: Budget,
        level: Level,
        method: AttachMethod,
        binaries: usize,
        spans: Arc<Spans>,
        measured: Measured,
    ) -> Self {
        LEVELS.into_iter().for_each(|level| _ = spans.open(level));
        let turn = Turn { cost_ns: TURN_NS, is_quick: method == AttachMethod::UprobeMulti };
        let now = monotonic_ns();
        let limited = budget.share().filter(|_| level > Level::Snapshot);
        let nothing = || vec![[0; ProbeId::COUNT]; binaries];
        let start = Turning {
            t: MonotonicNs(now),
            counted: MonotonicNs(now),
            watched: nothing(),
            ..Turning::default()
        };
        let lane = |level| Lane {
            level,
            is_in: true,
            turned: start.clone(),
            watched_ns: 0,
            windows: 0,
            estimators: vec![vec![Estimator::default(); ProbeId::COUNT]; binaries],
        };
        Self {
            budget,
            controller: limited.map(|share| {
                let start = Reading { at_ns: now, ..Reading::default() };
                Controller::new(share, level, turn, start, now)
            }),
            spans,
            measured,
            lanes: LEVELS.into_iter().filter(|known| *known <= level).map(lane).collect(),
            due_ns: now,
        }
    }

    /// What a hit costs, as far as it is known.
    pub(super) fn costs(&self) -> Costs {
        self.measured.get().copied().unwrap_or(Costs::ASSUMED)
    }

    /// Whether that was measured on this machine.
    pub(super) fn are_measured(&self) -> bool {
        self.measured.get().is_some()
    }

    /// The share that is kept to, if one is.
    pub(super) fn share(&self) -> Option<f64> {
        self.controller.as_ref().and_then(|_| self.budget.share())
    }

    /// How long nothing needs to be read; `None` where there is no budget to keep.
    pub(super) fn due_in(&self) -> Option<Duration> {
        self.controller.as_ref()?;
        Some(Duration::from_nanos(self.due_ns.saturating_sub(monotonic_ns())))
    }

    /// What work on the breakpoints has cost since the probes were in, nanoseconds.
    pub(super) fn turned_ns(&self) -> u64 {
        self.controller.as_ref().map_or(0, |controller| controller.turned_ns().saturating_sub(TURN_NS / 2))
    }

    /// What was charged by an assumed cost is charged anew when it has been measured.
    fn reading(&self, plans: &[(BinaryName, Plan)], tally: &Tally, cpu_ns: u64) -> Reading {
        let cost_ns = costs_by_level(plans, &tally.hits, &self.costs());
        Reading { at_ns: monotonic_ns(), target_cpu_ns: cpu_ns, cost_ns }
    }

    /// Takes the counters and the targets' clock; says what is to be done.
    pub(super) fn observe(
        &mut self,
        plans: &[(BinaryName, Plan)],
        tally: &Tally,
        cpu_ns: u64,
    ) -> Option<Order> {
        let reading = self.reading(plans, tally, cpu_ns);
        let controller = self.controller.as_mut()?;
        let order = controller.observe(reading);
        self.due_ns = controller.due_ns();
        order
    }

    /// What is to go out because its time is over.
    pub(super) fn expire(&mut self) -> Option<Order> {
        self.controller.as_mut()?.expire(monotonic_ns())
    }

    /// The probes of a level are about to go out; what is recorded from here on is no measure.
    pub(super) fn close(&self, level: Level) -> MonotonicNs {
        self.spans.close(level)
    }

    /// The probes of a level are in again.
    pub(super) fn open(&self, level: Level) -> MonotonicNs {
        self.spans.open(level)
    }

    /// The probes of a level went out, or in, at `t`, when the targets had used `cpu_ns`; `tally` is from after they went out, or
    /// from before they came in, since while they are out nothing of the level is counted.
    pub(super) fn turned(
        &mut self,
        plans: &[(BinaryName, Plan)],
        level: Level,
        t: MonotonicNs,
        cpu_ns: u64,
        tally: &Tally,
    ) -> Coverage {
        let reading = self.reading(plans, tally, cpu_ns);
        let costs = self.costs();
        if let Some(lane) = self.lanes.iter_mut().find(|lane| lane.level == level) {
            lane.account(plans, &costs, t, cpu_ns, reading.cost_ns.iter().sum(), tally);
            lane.is_in = !lane.is_in;
        }
        let is_watched = self.lanes.iter().any(|lane| lane.level == level && lane.is_in);
        if let Some(controller) = &mut self.controller {
            if is_watched {
                controller.restored(level, reading);
            } else {
                controller.withdrawn(level, reading);
            }
            self.due_ns = controller.due_ns();
        }
        Coverage { level, t, is_watched, mode: self.mode(level) }
    }

    fn mode(&self, level: Level) -> Mode {
        self.controller.as_ref().map_or(Mode::Continuous, |controller| controller.mode(level))
    }

    /// How long it took to carry an order out.
    pub(super) fn took(&mut self, order: &Order, took: Duration) {
        if let Some(controller) = &mut self.controller {
            controller.took(order, took.as_nanos() as u64);
        }
    }

    /// The probes of a level could not be put in again, and are out for good.
    pub(super) fn refused(&mut self, level: Level) -> Coverage {
        if let Some(controller) = &mut self.controller {
            controller.refused(level);
        }
        Coverage { level, t: MonotonicNs(monotonic_ns()), is_watched: false, mode: self.mode(level) }
    }

    /// The session ends at `t`; `tally` is from when everything had been read.
    pub(super) fn finish(
        &mut self,
        plans: &[(BinaryName, Plan)],
        t: MonotonicNs,
        cpu_ns: u64,
        tally: &Tally,
    ) {
        let reading = self.reading(plans, tally, cpu_ns);
        let costs = self.costs();
        for lane in &mut self.lanes {
            lane.account(plans, &costs, t, cpu_ns, reading.cost_ns.iter().sum(), tally);
        }
    }

    /// Levels whose probes are in.
    pub(super) fn watched(&self) -> Vec<Level> {
        self.lanes.iter().filter(|lane| lane.is_in).map(|lane| lane.level).collect()
    }

    /// How much of the time each level was watched.
    pub(super) fn coverage(&self) -> Vec<LevelCoverage> {
        let of_lane = |lane: &Lane| LevelCoverage {
            level: lane.level.name(),
            mode: self.mode(lane.level),
            watched_ns: lane.watched_ns,
            windows: lane.windows,
        };
        self.lanes.iter().map(of_lane).collect()
    }

    /// The same up to `t`, of a session that goes on, and whether the level is watched now.
    pub(super) fn coverage_until(&self, t: MonotonicNs) -> Vec<(LevelCoverage, bool)> {
        let since = |lane: &Lane| if lane.is_in { t.0.saturating_sub(lane.turned.t.0) } else { 0 };
        let of_lane = |(mut coverage, lane): (LevelCoverage, &Lane)| {
            coverage.watched_ns += since(lane);
            coverage.windows += u64::from(lane.is_in);
            (coverage, lane.is_in)
        };
        self.coverage().into_iter().zip(&self.lanes).map(of_lane).collect()
    }

    /// How often a probe would have been hit; `None` where it was in all the time.
    pub(super) fn estimate(&self, binary: usize, probe: ProbeId) -> Option<Estimate> {
        let level = catalog::spec(probe).level;
        let lane = self.lanes.iter().find(|lane| lane.level == level)?;
        lane.estimators.get(binary)?.get(probe as usize)?.estimate()
    }
}

impl Lane {
    /// Closes the stretch since the level last went in or out.
    fn account(
        &mut self,
        plans: &[(BinaryName, Plan)],
        costs: &Costs,
        t: MonotonicNs,
        cpu_ns: u64,
        cost_ns: u64,
        tally: &Tally,
    ) {
        let now = Turning { t, cpu_ns, cost_ns, counted: tally.at, watched: tally.watched.clone() };
        let before = std::mem::replace(&mut self.turned, now);
        let own = self.cost_since(&before, plans, costs);
        let cpu = cpu_ns.saturating_sub(before.cpu_ns);
        if !self.is_in {
            // The counters were read a little later: what is in them of the window that begins here belongs to it.
            self.turned.cost_ns = self.turned.cost_ns.saturating_sub(own);
            let work = cpu.saturating_sub(self.turned.cost_ns.saturating_sub(before.cost_ns));
            self.turned.watched = before.watched;
            self.estimators.iter_mut().flatten().for_each(|one| one.missed(work));
            return;
        }
        let now = &self.turned;
        let all = cost_ns.saturating_sub(before.cost_ns);
        let span = t.0.saturating_sub(before.t.0);
        self.watched_ns += span;
        self.windows += 1;
        // What the other levels cost meanwhile is known up to the next reading of the counters only, which comes later.
        let counted = now.counted.0.saturating_sub(before.counted.0).max(1);
        let others = all.saturating_sub(own) as f64 * (span as f64 / counted as f64).min(1.0);
        let cost = own + others as u64;
        let work = cpu.saturating_sub(cost);
        let binaries = plans.iter().zip(&now.watched).zip(&before.watched);
        for ((((_, plan), hits), earlier), estimators) in binaries.zip(&mut self.estimators) {
            for planned in probed(plan).filter(|planned| planned.spec.level == self.level) {
                let probe = planned.spec.probe as usize;
                estimators[probe].watched(hits[probe].saturating_sub(earlier[probe]), work, cost);
            }
        }
    }

    /// What the hits of the level have cost since, while all of its probes were in.
    fn cost_since(&self, before: &Turning, plans: &[(BinaryName, Plan)], costs: &Costs) -> u64 {
        let mut cost = 0;
        for (((_, plan), hits), earlier) in plans.iter().zip(&self.turned.watched).zip(&before.watched) {
            for planned in probed(plan).filter(|planned| planned.spec.level == self.level) {
                cost += cost_of(planned, plan, hits, costs)
                    .saturating_sub(cost_of(planned, plan, earlier, costs));
            }
        }
        cost
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_whose_probes_could_not_be_put_in_again_is_out_for_good_and_told() {
        let (method, spans) = (AttachMethod::UprobeMulti, Arc::default());
        let mut books = Books::new(Budget::DEFAULT, Level::Channels, method, 0, spans, Arc::default());
        let tally = Tally {
            at: MonotonicNs(monotonic_ns()),
            hits: Vec::new(),
            watched: Vec::new(),
            hits_in_window: Vec::new(),
            events: 0,
            lost: std::collections::BTreeMap::new(),
        };
        let out = books.close(Level::Channels);
        let before = books.turned(&[], Level::Channels, out, 0, &tally);
        let told = books.refused(Level::Channels);
        assert_eq!((told.level, told.is_watched, told.mode), (Level::Channels, false, Mode::Removed));
        assert!(told.t >= before.t && !before.is_watched);
        let later = MonotonicNs(told.t.0 + 1_000_000_000);
        for (coverage, is_watched) in books.coverage_until(later) {
            let is_out = coverage.level == "channels";
            assert_eq!((is_watched, coverage.windows), (!is_out, 1), "{coverage:?}");
            assert_eq!(coverage.watched_ns > 1_000_000_000, !is_out, "{coverage:?}");
        }
    }
}
