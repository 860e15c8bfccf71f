//! Keeps a session to its budget: the books behind [`Controller`], and the times in which each level is watched.
//!
//! In: counters of the ingest thread and clocks of the targets, as control reads them; out: what each level has cost, what
//! is to be done, and for the summary how much of the time each level was watched and what that says of the rest. Control
//! carries out what is to be done, because it holds the probes. Level and budget may change meanwhile: a level that nobody
//! wants is *off*, and what it does not see then is not missed.

use super::displaced::Displaced;
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
pub(super) type Measured = Arc<Measuring>;

/// Part by which what a hit costs may be wrong where it was measured, and where it is assumed.
const MEASURED_DOUBT: f64 = 0.1;
/// See [`MEASURED_DOUBT`].
const ASSUMED_DOUBT: f64 = 0.5;

/// What has been measured of it so far.
#[derive(Default)]
pub(super) struct Measuring {
    /// In the first moment, and over some seconds: what is charged by the one is charged anew by the other.
    first: OnceLock<Costs>,
    last: OnceLock<Costs>,
}

impl Measuring {
    /// After the first round.
    pub(super) fn begin(&self, costs: Costs) {
        // Who begins twice changes nothing.
        let _ = self.first.set(costs);
    }

    /// It is not going to be known better.
    pub(super) fn finish(&self, costs: Costs) {
        // As above.
        let _ = self.last.set(costs);
    }

    fn costs(&self) -> Option<Costs> {
        self.last.get().or_else(|| self.first.get()).copied()
    }
}

/// One site of each probe that is in: all of a probe are of one class.
pub(super) fn probed(plan: &Plan) -> impl Iterator<Item = &PlannedSite> {
    let site_of = |probe| plan.sites.iter().find(|planned| planned.spec.probe == probe);
    ProbeId::ALL.into_iter().filter_map(site_of)
}

/// What the hits of a probe cost.
pub(super) fn cost_of(planned: &PlannedSite, plan: &Plan, hits: &Hits, costs: &Costs) -> u64 {
    hits[planned.spec.probe as usize] * costs.of_hit(planned, plan.parks_with_stack())
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

/// Where the probes of a level are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// All are in.
    In,
    /// They are out, and what happens meanwhile is missed.
    Out,
    /// They are out because nobody wants them.
    Off,
}

