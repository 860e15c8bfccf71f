//! How often a probe would have been hit, from the times in which it was in.
//!
//! In: stretches in which hits were counted and stretches in which they were not, each with the work that the target did in
//! it; out: an [`Estimate`]. Pure. Work is CPU time of the target without what the probes took of it: a target is slower
//! while it is watched, so to count per second of the clock would tell too little; what it does for each second of its own
//! does not change by being looked at.
//!
//! Where nobody looked, the rate is taken to be the mean of the rates before and after. The error has two parts: how much
//! one window differs from the next, and how well the cost of a hit is known, which matters where hits took most of
//! a window.

/// Windows of whose work a greater part is in doubt tell nothing of what the target does without hits: how long it worked between
/// them is known too badly, and where they take most of the time, goroutines wake each other otherwise than they would. All
/// together, since those of them in which hits took less are not like the rest.
const MOST_DOUBT: f64 = 0.2;

/// At least so much as hits took is work, whatever is reckoned: they are some instructions of a program apart.
const LEAST_WORK: f64 = 0.05;

/// Pairs of windows without which nobody can tell how much one differs from the next.
const LEAST_NEIGHBOURS: u32 = 2;

/// 95 % of a normal distribution are within so many standard deviations.
const DEVIATIONS: f64 = 1.96;

/// A total, and how certain it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Estimate {
    /// What was counted, and what is estimated for the rest; `None` where no window, or too few, tell anything of that.
    pub total: Option<u64>,
    /// With 95 % confidence the truth is within so much of it; `None` without a total.
    pub error: Option<u64>,
}

/// Collects the stretches of one probe.
#[derive(Clone, Debug, Default)]
pub struct Estimator {
    counted: u64,
    /// Work in windows, and what of it is in doubt, but for the last.
    work: f64,
    in_doubt: f64,
    /// Estimated for the stretches between two windows.
    between: f64,
    /// Part of that which doubt about costs may change.
    doubt: f64,
    last: Option<Window>,
    has_missed: bool,
    /// Work since the last window.
    missed: f64,
    /// Squares of the work that each window stands for, but for the last.
    squares: f64,
    /// Squares of the differences between neighbours, and how many.
    differences: f64,
    neighbours: u32,
}

/// A stretch in which every hit was counted.
#[derive(Clone, Copy, Debug)]
struct Window {
    count: f64,
    /// CPU time of the target, hits included.
    cpu: f64,
    /// What hits took of it, and what part of that may be wrong.
    cost: f64,
    doubt: f64,
    /// Work outside the window that it stands for.
    weight: f64,
}

impl Window {
    fn work(&self) -> f64 {
        (self.cpu - self.cost).max(self.cost * LEAST_WORK).max(1.0)
    }

    /// Hits in a nanosecond of work.
    fn rate(&self) -> f64 {
        self.count / self.work()
    }

    /// By which that may be wrong.
    fn rate_in_doubt(&self) -> f64 {
        self.rate() * self.doubt * self.cost / self.work()
    }
}

impl Estimator {
    /// A stretch in which every hit was counted. `work_ns` is CPU time of the target without `cost_ns`, that of all probes, of
    /// which `doubt` is the part that may be wrong.
    pub fn watched(&mut self, count: u64, work_ns: u64, cost_ns: u64, doubt: f64) {
        self.counted += count;
        let half = std::mem::take(&mut self.missed) / 2.0;
        let (count, cost) = (count as f64, cost_ns as f64);
        let window = Window { count, cpu: work_ns as f64 + cost, cost, doubt, weight: half };
        if let Some(last) = self.last {
            self.work += last.work();
            self.in_doubt += last.doubt * last.cost;
        }
        if let (Some(last), true) = (self.last, half > 0.0) {
            // Both together: what is wrong about how long each worked is less of both, and a window that is taken to have worked
            // for hardly any time counts for no more than that.
            self.between += 2.0 * half * (last.count + count) / (last.work() + window.work());
            self.doubt += half * (last.rate_in_doubt() + window.rate_in_doubt());
            self.squares += (last.weight + half).powi(2);
            self.differences += (last.rate() - window.rate()).powi(2);
            self.neighbours += 1;
        } else {
            // What the last one stands for is told: nothing was missed since, or nobody wanted it.
            self.squares += self.last.map_or(0.0, |last| last.weight.powi(2));
            // Before the first window there is but one neighbour.
            self.between += 2.0 * half * window.rate();
            self.doubt += 2.0 * half * window.rate_in_doubt();
        }
        self.last = Some(window);
    }

