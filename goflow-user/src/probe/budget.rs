//! The overhead budget: which probes may be in, from what their hits cost and what the targets use.
//!
//! In: readings of the targets' CPU time and of what the hits of each level have cost so far; out: orders to take the
//! probes of a level out or to put them in again. Pure: the caller has the clock, and carries the orders out.
//!
//! What is held is the share of any [`HORIZON_NS`]: what hits and the work on the breakpoints have cost in it, over the CPU
//! time of the targets in it. While everything fits, every probe is in. Where it does not, the level that costs most for what
//! it is worth goes out, and from then on it is watched in windows: short times in which all of its probes are in, as often
//! as the rest of the budget pays for. The times between are drawn from an exponential distribution, so that they cannot
//! fall in step with what the target does, and what is counted in the windows is an unbiased sample of the whole. Where
//! probes cannot be taken out quickly, windows are no use, and a level that does not fit stays out.
//!
//! Where no CPU is idle, what goflow itself uses is taken from the targets as well, and counts.
//!
//! The hard thing is that a cost is known only after it was caused. So a level goes out while what is left of the budget
//! still pays for the time until it is out, and what a window will cost is reckoned by the share of the targets' CPU time
//! that the level took when it was last in: a target that is busier by then pays no larger share.

use super::catalog::Level;
use std::cmp::Ordering;
use std::collections::VecDeque;
use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

/// The time over which the budget is held, nanoseconds.
pub const HORIZON_NS: u64 = 10_000_000_000;
/// Between two readings while a level is watched in a window, nanoseconds.
const PACE_NS: u64 = 25_000_000;
/// Between two readings while levels stay in, nanoseconds: so soon a burst is seen.
const STEADY_PACE_NS: u64 = 50_000_000;
/// Between two readings while a level is in of which little is known yet, nanoseconds.
const TRIAL_PACE_NS: u64 = 5_000_000;
/// A shorter stretch tells nothing of what a level takes, nanoseconds.
const LEAST_SPAN_NS: f64 = 2e6;
/// So long a level is tried, nanoseconds.
const TRIAL_NS: f64 = 100e6;
/// Nothing is read more often, nanoseconds.
const LEAST_PAUSE_NS: u64 = 5_000_000;
/// From a reading that is late by a round of the reader until the breakpoints are gone, nanoseconds.
const REACTION_NS: f64 = 80e6;
/// From the order that ends a window until the breakpoints are gone, nanoseconds: mostly a fifth of it, and rarely more.
const LAG_NS: f64 = 1e6;
/// What putting the probes of a level in takes, and taking them out with the grace periods of the kernel, nanoseconds.
const USUAL_IN_NS: f64 = 12e6;
/// See [`USUAL_IN_NS`].
const USUAL_OUT_NS: f64 = 100e6;
/// A shorter window sees hardly more than its own edges, nanoseconds. What is so dear that it gets no longer ones makes thousands of
/// events in it; of what a program does on average many short windows tell more than few long ones.
const LEAST_WINDOW_NS: f64 = 5e6;
/// A longer one could not end in time if it were to cost what was not expected, nanoseconds.
const LONGEST_WINDOW_NS: f64 = 500e6;
/// From one window to the next where the budget pays for it, nanoseconds. Each costs a turn of the breakpoints, whatever is seen
/// in it.
const PERIOD_NS: f64 = 4e9;
/// The shortest and the longest time between two windows, nanoseconds.
const LEAST_GAP_NS: f64 = 20e6;
/// See [`LEAST_GAP_NS`].
const LONGEST_GAP_NS: f64 = 60e9;
/// What a target uses that hardly runs is no measure: this may be spent in any horizon, nanoseconds.
const LEAST_ALLOWED_NS: f64 = 1e6;
/// Of the budget, what windows are planned by; the rest is for what was not expected.
const PLANNED_PART: f64 = 0.8;
/// Of the budget, what is spent; the rest is for what a hit costs more than was measured.
const SPENT_PART: f64 = 0.95;
/// What takes so many times the budget goes out at once, and not one level after the other.
const URGENT: f64 = 4.0;
/// Of the budget, what is planned by whatever goflow itself takes: without windows nothing would be seen.
const LEAST_PART: f64 = 0.1;
/// Of the budget, what a level may take with the others that it stays in for good.
const STEADY_PART: f64 = 0.7;
/// A level that takes more of the CPU time while it is in makes a good part of what the target does there slower than all but a
/// hundredth of it is elsewhere.
const STRETCHING: f64 = 0.2;
/// What part that is, of a share and a budget: so many times the square of what the share is above half the budget, and the second
/// number at most. Of levels that took 4, 24 and 53 % of the CPU time it was 1.5, 27 and 20 %.
const SLOWER: (f64, f64) = (4.7, 0.4);
/// What part of everything that the target does the windows of a level may make slower: so many times the square of the budget.
/// With two per cent that is a fiftieth of the hundredth by which the 99th percentile of a latency is told, which the start of
/// a session takes its part of as well; who allows for ten per cent wants to see more.
const SLOWER_PART: f64 = 0.4;
/// How fast older readings lose their weight, nanoseconds.
const MEMORY_NS: f64 = 400e6;

/// The least weight of the reading that ends a window.
const LEAST_WEIGHT: f64 = 0.2;
/// The least weight of a reading that is less than half of what was known: what has become calmer is to be watched for longer soon,
/// and windows are short and rare until then.
const CALMER_WEIGHT: f64 = 0.5;

/// The same for what goflow itself takes, which is read in larger pieces, nanoseconds.
const DISPLACED_MEMORY_NS: f64 = 3e9;
/// It takes nothing if nothing was read for so long, nanoseconds.
const NO_LUMP_NS: f64 = 1.5e9;

/// How much of its CPU time a target may lose.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Budget {
    /// Whatever it takes.
    Unlimited,
    /// This part: above 0, and 1 at most.
    Share(f64),
}

impl Budget {
    /// What `goflow trace` keeps to unless it is told otherwise.
    pub const DEFAULT: Self = Self::Share(0.02);

    /// Shares to choose from: less than the least no horizon could keep.
    pub const SHARES: RangeInclusive<f64> = 0.000_1..=1.0;

    /// As a part of 1, if it is limited.
    #[must_use]
    pub fn share(self) -> Option<f64> {
        match self {
            Self::Unlimited => None,
            Self::Share(share) => Some(share),
        }
    }
}

