//! The accounts that metrics tell: what control knows once a second, brought into a form in which nothing that only grows
//! ever becomes less.
//!
//! In: counters of the ingest thread, the books, and clocks; out: [`Accounts`]. The hard thing is that some sums do become
//! less when more is known: a cost that was reckoned by an assumed cost of a hit, the CPU time of a process whose end was
//! missed. A counter that went down would be taken for one that began anew, so the first is told once it is final, and the
//! second stays where it was until the rest has caught up.

use super::budget::{Books, Place, costs_by_level, probed};
use super::ingest::{Hits, Tally};
use crate::detect::Rule;
use crate::ingest::event::MonotonicNs;
use crate::probe::budget::HORIZON_NS;
use crate::probe::plan::Plan;
use crate::sink::metrics::{Accounts, LevelAccount};
use crate::sink::record::{BinaryName, OwnUse};
use crate::target::process::Process;
use crate::target::{Pid, host};
use goflow_common::probe::ProbeId;
use std::collections::VecDeque;

/// What control reads for one account.
pub(super) struct Readings<'a> {
    pub(super) plans: &'a [(BinaryName, Plan)],
    pub(super) tally: &'a Tally,
    pub(super) books: &'a Books,
    /// What a hit costs is not going to be known better.
    pub(super) are_costs_final: bool,
    pub(super) processes: u64,
    /// As far as it is known.
    pub(super) target_cpu_ns: u64,
    /// All of it is.
    pub(super) is_target_cpu_known: bool,
    /// CPU time since goflow started, and its memory.
    pub(super) own: OwnUse,
}

/// Makes accounts out of readings.
pub(super) struct Accountant {
    own_start_ns: Option<u64>,
    /// By which it is told what is wrong.
    rules: Vec<&'static Rule>,
    /// The most that was told of what may become less.
    target_cpu_ns: u64,
    own_cpu_ns: u64,
    history: VecDeque<Sample>,
}

/// Of one moment: hits and not their cost, since what one costs may be known better later.
struct Sample {
    at: MonotonicNs,
    hits: Vec<Hits>,
    turned_ns: u64,
    target_cpu_ns: u64,
}

impl Accountant {
    pub(super) fn new(rules: Vec<&'static Rule>) -> Self {
        let own_start_ns = own_start_ns();
        Self { own_start_ns, rules, target_cpu_ns: 0, own_cpu_ns: 0, history: VecDeque::new() }
    }

    pub(super) fn accounts(&mut self, readings: &Readings<'_>) -> Accounts {
        let Readings { plans, tally, books, .. } = readings;
        let (costs, turned_ns) = (books.costs(), books.turned_ns());
        self.target_cpu_ns = self.target_cpu_ns.max(readings.target_cpu_ns);
        self.own_cpu_ns = self.own_cpu_ns.max(readings.own.cpu_ns);
        let by_level = costs_by_level(plans, &tally.hits_in_window, &costs);
        let cost_ns = by_level.iter().sum::<u64>() + turned_ns;
        self.note(readings, turned_ns);
        let over_horizon = self.history.front().filter(|first| first.at < tally.at).and_then(|first| {
            let before = costs_by_level(plans, &first.hits, &costs).iter().sum::<u64>() + first.turned_ns;
            ratio(cost_ns.saturating_sub(before), self.target_cpu_ns.saturating_sub(first.target_cpu_ns))
        });
        let level = |(coverage, place), cost_ns| LevelAccount {
            coverage,
            is_watched: place == Place::In,
            cost_ns: readings.are_costs_final.then_some(cost_ns),
        };
        let found = |rule: &Rule| tally.findings.get(rule.id).copied().unwrap_or_default();
        let levels = books.coverage_until(tally.at).into_iter().zip(by_level);
        Accounts {
            goflow: env!("CARGO_PKG_VERSION"),
            hits: hits(plans, &tally.hits),
            findings: self.rules.iter().map(|rule| (rule.id, found(rule))).collect(),
            events: tally.events,
            lost: tally.lost.clone(),
            levels: levels.map(|(told, cost_ns)| level(told, cost_ns)).collect(),
            turned_ns,
            processes: readings.processes,
            target_cpu_ns: self.target_cpu_ns,
            overhead: over_horizon.filter(|_| !plans.is_empty()),
            overhead_in_all: ratio(cost_ns, self.target_cpu_ns)
                .filter(|_| readings.is_target_cpu_known && !plans.is_empty()),
            budget: books.share(),
            costs: (!plans.is_empty()).then_some(costs),
            is_cost_measured: books.are_measured(),
            own: OwnUse { cpu_ns: self.own_cpu_ns, ..readings.own },
            own_start_ns: self.own_start_ns,
        }
    }