/// What is known of one level.
struct Lane {
    level: Level,
    place: Place,
    /// Somebody wants it, or wanted it once.
    is_known: bool,
    /// The last time that it went in or out.
    turned: Turning,
    watched_ns: u64,
    off_ns: u64,
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
    /// What is wanted: this level and those below it.
    level: Level,
    turn: Turn,
    controller: Option<Controller>,
    /// What work on the breakpoints has cost since the probes were in and is not in the controller's books, nanoseconds.
    turned_ns: u64,
    /// When the session began.
    start: MonotonicNs,
    spans: Arc<Spans>,
    measured: Measured,
    /// What a hit was taken to cost at the last reading.
    reckoned_by: Costs,
    lanes: Vec<Lane>,
    due_ns: u64,
    displaced: Displaced,
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
        for known in LEVELS {
            let _ = if known <= level { spans.open(known) } else { spans.close(known) };
        }
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
        let lane = |known| Lane {
            level: known,
            place: if known <= level { Place::In } else { Place::Off },
            is_known: known <= level,
            turned: start.clone(),
            watched_ns: 0,
            off_ns: 0,
            windows: 0,
            estimators: vec![vec![Estimator::default(); ProbeId::COUNT]; binaries],
        };
        Self {
            budget,
            level,
            turn,
            controller: limited.map(|share| {
                let start = Reading { at_ns: now, ..Reading::default() };
                Controller::new(share, level, turn, start, now)
            }),
            turned_ns: 0,
            start: MonotonicNs(now),
            spans,
            measured,
            reckoned_by: Costs::ASSUMED,
            // Without a probe there is none to keep books of.
            lanes: LEVELS.into_iter().filter(|_| level > Level::Snapshot).map(lane).collect(),
            due_ns: now,
            displaced: Displaced::new(),
        }
    }

    /// What is wanted: this level and those below it.
    pub(super) fn level(&self) -> Level {
        self.level
    }

    /// From here on this level and those below it are wanted. Who puts their probes in and out is the caller.
    pub(super) fn want(&mut self, level: Level) {
        self.level = level;
        self.lanes.iter_mut().filter(|lane| lane.level <= level).for_each(|lane| lane.is_known = true);
    }

    /// What is kept to.
    pub(super) fn budget(&self) -> Budget {
        self.share().map_or(Budget::Unlimited, Budget::Share)
    }

    /// From here on the targets may lose this part of their CPU time.
    pub(super) fn limit(&mut self, share: f64, plans: &[(BinaryName, Plan)], tally: &Tally, cpu_ns: u64) {
        self.budget = Budget::Share(share);
        if let Some(controller) = &mut self.controller {
            controller.set_share(share);
        } else {
            let reading = self.reading(plans, tally, cpu_ns);
            let modes = LEVELS.map(|level| self.mode(level));
            self.controller = Some(Controller::join(share, modes, self.turn, reading, reading.at_ns));
        }
        self.due_ns = monotonic_ns();
    }

    /// From here on the targets may lose whatever it takes. Returns the levels that are not watched all the time and are
    /// wanted; who puts the probes in of those that are out is the caller.
    pub(super) fn lift(&mut self) -> Vec<Level> {
        let wanted = LEVELS.into_iter().filter(|known| *known <= self.level);
        let sampled = wanted.filter(|level| self.mode(*level) != Mode::Continuous).collect();
        self.turned_ns = self.turned_ns();
        (self.budget, self.controller) = (Budget::Unlimited, None);
        sampled
    }

    /// Whether the probes of a level that is wanted from here on are to go in at once; if not, the budget decides when.
    pub(super) fn switch_on(&mut self, level: Level) -> bool {
        self.controller.as_mut().is_none_or(|controller| controller.switch_on(level))
    }

    /// Where the probes of a level are.
    pub(super) fn place(&self, level: Level) -> Place {
        self.lanes.iter().find(|lane| lane.level == level).map_or(Place::Off, |lane| lane.place)
    }

    /// What a hit costs, as far as it is known.
    pub(super) fn costs(&self) -> Costs {
        self.measured.costs().unwrap_or(Costs::ASSUMED)
    }

    /// By what part of it that may be wrong.
    fn doubt(&self) -> f64 {
        if self.are_measured() { MEASURED_DOUBT } else { ASSUMED_DOUBT }
    }

    /// Whether that was measured on this machine.
    pub(super) fn are_measured(&self) -> bool {
        self.measured.costs().is_some()
    }

    /// Whether that is not going to be known better.
    pub(super) fn are_final(&self) -> bool {
        self.measured.last.get().is_some()
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
        let of_controller = self.controller.as_ref().map_or(0, Controller::turned_ns);
        self.turned_ns + of_controller
    }

    /// Takes note of what goflow itself uses, from time to time.
    pub(super) fn look_at_own(&mut self, own_cpu_ns: impl FnOnce() -> u64, target_cpu_ns: u64) {
        self.displaced.look(own_cpu_ns, target_cpu_ns);
    }

    /// What that has taken from the targets because no CPU was idle, nanoseconds.
    pub(super) fn displaced_ns(&self) -> u64 {
        self.displaced.total_ns()
    }

    /// What was charged by an assumed cost is charged anew when it has been measured.
    fn reading(&self, plans: &[(BinaryName, Plan)], tally: &Tally, cpu_ns: u64) -> Reading {
        let costs = self.costs();
        Reading {
            at_ns: monotonic_ns(),
            target_cpu_ns: cpu_ns,
            cost_ns: costs_by_level(plans, &tally.hits, &costs),
            watched_ns: costs_by_level(plans, &tally.watched, &costs),
            displaced_ns: self.displaced.total_ns(),
        }
    }

    /// Takes the counters and the targets' clock; says what is to be done.
    pub(super) fn observe(
        &mut self,
        plans: &[(BinaryName, Plan)],
        tally: &Tally,
        cpu_ns: u64,
    ) -> Option<Order> {
        let reading = self.reading(plans, tally, cpu_ns);
        let costs = self.costs();
        let controller = self.controller.as_mut()?;
        let before = std::mem::replace(&mut self.reckoned_by, costs);
        if before != costs {
            let of_hit = |costs: Costs| costs.emulated.record_ns.max(1) as f64;
            let times = of_hit(costs) / of_hit(before);
            controller.costs_known_better(times);
            let estimators = self.lanes.iter_mut().flat_map(|lane| lane.estimators.iter_mut().flatten());
            estimators.for_each(|estimator| estimator.costs_known_better(times, MEASURED_DOUBT));
        }
        let order = controller.observe(reading);
        self.due_ns = controller.due_ns();
        order
    }

    /// A level is in of which every microsecond counts.
    pub(super) fn is_measuring(&self) -> bool {
        self.controller.as_ref().is_some_and(Controller::is_measuring)
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

    /// The probes of a level went to `place` at `t`, when the targets had used `cpu_ns`; `tally` is from after they went out, or
    /// from before they came in, since while they are out nothing of the level is counted.
    pub(super) fn turned(
        &mut self,
        plans: &[(BinaryName, Plan)],
        (level, place): (Level, Place),
        t: MonotonicNs,
        cpu_ns: u64,
        tally: &Tally,
    ) -> Coverage {
        let was_in = self.place(level) == Place::In;
        let reading = self.reading(plans, tally, cpu_ns);
        let (costs, doubt) = (self.costs(), self.doubt());
        if let Some(lane) = self.lanes.iter_mut().find(|lane| lane.level == level) {
            lane.account(plans, (&costs, doubt), t, cpu_ns, reading.cost_ns.iter().sum(), tally);
            lane.place = place;
        }
        let is_watched = place == Place::In;
        match &mut self.controller {
            Some(controller) => {
                let as_it_went = Reading { at_ns: t.0, ..reading };
                match place {
                    Place::In => controller.restored(level, reading),
                    Place::Out => controller.withdrawn(level, as_it_went),
                    Place::Off => controller.switched_off(level, as_it_went),
                }
                self.due_ns = controller.due_ns();
            }
            // What hardly runs is hardly held up.
            None if was_in != is_watched => {
                let elapsed = t.0.saturating_sub(self.start.0).max(1);
                self.turned_ns += (TURN_NS as f64 / 2.0 * (cpu_ns as f64 / elapsed as f64).min(1.0)) as u64;
            }
            None => {}
        }
        Coverage { level, t, is_watched, mode: self.mode(level) }
    }

    /// How a level is watched.
    pub(super) fn mode(&self, level: Level) -> Mode {
        match (&self.controller, self.place(level)) {
            (Some(controller), _) => controller.mode(level),
            (None, Place::In) => Mode::Continuous,
            (None, Place::Out) => Mode::Removed,
            (None, Place::Off) => Mode::Off,
        }
    }

    /// How a level is watched in which nothing has gone in or out.
    pub(super) fn unturned(&self, level: Level) -> Coverage {
        let is_watched = self.place(level) == Place::In;
        let t = MonotonicNs(monotonic_ns());
        Coverage { level, t, is_watched, mode: self.mode(level) }
    }

    /// How long it took to carry an order out.
    pub(super) fn took(&mut self, order: &Order, took: Duration) {
        if let Some(controller) = &mut self.controller {
            controller.took(order, took.as_nanos() as u64);
            tracing::debug!(?order, ?took, "{controller}");
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
        let (costs, doubt) = (self.costs(), self.doubt());
        for lane in &mut self.lanes {
            lane.account(plans, (&costs, doubt), t, cpu_ns, reading.cost_ns.iter().sum(), tally);
        }
    }

    /// Levels whose probes are in.
    pub(super) fn watched(&self) -> Vec<Level> {
        self.lanes.iter().filter(|lane| lane.place == Place::In).map(|lane| lane.level).collect()
    }

    /// Levels that are wanted, or were once.
    pub(super) fn is_known(&self, level: Level) -> bool {
        self.lanes.iter().any(|lane| lane.level == level && lane.is_known)
    }

    /// How much of the time each level was watched that is wanted, or was once.
    pub(super) fn coverage(&self) -> Vec<LevelCoverage> {
        let of_lane = |lane: &Lane| LevelCoverage {
            level: lane.level.name(),
            mode: self.mode(lane.level),
            watched_ns: lane.watched_ns,
            off_ns: lane.off_ns,
            windows: lane.windows,
        };
        self.lanes.iter().filter(|lane| lane.is_known).map(of_lane).collect()
    }

    /// The same of every level up to `t`, of a session that goes on, and where its probes are.
    pub(super) fn coverage_until(&self, t: MonotonicNs) -> Vec<(LevelCoverage, Place)> {
        let of_lane = |lane: &Lane| {
            let span = t.0.saturating_sub(lane.turned.t.0);
            let (watched, off) = (lane.place == Place::In, lane.place == Place::Off);
            let coverage = LevelCoverage {
                level: lane.level.name(),
                mode: self.mode(lane.level),
                watched_ns: lane.watched_ns + if watched { span } else { 0 },
                off_ns: lane.off_ns + if off { span } else { 0 },
                windows: lane.windows + u64::from(watched),
            };
            (coverage, lane.place)
        };
        self.lanes.iter().map(of_lane).collect()
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
        (costs, doubt): (&Costs, f64),
        t: MonotonicNs,
        cpu_ns: u64,
        cost_ns: u64,
        tally: &Tally,
    ) {
        let now = Turning { t, cpu_ns, cost_ns, counted: tally.at, watched: tally.watched.clone() };
        let before = std::mem::replace(&mut self.turned, now);
        let own = self.cost_since(&before, plans, costs);
        let cpu = cpu_ns.saturating_sub(before.cpu_ns);
        if self.place != Place::In {
            // The counters were read a little later: what is in them of the window that begins here belongs to it.
            self.turned.cost_ns = self.turned.cost_ns.saturating_sub(own);
            let work = cpu.saturating_sub(self.turned.cost_ns.saturating_sub(before.cost_ns));
            self.turned.watched = before.watched;
            match self.place {
                Place::Off => self.off_ns += t.0.saturating_sub(before.t.0),
                Place::In | Place::Out => {
                    self.estimators.iter_mut().flatten().for_each(|one| one.missed(work));
                }
            }
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
                let count = hits[probe].saturating_sub(earlier[probe]);
                estimators[probe].watched(count, work, cost, doubt);
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

    fn books(budget: Budget, level: Level) -> Books {
        Books::new(budget, level, AttachMethod::UprobeMulti, 1, Arc::default(), Measured::default())
    }

    /// A level goes somewhere, and nothing was hit.
    fn turn(books: &mut Books, level: Level, place: Place) -> Coverage {
        let nothing = || vec![[0; ProbeId::COUNT]];
        let now = MonotonicNs(monotonic_ns());
        let tally = Tally {
            at: now,
            hits: nothing(),
            watched: nothing(),
            hits_in_window: nothing(),
            ..Tally::default()
        };
        // As much CPU time as there was, so that something is missed.
        books.turned(&[], (level, place), now, now.0 - books.start.0, &tally)
    }

    fn pause() {
        std::thread::sleep(Duration::from_millis(2));
    }

    #[test]
    fn a_level_whose_probes_could_not_be_put_in_again_is_out_for_good_and_told() {
        let (method, spans) = (AttachMethod::UprobeMulti, Arc::default());
        let mut books = Books::new(Budget::DEFAULT, Level::Channels, method, 0, spans, Arc::default());
        let tally = Tally {
            at: MonotonicNs(monotonic_ns()),
            hits: Vec::new(),
            watched: Vec::new(),
            hits_in_window: Vec::new(),
            ..Tally::default()
        };
        let out = books.close(Level::Channels);
        let before = books.turned(&[], (Level::Channels, Place::Out), out, 0, &tally);
        let told = books.refused(Level::Channels);
        assert_eq!((told.level, told.is_watched, told.mode), (Level::Channels, false, Mode::Removed));
        assert!(told.t >= before.t && !before.is_watched);
        let later = MonotonicNs(told.t.0 + 1_000_000_000);
        for (coverage, place) in books.coverage_until(later) {
            let is_out = coverage.level == "channels";
            assert_eq!((place == Place::In, coverage.windows), (!is_out, 1), "{coverage:?}");
            assert_eq!(coverage.watched_ns > 1_000_000_000, !is_out, "{coverage:?}");
        }
    }

    #[test]
    fn what_is_not_seen_of_a_level_is_missed_only_where_somebody_wants_it() {
        let mut books = books(Budget::Unlimited, Level::Channels);
        let estimate = |books: &Books| books.estimate(0, ProbeId::Chansend);
        pause();
        let off = turn(&mut books, Level::Channels, Place::Off);
        assert_eq!((off.is_watched, off.mode), (false, Mode::Off));
        pause();
        let on = turn(&mut books, Level::Channels, Place::In);
        assert_eq!((on.is_watched, on.mode), (true, Mode::Continuous));
        assert_eq!(estimate(&books), None);
        let coverage = books.coverage()[2];
        assert!(coverage.off_ns >= 2_000_000 && coverage.watched_ns >= 2_000_000, "{coverage:?}");
        turn(&mut books, Level::Channels, Place::Out);
        pause();
        turn(&mut books, Level::Channels, Place::Off);
        assert!(estimate(&books).is_some());
    }

    #[test]
    fn a_level_is_told_of_once_somebody_has_wanted_it() {
        let levels = |books: &Books| books.coverage().iter().map(|one| one.level).collect::<Vec<_>>();
        let mut books = books(Budget::Unlimited, Level::Lifecycle);
        assert_eq!(levels(&books), ["lifecycle"]);
        assert_eq!((books.mode(Level::Blocking), books.watched()), (Mode::Off, vec![Level::Lifecycle]));
        books.want(Level::Blocking);
        turn(&mut books, Level::Blocking, Place::In);
        books.want(Level::Lifecycle);
        turn(&mut books, Level::Blocking, Place::Off);
        assert_eq!(levels(&books), ["lifecycle", "blocking"]);
        assert_eq!(books.coverage_until(MonotonicNs(0)).len(), LEVELS.len());
    }

    #[test]
    fn work_on_breakpoints_is_counted_on_when_a_budget_comes_and_goes() {
        let mut books = books(Budget::DEFAULT, Level::Channels);
        let nothing = || vec![[0; ProbeId::COUNT]];
        let tally = Tally {
            at: MonotonicNs(monotonic_ns()),
            hits: nothing(),
            watched: nothing(),
            hits_in_window: nothing(),
            ..Tally::default()
        };
        assert_eq!(books.turned_ns(), 0);
        assert_eq!(books.lift(), []);
        assert_eq!((books.budget(), books.turned_ns()), (Budget::Unlimited, 0));
        pause();
        turn(&mut books, Level::Channels, Place::Off);
        let one = books.turned_ns();
        assert!((TURN_NS / 4..=TURN_NS / 2).contains(&one), "{one}");
        books.limit(0.01, &[], &tally, 0);
        assert_eq!((books.budget(), books.turned_ns()), (Budget::Share(0.01), one));
        assert_eq!((books.mode(Level::Channels), books.mode(Level::Blocking)), (Mode::Off, Mode::Continuous));
        books.limit(0.02, &[], &tally, 0);
        assert_eq!(books.share(), Some(0.02));
        books.lift();
        assert_eq!(books.turned_ns(), one);
    }
}