/// A part of 1 in percent, without what binary fractions add.
#[must_use]
pub fn percent(share: f64) -> f64 {
    (share * 1e6).round() / 1e4
}

/// As it is written on the command line.
impl fmt::Display for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unlimited => f.write_str("none"),
            Self::Share(share) => write!(f, "{}%", percent(*share)),
        }
    }
}

/// As it is written on the command line: `2%`, `none`.
impl FromStr for Budget {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "none" {
            return Ok(Self::Unlimited);
        }
        let percent = text.strip_suffix('%').map(str::trim_end).ok_or(
            "a budget is a part of the target's CPU time with a percent sign, such as `2%` or `0.5%`, or `none`",
        )?;
        match percent.parse::<f64>() {
            Ok(percent) if Self::SHARES.contains(&(percent / 100.0)) => Ok(Self::Share(percent / 100.0)),
            Ok(_) => {
                Err("a budget is between 0.01% and 100%; `none` lifts it, `--level snapshot` has no probe"
                    .into())
            }
            Err(_) => Err(format!("{percent:?} is not a number")),
        }
    }
}

/// The levels that have probes, by what they are worth for what they cost: the last goes out first.
pub const LEVELS: [Level; 3] = [Level::Lifecycle, Level::Blocking, Level::Channels];

/// How many times its cost a level is worth, against the others: without lifecycle and parks, snapshots alone tell who there
/// is and who waits, but channel operations have their parks beside them.
const WORTH: [f64; LEVELS.len()] = [100.0, 10.0, 1.0];

/// How what is left for windows is shared out.
const PART: [f64; LEVELS.len()] = [4.0, 2.0, 1.0];

/// What has been used and caused so far.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reading {
    /// When it was read, on any clock that runs steadily, nanoseconds.
    pub at_ns: u64,
    /// CPU time of the targets, nanoseconds.
    pub target_cpu_ns: u64,
    /// CPU time of the targets that hits took, of each of [`LEVELS`], nanoseconds.
    pub cost_ns: [u64; LEVELS.len()],
    /// Those of them among these that came while every probe of their level was in.
    pub watched_ns: [u64; LEVELS.len()],
    /// CPU time that the targets did not get because goflow itself used it, nanoseconds.
    pub displaced_ns: u64,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// Take out the probes that each of these levels adds to those before it, at the same time.
    Withdraw(Vec<Level>),
    /// Put them in again.
    Restore(Level),
}

/// How a level is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// All the time.
    Continuous,
    /// In windows.
    Sampled,
    /// Not at all, because it does not fit.
    Removed,
    /// Not at all, because nobody wants it.
    Off,
}

impl Mode {
    /// The word for it in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Continuous => "continuous",
            Self::Sampled => "sampled",
            Self::Removed => "removed",
            Self::Off => "off",
        }
    }
}

/// What taking probes out and putting them in again does to the targets.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Turn {
    /// CPU time of the targets that both together take, nanoseconds.
    pub cost_ns: u64,
    /// It is quick enough to be done again and again.
    pub is_quick: bool,
}

/// Keeps the budget of one session.
#[derive(Debug)]
pub struct Controller {
    share: f64,
    turn: Turn,
    lanes: Vec<Lane>,
    history: VecDeque<Sample>,
    /// CPU time of the targets in a nanosecond.
    cpu_rate: f64,
    /// What it cost that the probes went in at the start, nanoseconds.
    start_ns: u64,
    /// What work on the breakpoints has cost since, nanoseconds.
    turned_ns: u64,
    /// The reading by which it was last known what goflow itself takes.
    displaced: Reading,
    /// What it takes of the targets' CPU time.
    displaced_share: f64,
    /// How much longer than usual it takes until probes are in or out, nanoseconds.
    delay: f64,
    random: fastrand::Rng,
}

/// What it goes by, for whoever looks for why it does what it does.
impl fmt::Display for Controller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.0} ms left of the budget, {:.2} CPUs used", self.left() / 1e6, self.cpu_rate)?;
        for (index, lane) in self.lanes.iter().enumerate() {
            let (level, share) = (LEVELS[lane.index].name(), percent(lane.share));
            let (window, gap) = (self.window(index) / 1e6, self.gap(index) / 1e6);
            write!(f, "; {level} {:?}: {share:.1} %, {window:.0} ms in {gap:.0}", lane.phase)?;
        }
        Ok(())
    }
}

/// One of [`LEVELS`].
#[derive(Debug)]
struct Lane {
    index: usize,
    phase: Phase,
    /// Cost in a nanosecond, at the last reading.
    rate: f64,
    /// Of the targets' CPU time, while it is in.
    share: f64,
    /// The reading that both are reckoned from.
    since: Option<Reading>,
    /// For how long that was measured, nanoseconds.
    tried_ns: f64,
    /// What `share` says of it.
    knowledge: Knowledge,
}

/// What is known of the share of a level. Beside one that stretches what the target does, another takes what it would not take
/// alone: queues are full or empty then that are not otherwise, and whoever sends or receives parks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Knowledge {
    Nothing,
    Disturbed,
    Undisturbed,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Phase {
    Steady,
    Window {
        until: u64,
    },
    /// So many mean times until the next window are left: each passes as fast as the budget allows for at the time.
    Out {
        wait: f64,
    },
    Removed,
    /// Nobody wants it.
    Off,
}

#[derive(Clone, Copy, Debug)]
struct Sample {
    at_ns: u64,
    cpu_ns: u64,
    cost_ns: u64,
}

impl Controller {
    /// For the levels up to `level`, all of whose probes are in; `start` is from before the first of them was, so that
    /// what they cost until the first reading counts. `seed` makes the times between windows.
    #[must_use]
    pub fn new(share: f64, level: Level, turn: Turn, start: Reading, seed: u64) -> Self {
        let mode = |known| if known <= level { Mode::Continuous } else { Mode::Off };
        let mut controller = Self::join(share, LEVELS.map(mode), turn, start, seed);
        // What was hit before the first reading was hit by a target of which nothing had been read.
        controller.lanes.iter_mut().for_each(|lane| lane.since = None);
        // They were put in just now, and how much the targets run is not known yet.
        Self { start_ns: turn.cost_ns / 2, ..controller }
    }

