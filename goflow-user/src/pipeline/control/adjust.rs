//! What control does for `goflow ctl`: tells how the session is, and changes its level and its budget.
//!
//! In: a [`Command`]; out: the state once it is in effect, or why it is not. A level that is switched off goes out as one
//! that the budget withdraws, and the model is told the same; but nothing restores it, and what it does not see is not
//! missed. The probes of every level were planned and loaded at the start, so that one can be switched on that was not.

use super::super::budget::Place;
use super::super::ctl::{Command, LevelStatus, Outcome, Refusal, Report, Server, Status};
use super::super::ingest::{Request, Tally};
use super::{Running, cost_ns};
use crate::ingest::event::MonotonicNs;
use crate::probe::attach::AttachError;
use crate::probe::budget::{Budget, LEVELS, Order};
use crate::probe::catalog::Level;
use crate::probe::load::AttachMethod;
use crate::probe::plan::Plan;
use crate::probe::task_clock::Readiness;
use crate::sink::record::{Control, LevelCoverage, Setting};
use crate::target::host;
use std::time::{Duration, Instant};

/// So long a change takes that whoever waits for it should be told why.
const LONG: Duration = Duration::from_secs(1);

impl Running {
    /// Answers one of those who ask.
    pub(super) fn answer_ctl(&mut self) {
        let Some(command) = self.ctl.as_mut().and_then(Server::take) else { return };
        let start = Instant::now();
        let done = match command {
            Command::Status => Ok(None),
            Command::Level { level } => self.change_level(level),
            Command::Budget { budget } => {
                self.change_budget(budget.map_or(Budget::Unlimited, Budget::Share)).map(|()| None)
            }
        };
        let outcome = match done.and_then(|note| self.report(note, start.elapsed())) {
            Ok(report) => Outcome::Ok(Box::new(report)),
            Err(refusal) => Outcome::Error(refusal),
        };
        if let Some(ctl) = &mut self.ctl {
            ctl.answer(outcome);
        }
    }

    fn report(&mut self, note: Option<String>, took: Duration) -> Result<Report, Refusal> {
        self.look();
        let tally = self.counted()?;
        let slow = (took > LONG && self.method == AttachMethod::PerfEvent).then(|| {
            format!(
                "that took {:.1} s: this trace has a perf event for each probe, which go in and out one by one",
                took.as_secs_f64()
            )
        });
        let notes: Vec<String> = note.into_iter().chain(slow).collect();
        let of_level = |(one, place): (LevelCoverage, Place)| LevelStatus {
            level: one.level.to_owned(),
            mode: one.mode.name().to_owned(),
            watched: place == Place::In,
            watched_ns: one.watched_ns,
            off_ns: one.off_ns,
        };
        let status = Status {
            pid: std::process::id(),
            binaries: self.binaries.iter().map(ToString::to_string).collect(),
            pids: self.watch.pids().into_iter().map(|pid| pid.0).collect(),
            level: self.books.level(),
            budget: self.books.share(),
            levels: self.books.coverage_until(tally.at).into_iter().map(of_level).collect(),
            elapsed_ns: self.window.elapsed_ns(),
            cost_ns: cost_ns(&self.plans, &tally.hits_in_window, &self.books),
            cost_source: if self.books.are_measured() { "measured" } else { "assumed" }.to_owned(),
            target_cpu_ns: self.watch.cpu_ns().ok(),
            events: tally.events,
            lost: tally.lost.values().sum(),
        };
        Ok(Report { status, note: (!notes.is_empty()).then(|| notes.join("; ")) })
    }

    fn counted(&self) -> Result<Tally, Refusal> {
        self.tally()
            .ok_or_else(|| Refusal::plain("the trace is about to end: its events cannot be read any more"))
    }

    /// Where there are no probes, none can be put in.
    fn require_probes(&self) -> Result<(), Refusal> {
        if !self.plans.is_empty() {
            return Ok(());
        }
        Err(Refusal::new(
            "this trace was started with --level snapshot, which loads no probe at all",
            "start another with --level lifecycle or more; `goflow ctl level snapshot` then takes its probes out, and puts \
             them in again",
        ))
    }

    fn tell_change(&self, change: Setting) {
        let control = Control { t: MonotonicNs(host::monotonic_ns()), change };
        // A thread that is gone says why when it is joined.
        let _ = self.requests.send(Request::Control(control));
    }