    /// Keeps what is not older than the horizon, and the one before that.
    fn note(&mut self, readings: &Readings<'_>, turned_ns: u64) {
        let Tally { at, hits_in_window, .. } = readings.tally;
        let sample =
            Sample { at: *at, hits: hits_in_window.clone(), turned_ns, target_cpu_ns: self.target_cpu_ns };
        self.history.push_back(sample);
        let horizon = at.0.saturating_sub(HORIZON_NS);
        while self.history.get(1).is_some_and(|second| second.at.0 <= horizon) {
            self.history.pop_front();
        }
    }
}

fn hits(plans: &[(BinaryName, Plan)], hits: &[Hits]) -> Vec<(BinaryName, ProbeId, u64)> {
    let of_plan = |((binary, plan), hits): (&(BinaryName, Plan), &Hits)| {
        probed(plan)
            .map(|planned| (binary.clone(), planned.spec.probe, hits[planned.spec.probe as usize]))
            .collect::<Vec<_>>()
    };
    plans.iter().zip(hits).flat_map(of_plan).collect()
}

/// `None` where the whole is nothing. What is estimated at more than all is all.
#[expect(clippy::cast_precision_loss, reason = "an estimate")]
fn ratio(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| (part as f64 / whole as f64).min(1.0))
}

/// When goflow started, since the Unix epoch; `None` where /proc does not tell.
fn own_start_ns() -> Option<u64> {
    let process = Process::open(Pid(std::process::id())).ok()?;
    let age = host::boot_ns().checked_sub(process.started_ns()?)?;
    let now = host::monotonic_ns().checked_add_signed(host::wall_clock_offset_ns())?;
    now.checked_sub(age)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::rule::DEADLOCK;
    use crate::probe::budget::Budget;
    use crate::probe::catalog::Level;
    use crate::probe::load::AttachMethod;
    use std::sync::Arc;

    const S: u64 = 1_000_000_000;

    fn tally(at: u64) -> Tally {
        Tally { at: MonotonicNs(at), ..Tally::default() }
    }

    fn books() -> Books {
        let (method, spans) = (AttachMethod::UprobeMulti, Arc::default());
        Books::new(Budget::DEFAULT, Level::Channels, method, 0, spans, Arc::default())
    }

    fn readings<'a>(tally: &'a Tally, books: &'a Books, target_cpu_ns: u64) -> Readings<'a> {
        Readings {
            plans: &[],
            tally,
            books,
            are_costs_final: false,
            processes: 1,
            target_cpu_ns,
            is_target_cpu_known: true,
            own: OwnUse { cpu_ns: target_cpu_ns, displaced_ns: 0, memory: None },
        }
    }

    #[test]
    fn cpu_time_that_becomes_unknown_does_not_take_back_what_was_told() {
        let (mut accountant, books) = (Accountant::new(vec![&DEADLOCK]), books());
        let told = |accountant: &mut Accountant, at, cpu| {
            let accounts = accountant.accounts(&readings(&tally(at), &books, cpu));
            (accounts.target_cpu_ns, accounts.own.cpu_ns)
        };
        assert_eq!(told(&mut accountant, S, 5), (5, 5));
        assert_eq!(told(&mut accountant, 2 * S, 3), (5, 5));
        assert_eq!(told(&mut accountant, 3 * S, 6), (6, 6));
    }

    #[test]
    fn costs_of_levels_are_told_once_they_are_final() {
        let (mut accountant, books) = (Accountant::new(vec![&DEADLOCK]), books());
        let now = tally(host::monotonic_ns());
        let costs = |accounts: Accounts| -> Vec<Option<u64>> {
            accounts.levels.iter().map(|level| level.cost_ns).collect()
        };
        let early = readings(&now, &books, 1);
        assert_eq!(costs(accountant.accounts(&early)), [None; 3]);
        let late = Readings { are_costs_final: true, ..early };
        assert_eq!(costs(accountant.accounts(&late)), [Some(0); 3]);
    }

    #[test]
    fn history_reaches_back_over_the_horizon_and_no_further() {
        let (mut accountant, books) = (Accountant::new(vec![&DEADLOCK]), books());
        for second in 1..=60 {
            accountant.accounts(&readings(&tally(second * S), &books, second));
        }
        assert_eq!(accountant.history.front().map(|first| first.at), Some(MonotonicNs(50 * S)));
        assert_eq!(accountant.history.len(), 11);
    }

    #[test]
    fn goflow_started_before_now() {
        let now = host::monotonic_ns().checked_add_signed(host::wall_clock_offset_ns()).unwrap();
        let start = own_start_ns().unwrap();
        assert!(start < now && now - start < 3_600 * S, "{start} {now}");
    }
}