    /// For a session that is under way and had no budget: `modes` is how each of [`LEVELS`] is watched, all the time or not at
    /// all, and only what is caused after `start` counts.
    #[must_use]
    pub fn join(share: f64, modes: [Mode; LEVELS.len()], turn: Turn, start: Reading, seed: u64) -> Self {
        let phase = |mode| match mode {
            Mode::Continuous | Mode::Sampled => Phase::Steady,
            Mode::Removed => Phase::Removed,
            Mode::Off => Phase::Off,
        };
        let lane = |(index, mode)| {
            let phase = phase(mode);
            let since = (phase == Phase::Steady).then_some(start);
            Lane { index, phase, rate: 0.0, share: 0.0, since, tried_ns: 0.0, knowledge: Knowledge::Nothing }
        };
        let cost_ns = start.cost_ns.iter().sum::<u64>() + start.displaced_ns;
        let first = Sample { at_ns: start.at_ns, cpu_ns: start.target_cpu_ns, cost_ns };
        Self {
            share,
            turn,
            lanes: modes.into_iter().enumerate().map(lane).collect(),
            history: VecDeque::from([first]),
            cpu_rate: 0.0,
            start_ns: 0,
            turned_ns: 0,
            displaced: start,
            displaced_share: 0.0,
            delay: 0.0,
            random: fastrand::Rng::with_seed(seed),
        }
    }

    /// The budget is another from here on. What has been spent before counts in it.
    pub fn set_share(&mut self, share: f64) {
        self.share = share;
    }

    /// A hit is known to cost so many times what it was taken to cost: readings are reckoned by that from here on.
    pub fn costs_known_better(&mut self, times: f64) {
        for lane in &mut self.lanes {
            lane.share = (lane.share * times).min(1.0);
            // What was read before does not compare with what is read from here on.
            lane.since = None;
        }
    }

    /// Nobody wants a level any more: its probes are out, and stay out. `reading` as for [`Self::withdrawn`].
    pub fn switched_off(&mut self, level: Level, reading: Reading) {
        let turn_ns = self.turn_cost() as u64 / 2;
        for lane in self.lanes.iter_mut().filter(|lane| LEVELS[lane.index] == level) {
            if lane.is_in() {
                lane.measure(reading, 0.0);
                self.turned_ns += turn_ns;
            }
            (lane.phase, lane.since, lane.rate) = (Phase::Off, None, 0.0);
        }
    }

    /// A level is wanted. Returns whether its probes are to go in now; if not, they go in when the budget pays for a window.
    pub fn switch_on(&mut self, level: Level) -> bool {
        let Some(lane) = self.lanes.iter().position(|lane| LEVELS[lane.index] == level) else { return false };
        // Each level includes those before.
        let lacks_one_before =
            self.lanes.iter().any(|one| one.index < self.lanes[lane].index && one.phase == Phase::Removed);
        if lacks_one_before || (self.lanes[lane].phase == Phase::Removed && !self.turn.is_quick) {
            self.lanes[lane].phase = Phase::Removed;
            return false;
        }
        // What it costs is known if it was in before. One that is new is tried, as at the start.
        if !self.fits(lane) && self.turn.is_quick {
            self.lanes[lane].phase = Phase::Out { wait: self.wait() };
            return false;
        }
        (self.lanes[lane].phase, self.lanes[lane].since) = (Phase::Steady, None);
        self.turned_ns += self.turn_cost() as u64 / 2;
        true
    }

    /// How a level is watched.
    #[must_use]
    pub fn mode(&self, level: Level) -> Mode {
        match self.lanes.iter().find(|lane| LEVELS[lane.index] == level).map(|lane| lane.phase) {
            Some(Phase::Steady) => Mode::Continuous,
            Some(Phase::Window { .. } | Phase::Out { .. }) => Mode::Sampled,
            Some(Phase::Removed) => Mode::Removed,
            Some(Phase::Off) | None => Mode::Off,
        }
    }

    /// What work on the breakpoints has cost the targets since the probes were in, nanoseconds.
    #[must_use]
    pub fn turned_ns(&self) -> u64 {
        self.turned_ns
    }

    /// A level is in a window, or is tried: by what is read meanwhile it is reckoned what it takes.
    #[must_use]
    pub fn is_measuring(&self) -> bool {
        self.lanes.iter().any(|lane| match lane.phase {
            Phase::Window { .. } => true,
            Phase::Steady => lane.is_new(),
            Phase::Out { .. } | Phase::Removed | Phase::Off => false,
        })
    }

    /// When the next reading is wanted.
    #[must_use]
    pub fn due_ns(&self) -> u64 {
        let now = self.history.back().map_or(0, |sample| sample.at_ns);
        let of_lane = |(index, lane): (usize, &Lane)| match lane.phase {
            Phase::Steady if lane.is_new() => now + TRIAL_PACE_NS,
            Phase::Steady => now + STEADY_PACE_NS,
            Phase::Window { until } => until.min(now + PACE_NS),
            // One that is due and waits for the budget only need not be looked at as often as may be.
            Phase::Out { wait } if wait <= 0.0 => now + PACE_NS,
            Phase::Out { wait } => now + (wait * self.gap(index)) as u64,
            Phase::Removed | Phase::Off => u64::MAX,
        };
        // Also while all are out, because the history is as fine as the readings.
        self.lanes
            .iter()
            .enumerate()
            .map(of_lane)
            .min()
            .unwrap_or(u64::MAX)
            .clamp(now + LEAST_PAUSE_NS, now + 4 * PACE_NS)
    }

    /// Takes a reading; returns what is to be done, which is then taken for done. Another one is due as soon as it is.
    pub fn observe(&mut self, reading: Reading) -> Option<Order> {
        self.note(reading);
        let now = reading.at_ns;
        let dear = self.overload();
        if !dear.is_empty() {
            return Some(self.withdraw(&dear));
        }
        let is_window = |lane: &Lane| matches!(lane.phase, Phase::Window { .. });
        let is_alone = !self.lanes.iter().any(is_window);
        // One of which too little is known is tried alone.
        let is_due = |lane: &Lane| {
            matches!(lane.phase, Phase::Out { wait } if wait <= 0.0) && (is_alone || lane.is_known())
        };
        let affordable = |lane: &usize| self.cost_of_window(*lane, self.window(*lane)) <= self.left();
        let lane = (0..self.lanes.len()).filter(|lane| is_due(&self.lanes[*lane])).find(affordable)?;
        let window = self.window(lane);
        // What fits by now stays in.
        self.lanes[lane].phase =
            if self.fits(lane) { Phase::Steady } else { Phase::Window { until: now + window as u64 } };
        self.lanes[lane].since = None;
        self.turned_ns += self.turn_cost() as u64 / 2;
        Some(Order::Restore(LEVELS[self.lanes[lane].index]))
    }