    /// Returns what is not to be had of the levels that are new.
    fn change_level(&mut self, to: Level) -> Result<Option<String>, Refusal> {
        let from = self.books.level();
        if from == to {
            return Ok(None);
        }
        self.require_probes()?;
        self.tell_change(Setting::Level { from: from.name(), to: to.name() });
        self.books.want(to);
        if to < from {
            let between: Vec<Level> =
                LEVELS.into_iter().filter(|level| *level > to && *level <= from).collect();
            self.switch_off(&between)?;
            return Ok(None);
        }
        let between: Vec<Level> = LEVELS.into_iter().filter(|level| *level > from && *level <= to).collect();
        let mut failure = None;
        for &level in &between {
            let is_now = self.books.switch_on(level);
            failure = self.switch_on(level, is_now)?.or(failure);
        }
        failure.map_or(Ok(self.unavailable(&between)), Err)
    }

    fn unavailable(&self, levels: &[Level]) -> Option<String> {
        let of_plan = |plan: &Plan| {
            let missing =
                plan.unavailable.iter().filter(|one| levels.contains(&one.spec.level) && !one.is_unused);
            missing.map(|one| format!("not available: {}: {}", one.spec.gives, one.why)).collect::<Vec<_>>()
        };
        let missing: Vec<String> = self.plans.iter().flat_map(|(_, plan)| of_plan(plan)).collect();
        (!missing.is_empty()).then(|| missing.join("; "))
    }

    fn switch_off(&mut self, levels: &[Level]) -> Result<(), Refusal> {
        self.watch.read_clocks();
        let cpu_ns = self.watch.known_cpu_ns();
        let now = MonotonicNs(host::monotonic_ns());
        let is_in = |level: &Level| self.books.place(*level) == Place::In;
        let (going, gone): (Vec<Level>, Vec<Level>) = levels.iter().copied().partition(is_in);
        let times: Vec<MonotonicNs> = going.iter().map(|&level| self.books.close(level)).collect();
        let start = Instant::now();
        let mut failed = Ok(());
        if !going.is_empty() {
            failed = self.try_take_out(&going);
            self.books.took(&Order::Withdraw(going.clone()), start.elapsed());
        }
        let tally = self.counted()?;
        let turned = going.into_iter().zip(times).chain(gone.into_iter().map(|level| (level, now)));
        self.tell_turned(turned, Place::Off, cpu_ns, &tally);
        failed.map_err(|error| Refusal::plain(format!("some probes could not be taken out: {error}")))
    }

    /// Puts the probes of a level in that was off, if that is to be now. Returns why that failed.
    fn switch_on(&mut self, level: Level, is_now: bool) -> Result<Option<Refusal>, Refusal> {
        let tally = self.counted()?;
        if !is_now {
            self.watch.read_clocks();
            let now = MonotonicNs(host::monotonic_ns());
            self.tell_turned([(level, now)], Place::Out, self.watch.known_cpu_ns(), &tally);
            return Ok(None);
        }
        let Err(error) = self.put_in(level, &tally) else { return Ok(None) };
        self.watch.read_clocks();
        self.books.refused(level);
        let now = MonotonicNs(host::monotonic_ns());
        self.tell_turned([(level, now)], Place::Out, self.watch.known_cpu_ns(), &tally);
        Ok(Some(not_put_in(level, &error)))
    }

    fn change_budget(&mut self, to: Budget) -> Result<(), Refusal> {
        let from = self.books.budget();
        if from == to {
            return Ok(());
        }
        self.require_probes()?;
        let tally = self.counted()?;
        self.tell_change(Setting::Budget { from: from.share(), to: to.share() });
        if let Budget::Share(share) = to {
            self.watch.be_ready(Readiness::new());
            self.watch.read_clocks();
            self.books.limit(share, &self.plans, &tally, self.watch.known_cpu_ns());
            return Ok(());
        }
        let mut failure = None;
        // Nothing is measured any more.
        self.watch.count_roughly();
        for level in self.books.lift() {
            if self.books.place(level) != Place::In {
                match self.put_in(level, &tally) {
                    Ok(()) => continue,
                    Err(error) => failure = Some(not_put_in(level, &error)),
                }
            }
            // Only how it is watched is another.
            let _ = self.requests.send(Request::Coverage(vec![self.books.unturned(level)]));
        }
        failure.map_or(Ok(()), Err)
    }
}

fn not_put_in(level: Level, error: &AttachError) -> Refusal {
    Refusal::plain(format!("level {} is not watched: {error}", level.name()))
}