    /// A stretch in which none was.
    pub fn missed(&mut self, work_ns: u64) {
        self.has_missed = true;
        self.missed += work_ns as f64;
    }

    /// A hit is known to cost so many times what it was taken to cost in the last window, and how certain that is.
    pub fn costs_known_better(&mut self, times: f64, doubt: f64) {
        if let Some(last) = &mut self.last {
            (last.cost, last.doubt) = (last.cost * times, doubt);
        }
    }

    /// What comes of it; `None` where nothing was missed, so that what was counted is all.
    #[must_use]
    pub fn estimate(&self) -> Option<Estimate> {
        if !self.has_missed {
            return None;
        }
        let nothing = Some(Estimate { total: None, error: None });
        let Some(last) = self.last else { return nothing };
        let in_doubt = self.in_doubt + last.doubt * last.cost;
        if self.neighbours < LEAST_NEIGHBOURS || in_doubt > MOST_DOUBT * (self.work + last.work()) {
            return nothing;
        }
        let rest = self.between + self.missed * last.rate();
        let doubt = self.doubt + self.missed * last.rate_in_doubt();
        let squares = self.squares + (last.weight + self.missed).powi(2);
        // Two neighbours differ by the square root of two times what one differs from the mean.
        let deviation = (self.differences / (2.0 * f64::from(self.neighbours))).sqrt();
        let error = (DEVIATIONS * deviation * squares.sqrt() + doubt).round() as u64;
        Some(Estimate { total: Some(self.counted + rest.round() as u64), error: Some(error) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn what_was_watched_all_the_time_needs_no_estimate() {
        let mut estimator = Estimator::default();
        estimator.watched(10, 5 * MS, 0, 0.1);
        estimator.watched(20, 5 * MS, 0, 0.1);
        assert_eq!(estimator.estimate(), None);
    }

    #[test]
    fn a_steady_rate_is_carried_over_what_was_missed() {
        let mut estimator = Estimator::default();
        for _ in 0..10 {
            estimator.watched(100, 10 * MS, 0, 0.1);
            estimator.missed(90 * MS);
        }
        assert_eq!(estimator.estimate(), Some(Estimate { total: Some(10_000), error: Some(0) }));
    }

    #[test]
    fn a_window_that_somebody_cuts_in_two_tells_the_same_and_what_it_stands_for_is_not_forgotten() {
        let mut random = fastrand::Rng::with_seed(5);
        let counts: Vec<u64> = (0..20).map(|_| random.u64(900..1100)).collect();
        let (mut whole, mut parts) = (Estimator::default(), Estimator::default());
        for count in counts {
            whole.watched(count, 10 * MS, 0, 0.1);
            whole.missed(90 * MS);
            parts.watched(count / 2, 5 * MS, 0, 0.1);
            parts.watched(count - count / 2, 5 * MS, 0, 0.1);
            parts.missed(90 * MS);
        }
        let (whole, parts) = (whole.estimate().unwrap(), parts.estimate().unwrap());
        assert!(whole.total.unwrap().abs_diff(parts.total.unwrap()) <= 10, "{whole:?} {parts:?}");
        let (whole, parts) = (whole.error.unwrap(), parts.error.unwrap());
        // Two halves are taken for two samples, of half the weight each.
        assert!((whole * 6 / 10..=whole).contains(&parts), "{whole} {parts}");
    }

    #[test]
    fn a_rate_that_grows_is_taken_to_grow_between_the_windows_too() {
        let mut estimator = Estimator::default();
        // Hits per 10 ms of work grow by 1 with each: a window, then nine that nobody sees.
        let truth: u64 = (0..1000).sum::<u64>() + 1000;
        for step in 0..100 {
            estimator.watched(step * 10, 10 * MS, 0, 0.1);
            estimator.missed(90 * MS);
        }
        estimator.watched(1000, 10 * MS, 0, 0.1);
        let estimate = estimator.estimate().unwrap();
        assert!(estimate.total.unwrap().abs_diff(truth) < truth / 50, "{estimate:?} of {truth}");
    }

    #[test]
    fn most_estimates_are_as_near_the_truth_as_they_say() {
        let mut random = fastrand::Rng::with_seed(11);
        let mut within = 0;
        for _ in 0..200 {
            let mut estimator = Estimator::default();
            for _ in 0..30 {
                // Some 1,000 hits in each window, of a target that does one in 10 µs on average.
                let count = (0..40).map(|_| random.u64(0..=50)).sum();
                estimator.watched(count, 10 * MS, 0, 0.1);
                estimator.missed(190 * MS);
            }
            let (estimate, truth) = (estimator.estimate().unwrap(), 30 * 20 * 1_000);
            within += u32::from(estimate.total.unwrap().abs_diff(truth) <= estimate.error.unwrap());
        }
        assert!((180..=199).contains(&within), "{within} of 200");
    }

    #[test]
    fn where_hits_took_much_of_a_window_the_estimate_says_how_little_that_tells() {
        let mut estimator = Estimator::default();
        for _ in 0..5 {
            estimator.watched(100, 5 * MS, 5 * MS, 0.1);
            estimator.missed(95 * MS);
        }
        let estimate = estimator.estimate().unwrap();
        assert!(estimate.error.unwrap() > estimate.total.unwrap() / 12, "{estimate:?}");
    }

    #[test]
    fn a_window_in_which_the_target_did_little_but_hit_tells_nothing() {
        let mut estimator = Estimator::default();
        for _ in 0..5 {
            estimator.watched(100, 3 * MS, 7 * MS, 0.1);
            estimator.missed(90 * MS);
        }
        assert_eq!(estimator.estimate(), Some(Estimate { total: None, error: None }));
    }

    /// Who hardly did anything in every third window is not taken for who never does.
    #[test]
    fn windows_in_which_hits_took_little_do_not_speak_for_the_others() {
        let (mut estimator, mut calmer) = (Estimator::default(), Estimator::default());
        for step in 0..30 {
            let (count, cost) = if step % 3 == 0 { (1, MS / 100) } else { (900, 9 * MS) };
            estimator.watched(count, 10 * MS - cost, cost, 0.1);
            estimator.missed(90 * MS);
            let (count, cost) = if step % 3 == 0 { (1, MS / 100) } else { (500, 5 * MS) };
            calmer.watched(count, 10 * MS - cost, cost, 0.1);
            calmer.missed(90 * MS);
        }
        let estimate = estimator.estimate().unwrap();
        assert!(estimate.error >= estimate.total, "{estimate:?}");
        // Two thirds of the time a hit in 10 µs of work.
        let (total, truth) = (calmer.estimate().unwrap().total.unwrap(), 10_010 + 180_000);
        assert!(total.abs_diff(truth) < truth / 6, "{total} of {truth}");
    }

    #[test]
    fn what_a_window_was_taken_to_cost_is_put_right_when_that_is_known() {
        let mut estimator = Estimator::default();
        // Of 10 ms the hits took 4, and were taken to take 8.
        estimator.watched(4_000, 2 * MS, 8 * MS, 0.5);
        estimator.costs_known_better(0.5, 0.1);
        for _ in 0..3 {
            estimator.missed(60 * MS);
            estimator.watched(4_000, 6 * MS, 4 * MS, 0.1);
        }
        let estimate = estimator.estimate().unwrap();
        assert_eq!(estimate.total, Some(4 * 4_000 + 120_000));
        assert!(estimate.error.unwrap() < 120_000 / 14, "{estimate:?}");
    }

    #[test]
    fn a_machine_that_is_faster_and_slower_makes_no_estimate_too_large() {
        let mut random = fastrand::Rng::with_seed(3);
        let mut estimator = Estimator::default();
        for _ in 0..200 {
            // A hit takes 800 ns of some 1,400 that go by from one to the next, a tenth more or less.
            let count = (10e6 / (1_400.0 * (0.85 + 0.3 * random.f64()))) as u64;
            let cost = count * 800;
            estimator.watched(count, 10 * MS - cost, cost, 0.1);
            estimator.missed(90 * MS);
        }
        let (total, truth) = (estimator.estimate().unwrap().total.unwrap(), 200 * 90 * MS / 600);
        assert!(total.abs_diff(truth + 200 * 7_100) < truth / 20, "{total} of {truth}");
    }
}