    /// The levels whose window is over at `now_ns`: they are to be taken out without another look, which would take longer
    /// than the window.
    pub fn expire(&mut self, now_ns: u64) -> Option<Order> {
        let is_over =
            |lane: &usize| matches!(self.lanes[*lane].phase, Phase::Window { until } if until <= now_ns);
        let over: Vec<usize> = (0..self.lanes.len()).filter(is_over).collect();
        (!over.is_empty()).then(|| self.withdraw(&over))
    }

    /// The probes of a level are out; `reading` has all that their hits have cost, and clock and CPU time from when the first went.
    pub fn withdrawn(&mut self, level: Level, reading: Reading) {
        for lane in self.lanes.iter_mut().filter(|lane| LEVELS[lane.index] == level) {
            lane.measure(reading, LEAST_WEIGHT);
            (lane.since, lane.rate) = (None, 0.0);
        }
    }

    /// The probes of a level are in since `at_ns`: a window begins when all are.
    pub fn restored(&mut self, level: Level, reading: Reading) {
        let shortest = LEAST_WINDOW_NS as u64;
        for lane in self.lanes.iter_mut().filter(|lane| LEVELS[lane.index] == level) {
            if let Phase::Window { until } = &mut lane.phase {
                *until = (*until).max(reading.at_ns + shortest);
            }
            lane.since = Some(reading);
        }
    }

    /// It took so long to put probes in, or to take them out: on a busy machine, longer than usual, and then each window
    /// lasts longer than it was to.
    pub fn took(&mut self, order: &Order, took_ns: u64) {
        let usual = match order {
            Order::Withdraw(_) => USUAL_OUT_NS,
            Order::Restore(_) => USUAL_IN_NS,
        };
        let delay = (took_ns as f64 - usual).max(0.0);
        // One that was slow counts at once, and is forgotten slowly.
        self.delay = delay.max(self.delay * 0.8);
    }

    /// The probes of a level could not be put in.
    pub fn refused(&mut self, level: Level) {
        for lane in self.lanes.iter_mut().filter(|lane| LEVELS[lane.index] == level) {
            lane.phase = Phase::Removed;
        }
    }

    fn note(&mut self, reading: Reading) {
        self.note_displaced(reading);
        let (at_ns, cpu_ns) = (reading.at_ns, reading.target_cpu_ns);
        if let Some(last) = self.history.back() {
            let span = at_ns.saturating_sub(last.at_ns) as f64;
            if span > 0.0 {
                let rate = cpu_ns.saturating_sub(last.cpu_ns) as f64 / span;
                let is_first = self.history.len() == 1;
                let weight = if is_first { 1.0 } else { weight(span) };
                self.cpu_rate += (rate - self.cpu_rate) * weight;
                if is_first {
                    self.start_ns = self.start_ns.min(self.turn_cost() as u64 / 2);
                }
            }
        }
        let hits_ns = reading.cost_ns.iter().sum::<u64>();
        let cost_ns = hits_ns + self.start_ns + self.turned_ns + reading.displaced_ns;
        let sample = Sample { at_ns, cpu_ns, cost_ns };
        self.history.push_back(sample);
        let horizon = sample.at_ns.saturating_sub(HORIZON_NS);
        while self.history.get(1).is_some_and(|second| second.at_ns <= horizon) {
            self.history.pop_front();
        }
        for lane in &mut self.lanes {
            lane.note(reading);
        }
        let passed =
            self.history.iter().rev().nth(1).map_or(0, |before| sample.at_ns.saturating_sub(before.at_ns));
        for lane in 0..self.lanes.len() {
            let gap = self.gap(lane);
            if let Phase::Out { wait } = &mut self.lanes[lane].phase {
                *wait -= passed as f64 / gap;
            }
        }
    }

    /// What goflow itself takes is told in lumps: each is of the time since the one before.
    fn note_displaced(&mut self, reading: Reading) {
        let before = self.displaced;
        let lump = reading.displaced_ns.saturating_sub(before.displaced_ns) as f64;
        let span = reading.at_ns.saturating_sub(before.at_ns) as f64;
        if lump == 0.0 && span < NO_LUMP_NS {
            return;
        }
        self.displaced = reading;
        let used = reading.target_cpu_ns.saturating_sub(before.target_cpu_ns) as f64;
        // What was used to begin with is not what goes on.
        let share = (lump / used.max(1.0)).min(self.share);
        self.displaced_share += (share - self.displaced_share) * (span / DISPLACED_MEMORY_NS).min(1.0);
    }

    /// What may still be spent, nanoseconds. A session that is younger than the horizon is taken to go on as it does, but
    /// not for certain.
    fn left(&self) -> f64 {
        let (Some(first), Some(last)) = (self.history.front(), self.history.back()) else { return 0.0 };
        let span = (last.at_ns - first.at_ns) as f64;
        let to_come = (HORIZON_NS as f64 - span).max(0.0) / 2.0;
        let cpu = last.cpu_ns.saturating_sub(first.cpu_ns) as f64 + self.cpu_rate * to_come;
        let spent = last.cost_ns.saturating_sub(first.cost_ns) as f64;
        (SPENT_PART * self.share * cpu).max(LEAST_ALLOWED_NS) - spent
    }

    /// The levels to take out because what is left does not pay for going on, dearest first.
    fn overload(&self) -> Vec<usize> {
        let demand: f64 = self.lanes.iter().filter(|lane| lane.is_in()).map(|lane| lane.rate).sum();
        let planned = self.planned_share() * self.cpu_rate;
        let is_in_vain = self.is_tried_in_vain(planned);
        let is_paid = demand * (REACTION_NS + self.delay) <= self.left() && !is_in_vain;
        if is_paid || demand <= planned {
            return Vec::new();
        }
        let score = |&lane: &usize| self.lanes[lane].rate / WORTH[self.lanes[lane].index];
        let is_in = |&lane: &usize| self.lanes[lane].is_in() && self.lanes[lane].rate > 0.0;
        let mut dear: Vec<usize> = (0..self.lanes.len()).filter(is_in).collect();
        dear.sort_by(|one, other| score(other).total_cmp(&score(one)));
        // The CPU time that the others leave is used by the target, which hits what is in all the more.
        let demand_without = |out: usize| {
            let sum =
                |lanes: &[usize], of: fn(&Lane) -> f64| lanes.iter().map(|&lane| of(&self.lanes[lane])).sum();
            let (rest, freed): (f64, f64) =
                (sum(&dear[out..], |lane| lane.rate), sum(&dear[..out], |lane| lane.share));
            rest / (1.0 - freed).max(0.1)
        };
        let mut out = 1;
        while out < dear.len() && demand_without(out) > URGENT * planned {
            out += 1;
        }
        dear.truncate(out);
        dear
    }

    /// Levels that came in to stay stretch what the target does. What is left might pay for them a while longer, but not for
    /// good, and who uses the target would be the one to notice. What takes less than may always be spent is not meant, nor what
    /// would not come back.
    fn is_tried_in_vain(&self, planned: f64) -> bool {
        let steady = || self.lanes.iter().filter(|lane| lane.phase == Phase::Steady && lane.rate > 0.0);
        let demand: f64 = steady().map(|lane| lane.rate).sum();
        self.turn.is_quick
            && demand > (STRETCHING * self.cpu_rate).max(URGENT * planned)
            && demand * REACTION_NS > LEAST_ALLOWED_NS
            && steady().any(Lane::is_new)
    }

    fn withdraw(&mut self, lanes: &[usize]) -> Order {
        for &lane in lanes {
            self.turned_ns += self.turn_cost() as u64 / 2;
            // What it takes alone is found out soon.
            let wait = if self.lanes[lane].is_known() { self.wait() } else { 0.0 };
            self.lanes[lane].phase = if self.turn.is_quick { Phase::Out { wait } } else { Phase::Removed };
        }
        Order::Withdraw(lanes.iter().map(|&lane| LEVELS[self.lanes[lane].index]).collect())
    }

    /// Until the next window, in mean times. Longer ones are cut, which takes less than a fiftieth of the mean.
    fn wait(&mut self) -> f64 {
        (-self.random.f64().max(1e-9).ln()).min(4.0)
    }

    /// What the levels take that stay in, `lane` apart.
    fn steady_share(&self, lane: usize) -> f64 {
        let steady =
            self.lanes.iter().enumerate().filter(|(index, one)| *index != lane && one.phase == Phase::Steady);
        steady.map(|(_, one)| one.share).sum()
    }

    /// What hits and windows may cost, of the targets' CPU time: what goflow itself takes is spent already.
    fn planned_share(&self) -> f64 {
        (PLANNED_PART * self.share - self.displaced_share).max(LEAST_PART * self.share)
    }

    /// Whether `lane` may stay in for good beside those that do.
    fn fits(&self, lane: usize) -> bool {
        let most = self.planned_share().min(STEADY_PART * self.share);
        self.steady_share(lane) + self.lanes[lane].share <= most
    }

    /// What windows of `lane` may cost, in CPU time of the targets in a nanosecond.
    fn pay(&self, lane: usize) -> f64 {
        let is_cycled = |(index, one): &(usize, &Lane)| {
            *index == lane || matches!(one.phase, Phase::Window { .. } | Phase::Out { .. })
        };
        let parts: f64 =
            self.lanes.iter().enumerate().filter(is_cycled).map(|(_, one)| PART[one.index]).sum();
        let rest = (self.planned_share() - self.steady_share(lane)).max(LEAST_PART * self.share);
        rest * PART[self.lanes[lane].index] / parts * self.cpu_rate
    }

    /// What part of the time `lane` may be watched in windows, whatever the budget pays for.
    fn most_watched(&self, lane: usize) -> f64 {
        let share = self.lanes[lane].share;
        let slower = (SLOWER.0 * (share - self.share / 2.0).max(0.0).powi(2)).clamp(1e-9, SLOWER.1);
        let done = SLOWER_PART * self.share * self.share / slower;
        // While it is in, the target does less.
        (done / (1.0 - share).max(done)).min(1.0)
    }

    /// How long the next window of `lane` is.
    fn window(&self, lane: usize) -> f64 {
        if !self.lanes[lane].is_known() {
            return LEAST_WINDOW_NS;
        }
        let rate = self.lanes[lane].share * self.cpu_rate;
        let paid = (self.pay(lane) * PERIOD_NS - self.turn_cost()) / rate.max(1e-9);
        let borne = PERIOD_NS * self.most_watched(lane);
        (paid.min(borne) - LAG_NS).clamp(LEAST_WINDOW_NS, LONGEST_WINDOW_NS)
    }

    /// What hardly runs is hardly held up.
    fn turn_cost(&self) -> f64 {
        self.turn.cost_ns as f64 * self.cpu_rate.min(1.0)
    }

    fn cost_of_window(&self, lane: usize, window: f64) -> f64 {
        self.lanes[lane].share * self.cpu_rate * (window + LAG_NS + self.delay) + self.turn_cost()
    }

    /// The mean time until the next window of `lane`, nanoseconds.
    fn gap(&self, lane: usize) -> f64 {
        let window = self.window(lane);
        let paid = self.cost_of_window(lane, window) / self.pay(lane).max(1e-9);
        let borne = (window + LAG_NS) / self.most_watched(lane);
        (paid.max(borne) - window).clamp(LEAST_GAP_NS, LONGEST_GAP_NS)
    }
}

impl Lane {
    fn is_in(&self) -> bool {
        matches!(self.phase, Phase::Steady | Phase::Window { .. })
    }

    /// It has hardly been tried.
    fn is_new(&self) -> bool {
        self.tried_ns < TRIAL_NS
    }

    /// What it takes when it is in is known as well as it is going to be: another may stretch what the target does all the time.
    fn is_known(&self) -> bool {
        self.knowledge == Knowledge::Undisturbed || (self.knowledge == Knowledge::Disturbed && !self.is_new())
    }

    /// Brings rate and share up to date.
    fn note(&mut self, reading: Reading) {
        if self.is_in() {
            self.measure(reading, 0.0);
        }
    }

    fn measure(&mut self, reading: Reading, least_weight: f64) {
        let Some(since) = self.since.replace(reading) else { return };
        let span = reading.at_ns.saturating_sub(since.at_ns) as f64;
        if span <= 0.0 {
            return;
        }
        let cost = |index: usize| reading.watched_ns[index].saturating_sub(since.watched_ns[index]) as f64;
        let own = cost(self.index);
        let cpu = (reading.target_cpu_ns.saturating_sub(since.target_cpu_ns) as f64).max(own).max(1.0);
        self.rate = own / span;
        self.tried_ns += span;
        let is_disturbed =
            (0..LEVELS.len()).any(|other| other != self.index && cost(other) > STRETCHING * cpu);
        let knowledge = if is_disturbed { Knowledge::Disturbed } else { Knowledge::Undisturbed };
        // What a moment says is as good as nothing.
        if span >= LEAST_SPAN_NS {
            self.learn(own / cpu, weight(span).max(least_weight), knowledge);
        }
    }

    fn learn(&mut self, share: f64, weight: f64, knowledge: Knowledge) {
        let weight = match knowledge.cmp(&self.knowledge) {
            Ordering::Less => return,
            Ordering::Greater => 1.0,
            Ordering::Equal if self.share == 0.0 => 1.0,
            Ordering::Equal if share < self.share / 2.0 => weight.max(CALMER_WEIGHT),
            Ordering::Equal => weight,
        };
        self.share += (share - self.share) * weight;
        self.knowledge = knowledge;
    }
}

/// Of a reading that covers so many nanoseconds, against those before it.
fn weight(span: f64) -> f64 {
    1.0 - (-span / MEMORY_NS).exp()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    /// A target on two CPUs: what it does in a second of CPU time that probes leave it, by level, and how busy it is.
    struct Target {
        hits: [f64; LEVELS.len()],
        busy: f64,
        hit_ns: f64,
    }

    /// A session, a millisecond at a time.
    struct Session {
        controller: Controller,
        reading: Reading,
        cost: [f64; LEVELS.len()],
        watched_cost: [f64; LEVELS.len()],
        cpu: f64,
        is_in: [bool; LEVELS.len()],
        /// An order that is being carried out, until when.
        order: Option<(Order, u64)>,
        due: u64,
        turned: f64,
        /// CPU time and cost at the end of each millisecond.
        account: Vec<(f64, f64)>,
        /// How long each level was in, ms.
        watched: [u64; LEVELS.len()],
    }

    impl Session {
        fn new(share: f64, turn: Turn) -> Self {
            Self {
                controller: Controller::new(share, Level::Channels, turn, Reading::default(), 7),
                reading: Reading::default(),
                cost: [0.0; _],
                watched_cost: [0.0; _],
                cpu: 0.0,
                is_in: [true; _],
                order: None,
                due: 0,
                turned: turn.cost_ns as f64 / 2.0,
                account: Vec::new(),
                watched: [0; _],
            }
        }

        fn run(&mut self, target: &Target, seconds: u64) {
            for _ in 0..seconds * 1000 {
                self.step(target);
            }
        }

        fn step(&mut self, target: &Target) {
            let cpu = target.busy * MS as f64;
            let per_cpu =
                |index: usize| if self.is_in[index] { target.hits[index] * target.hit_ns / 1e9 } else { 0.0 };
            // Work and probes share the CPU time.
            let load: f64 = (0..LEVELS.len()).map(per_cpu).sum();
            for index in 0..LEVELS.len() {
                let cost = cpu * per_cpu(index) / (1.0 + load);
                self.cost[index] += cost;
                self.watched_cost[index] += if self.is_going(index) { 0.0 } else { cost };
                self.watched[index] += u64::from(self.is_in[index]);
            }
            self.cpu += cpu;
            self.reading.at_ns += MS;
            self.account.push((self.cpu, self.cost.iter().sum::<f64>() + self.turned));
            let now = self.reading.at_ns;
            if let Some((order, until)) = self.order.clone() {
                if now < until {
                    return;
                }
                self.order = None;
                self.apply(&order);
            }
            if now >= self.due {
                self.observe();
            }
        }

        /// Its probes are on their way out.
        fn is_going(&self, index: usize) -> bool {
            let withdrawn =
                |order: &Order| matches!(order, Order::Withdraw(levels) if levels.contains(&LEVELS[index]));
            self.order.as_ref().is_some_and(|(order, _)| withdrawn(order))
        }

        fn observe(&mut self) {
            self.read();
            let now = self.reading.at_ns;
            let order = self.controller.expire(now).or_else(|| self.controller.observe(self.reading));
            // Breakpoints are written within a millisecond; what then is waited for hits nobody.
            self.order = order.map(|order| (order, now + MS));
            self.due = self.controller.due_ns();
            if let Some((order, _)) = &self.order {
                let (turns, took) = match order {
                    Order::Withdraw(levels) => (levels.len(), 40 * MS),
                    Order::Restore(_) => (1, 8 * MS),
                };
                self.turned += turns as f64 * self.controller.turn.cost_ns as f64 / 2.0;
                self.due = now + took;
            }
        }

        fn apply(&mut self, order: &Order) {
            let mut set =
                |level, is_in| self.is_in[LEVELS.iter().position(|known| *known == level).unwrap()] = is_in;
            match order {
                Order::Withdraw(levels) => {
                    levels.iter().for_each(|&level| set(level, false));
                    let at_order = self.reading;
                    self.read();
                    let (at_ns, target_cpu_ns) = (at_order.at_ns - MS, at_order.target_cpu_ns);
                    let reading = Reading { at_ns, target_cpu_ns, ..self.reading };
                    levels.iter().for_each(|&level| self.controller.withdrawn(level, reading));
                }
                &Order::Restore(level) => {
                    set(level, true);
                    self.read();
                    self.controller.restored(level, self.reading);
                }
            }
        }

        /// The worst share of any horizon that begins after `from` ms.
        fn worst(&self, from: usize) -> f64 {
            let horizon = (HORIZON_NS / MS) as usize;
            let spans = (from..self.account.len().saturating_sub(horizon)).step_by(50);
            let share = |at: usize| {
                let (start, end) = (self.account[at], self.account[at + horizon]);
                (end.1 - start.1) / (end.0 - start.0).max(1.0)
            };
            spans.map(share).fold(0.0, f64::max)
        }

        fn part(&self, level: usize) -> f64 {
            self.watched[level] as f64 / self.account.len() as f64
        }
    }

    const QUICK: Turn = Turn { cost_ns: 300_000, is_quick: true };

    /// Two CPUs that do nothing but channel operations which park.
    fn hot() -> Target {
        Target { hits: [10.0, 4e6, 4e6], busy: 2.0, hit_ns: 1_000.0 }
    }

    #[test]
    fn where_everything_fits_every_probe_stays_in() {
        let mut session = Session::new(0.02, QUICK);
        session.run(&Target { hits: [10.0, 1_000.0, 10_000.0], busy: 2.0, hit_ns: 1_000.0 }, 30);
        assert!(LEVELS.iter().all(|&level| session.controller.mode(level) == Mode::Continuous));
        assert_eq!(session.watched, [30_000; 3]);
    }

    #[test]
    fn the_hottest_target_pays_its_budget_and_no_more_and_is_sampled() {
        let mut session = Session::new(0.02, QUICK);
        session.run(&hot(), 60);
        let worst = session.worst(0);
        assert!(worst <= 0.02, "{worst}");
        let (cpu, cost) = session.account[session.account.len() - 1];
        assert!(cost / cpu > 0.003, "{}", cost / cpu);
        assert_eq!(session.controller.mode(Level::Channels), Mode::Sampled);
        // Who is there is known all the time.
        assert_eq!(session.controller.mode(Level::Lifecycle), Mode::Continuous);
        assert!((session.part(0), session.part(2) > 0.002) == (1.0, true), "{:?}", session.watched);
    }

    #[test]
    fn what_exceeds_the_budget_a_little_is_watched_for_a_good_part_of_the_time() {
        let mut session = Session::new(0.02, QUICK);
        session.run(&Target { hits: [10.0, 1_000.0, 26_000.0], busy: 1.0, hit_ns: 1_000.0 }, 60);
        assert!(session.worst(0) <= 0.02, "{}", session.worst(0));
        assert!((0.2..0.95).contains(&session.part(2)), "{:?}", session.watched);
        assert_eq!(session.part(1), 1.0);
    }

    /// What is done while a level is in that takes so much of the CPU time, of all that is done.
    fn part_stretched(share: f64) -> f64 {
        let mut session = Session::new(0.02, QUICK);
        let hits = share / (1.0 - share) * 1e6;
        session.run(&Target { hits: [0.0, 0.0, hits], busy: 2.0, hit_ns: 1_000.0 }, 120);
        let within = session.part(2) * (1.0 - share);
        within / (within + 1.0 - session.part(2))
    }

    #[test]
    fn windows_make_hardly_anything_of_what_a_target_does_slower() {
        for (share, slower) in [(0.05, 0.005), (0.2, 0.1), (0.4, 0.4), (0.7, 0.4)] {
            let slower = part_stretched(share) * slower;
            assert!((0.000_05..0.000_5).contains(&slower), "{share}: {slower}");
        }
        assert!(part_stretched(0.021) > 0.3);
    }

    #[test]
    fn a_burst_that_comes_after_a_quiet_time_is_paid_by_the_budget() {
        let mut session = Session::new(0.02, QUICK);
        session.run(&Target { hits: [1.0, 4_000.0, 4_000.0], busy: 2.0, hit_ns: 1_000.0 }, 20);
        session.run(&hot(), 20);
        assert!(session.worst(0) <= 0.02, "{}", session.worst(0));
        // And when it is over, everything is watched again.
        session.run(&Target { hits: [1.0, 4_000.0, 4_000.0], busy: 2.0, hit_ns: 1_000.0 }, 40);
        assert_eq!(session.controller.mode(Level::Channels), Mode::Continuous);
    }

    #[test]
    fn a_target_that_stops_and_goes_on_keeps_its_probes() {
        let mut session = Session::new(0.02, QUICK);
        let calm = Target { hits: [10.0, 1_000.0, 5_000.0], busy: 1.0, hit_ns: 1_000.0 };
        session.run(&calm, 15);
        session.run(&Target { busy: 0.0, ..calm }, 15);
        session.run(&calm, 5);
        assert_eq!(session.watched, [35_000; 3]);
    }

    #[test]
    fn a_quiet_target_is_watched_from_the_start_although_its_probes_went_in() {
        let mut session = Session::new(0.02, Turn { cost_ns: 3_000_000, is_quick: true });
        session.run(&Target { hits: [0.0, 1_500.0, 1_500.0], busy: 0.006, hit_ns: 1_000.0 }, 15);
        assert_eq!(session.watched, [15_000; 3]);
    }

    #[test]
    fn a_target_that_becomes_a_thousand_times_busier_pays_no_larger_share() {
        let mut session = Session::new(0.02, QUICK);
        session.run(&Target { busy: 0.002, ..hot() }, 20);
        session.run(&hot(), 30);
        // Of a horizon in which it hardly ran, the least that may be spent is more than its share.
        assert!(session.worst(20_000) <= 0.02, "{}", session.worst(20_000));
    }

    #[test]
    fn where_probes_come_out_slowly_a_level_that_does_not_fit_stays_out() {
        let mut session = Session::new(0.02, Turn { is_quick: false, ..QUICK });
        session.run(&hot(), 30);
        assert_eq!(session.controller.mode(Level::Channels), Mode::Removed);
        assert!(session.watched[2] < 300, "{:?}", session.watched);
        assert_eq!(session.controller.mode(Level::Lifecycle), Mode::Continuous);
    }

    #[test]
    fn a_target_that_hardly_runs_is_watched_again_when_its_dear_start_is_past() {
        let mut session = Session::new(0.02, QUICK);
        session.run(&hot(), 2);
        session.run(&Target { busy: 0.001, ..hot() }, 40);
        assert!(session.watched[2] > session.watched.len() as u64, "{:?}", session.watched);
        let before = session.watched;
        session.run(&Target { busy: 0.001, ..hot() }, 40);
        assert!(session.watched[2] > before[2], "{:?} {before:?}", session.watched);
    }

    #[test]
    fn where_probes_come_in_late_there_are_fewer_windows() {
        let mut controller = Controller::new(0.02, Level::Channels, QUICK, Reading::default(), 7);
        controller.lanes[2].share = 0.5;
        controller.cpu_rate = 1.0;
        let usual = controller.cost_of_window(2, LEAST_WINDOW_NS);
        controller.took(&Order::Restore(Level::Channels), 1_000 * MS);
        assert!(controller.cost_of_window(2, LEAST_WINDOW_NS) > 10.0 * usual);
        for _ in 0..40 {
            controller.took(&Order::Restore(Level::Channels), 8 * MS);
        }
        assert!(controller.cost_of_window(2, LEAST_WINDOW_NS) < 1.1 * usual);
    }

    #[test]
    fn what_goflow_itself_takes_leaves_less_for_hits() {
        let mut session = Session::new(0.02, QUICK);
        // Hits take 1.1 % of the CPU time, which would fit, and goflow 1.4 % of it.
        let target = Target { hits: [0.0, 0.0, 11_000.0], busy: 2.0, hit_ns: 1_000.0 };
        for _ in 0..60_000 {
            session.reading.displaced_ns = (session.cpu * 0.014) as u64;
            session.step(&target);
        }
        let (cpu, cost) = session.account[session.account.len() - 1];
        let (then_cpu, then_cost) = session.account[20_000];
        let share = (cost - then_cost) / (cpu - then_cpu);
        assert!((0.001..0.0065).contains(&share), "{share}");
    }

    #[test]
    fn a_level_that_was_taken_to_cost_more_than_it_does_is_watched_for_longer_once_that_is_known() {
        let mut controller = Controller::new(0.02, Level::Channels, QUICK, Reading::default(), 7);
        controller.cpu_rate = 1.0;
        controller.lanes[2].learn(0.3, 1.0, Knowledge::Undisturbed);
        let watched = |controller: &Controller| controller.window(2) / controller.gap(2);
        let before = watched(&controller);
        controller.costs_known_better(0.5);
        assert!(watched(&controller) > 2.0 * before, "{before} {}", watched(&controller));
    }

    const CALM: Target = Target { hits: [10.0, 1_000.0, 5_000.0], busy: 1.0, hit_ns: 1_000.0 };

    impl Session {
        /// As control does when a level is switched off.
        fn switch_off(&mut self, level: Level) {
            self.finish_order();
            self.is_in[LEVELS.iter().position(|known| *known == level).unwrap()] = false;
            self.read();
            self.controller.switched_off(level, self.reading);
            self.due = self.controller.due_ns();
        }

        fn switch_on(&mut self, level: Level) {
            self.finish_order();
            if self.controller.switch_on(level) {
                self.apply(&Order::Restore(level));
            }
            self.due = self.controller.due_ns();
        }

        fn finish_order(&mut self) {
            if let Some((order, _)) = self.order.take() {
                self.apply(&order);
            }
        }

        fn read(&mut self) {
            self.reading.target_cpu_ns = self.cpu as u64;
            self.reading.cost_ns = self.cost.map(|cost| cost as u64);
            self.reading.watched_ns = self.watched_cost.map(|cost| cost as u64);
        }
    }

    #[test]
    fn a_level_that_was_switched_off_stays_out_until_it_is_switched_on() {
        for target in [CALM, hot()] {
            let mut session = Session::new(0.02, QUICK);
            session.run(&target, 5);
            session.switch_off(Level::Channels);
            let before = session.watched[2];
            session.run(&target, 20);
            assert_eq!(session.watched[2], before);
            assert_eq!(session.controller.mode(Level::Channels), Mode::Off);
            session.switch_on(Level::Channels);
            session.run(&target, 20);
            assert!(session.watched[2] > before, "{:?}", session.watched);
            assert!(session.worst(0) <= 0.02, "{}", session.worst(0));
        }
        let mut session = Session::new(0.02, QUICK);
        session.run(&CALM, 5);
        session.switch_off(Level::Channels);
        session.switch_on(Level::Channels);
        session.run(&CALM, 5);
        assert_eq!(session.controller.mode(Level::Channels), Mode::Continuous);
    }

    #[test]
    fn a_level_that_did_not_fit_goes_in_by_windows_when_it_is_switched_on_again() {
        let mut session = Session::new(0.02, QUICK);
        session.run(&hot(), 5);
        session.switch_off(Level::Channels);
        session.run(&hot(), 5);
        assert!(!session.controller.switch_on(Level::Channels));
        assert_eq!(session.controller.mode(Level::Channels), Mode::Sampled);
        // Where there are no windows, it stays out with the one before it.
        let mut session = Session::new(0.02, Turn { is_quick: false, ..QUICK });
        session.run(&hot(), 10);
        session.switch_off(Level::Channels);
        assert!(!session.controller.switch_on(Level::Channels));
        assert_eq!(session.controller.mode(Level::Channels), Mode::Removed);
    }

    #[test]
    fn levels_beyond_the_one_at_the_start_wait_to_be_switched_on() {
        let mut session = Session::new(0.02, QUICK);
        session.controller = Controller::new(0.02, Level::Lifecycle, QUICK, Reading::default(), 7);
        session.is_in = [true, false, false];
        session.run(&CALM, 10);
        assert_eq!(session.watched, [10_000, 0, 0]);
        session.switch_on(Level::Blocking);
        session.run(&CALM, 10);
        assert_eq!(session.watched, [20_000, 10_000, 0]);
        assert_eq!(session.controller.mode(Level::Channels), Mode::Off);
    }

    #[test]
    fn a_budget_that_comes_later_counts_from_then_on_and_one_that_shrinks_is_kept_to() {
        let mut session = Session::new(1.0, QUICK);
        session.run(&hot(), 12);
        assert_eq!(session.watched[2], 12_000);
        let modes = [Mode::Continuous; LEVELS.len()];
        session.read();
        session.controller = Controller::join(0.02, modes, QUICK, session.reading, 7);
        session.due = session.reading.at_ns;
        session.run(&hot(), 40);
        assert!(session.worst(12_000) <= 0.021, "{}", session.worst(12_000));
        assert_eq!(session.controller.mode(Level::Channels), Mode::Sampled);
        session.controller.set_share(0.005);
        session.run(&hot(), 40);
        // What was spent under the larger one is over after a horizon.
        assert!(session.worst(63_000) <= 0.005, "{}", session.worst(63_000));
        session.controller.set_share(0.02);
        session.run(&CALM, 40);
        assert_eq!(session.controller.mode(Level::Channels), Mode::Continuous);
    }

    #[test]
    fn a_budget_is_a_percentage_or_none() {
        for budget in ["2%", "0.5%", "7%", "0.01%", "33.3333%", "100%", "none"] {
            assert_eq!(budget.parse::<Budget>().unwrap().to_string(), budget);
        }
        assert_eq!("2%".parse(), Ok(Budget::Share(0.02)));
        assert_eq!("0.5 %".parse(), Ok(Budget::Share(0.005)));
        assert_eq!("none".parse(), Ok(Budget::Unlimited));
        for text in ["2%", "0.07%", "7%", "0.5%", "33.3%", "none"] {
            assert_eq!(text.parse::<Budget>().unwrap().to_string(), text);
        }
        for bad in ["2", "0%", "-1%", "101%", "NaN%", "inf%", "%", "two%", ""] {
            assert!(bad.parse::<Budget>().is_err(), "{bad}");
        }
    }
}
