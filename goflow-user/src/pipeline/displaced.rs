//! What goflow's own work takes from the targets: nothing at a moment at which a CPU is idle, and where none is, what they
//! would have used of it.
//!
//! In: CPU times of goflow, the targets and the machine; out: CPU time that the targets did not get. Who would have run
//! instead of goflow is not known: it is taken to be everybody, by what they use.

use crate::target::host::{self, MachineTimes};
use std::time::{Duration, Instant};

/// The machine's times count in hundredths of a second: over shorter stretches they say little.
const LEAST_STRETCH: Duration = Duration::from_millis(500);

/// Adds up what was taken.
pub(super) struct Displaced {
    last: Sample,
    looked: Instant,
    total: f64,
}

/// CPU times at a moment, nanoseconds.
#[derive(Clone, Copy, Debug, Default)]
struct Sample {
    own: u64,
    targets: u64,
    machine: Option<MachineTimes>,
}

impl Displaced {
    /// What goflow has used before is charged by how the machine is from here on.
    pub(super) fn new() -> Self {
        let last = Sample { machine: host::machine_times(), ..Sample::default() };
        Self { last, looked: Instant::now(), total: 0.0 }
    }

    /// So far, nanoseconds.
    pub(super) fn total_ns(&self) -> u64 {
        self.total as u64
    }

    /// Looks, if that is due: `own` tells what goflow has used since it began, `targets` what the targets have used.
    pub(super) fn look(&mut self, own: impl FnOnce() -> u64, targets: u64) {
        if self.looked.elapsed() < LEAST_STRETCH {
            return;
        }
        self.looked = Instant::now();
        let now = Sample { own: own(), targets, machine: host::machine_times() };
        self.total += taken(self.last, now);
        self.last = now;
    }
}

/// What was taken between two moments.
#[expect(clippy::cast_precision_loss, reason = "an estimate")]
fn taken(before: Sample, now: Sample) -> f64 {
    let (Some(then), Some(machine)) = (before.machine, now.machine) else { return 0.0 };
    let own = now.own.saturating_sub(before.own) as f64;
    let targets = now.targets.saturating_sub(before.targets) as f64;
    let busy = machine.busy_ns.saturating_sub(then.busy_ns) as f64;
    let idle = machine.idle_ns.saturating_sub(then.idle_ns) as f64;
    if busy + idle <= 0.0 {
        return 0.0;
    }
    // The part of the time in which none is idle, where they are busy independently of each other.
    let crowded = (busy / (busy + idle)).powi(machine.cpus.min(1_024) as i32);
    // Before the first look goflow may have used more than there was of the machine since.
    let others = (busy - own).max(targets).max(1.0);
    own * crowded * targets / others
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = 1_000_000_000;

    fn sample(own: u64, targets: u64, busy_ns: u64, idle_ns: u64) -> Sample {
        Sample { own, targets, machine: Some(MachineTimes { busy_ns, idle_ns, cpus: 2 }) }
    }

    #[test]
    fn the_more_cpus_are_idle_the_less_is_taken() {
        let start = sample(0, 0, 0, 0);
        let half = taken(start, sample(S / 10, S / 2, S, S));
        assert!((half - S as f64 / 10.0 / 4.0 * 5.0 / 9.0).abs() < 1.0, "{half}");
        assert!(taken(start, sample(S / 10, S / 2, S, 20 * S)) < half / 50.0);
        // Of many CPUs one is idle at any moment, or nearly.
        let many = |cpus| {
            let machine = |busy_ns, idle_ns| Some(MachineTimes { busy_ns, idle_ns, cpus });
            let own = Sample { own: S / 10, targets: 14 * S, machine: machine(14 * S, 2 * S) };
            taken(Sample { machine: machine(0, 0), ..Sample::default() }, own)
        };
        assert!(many(16) < many(2) / 5.0, "{} {}", many(16), many(2));
    }

    #[test]
    fn where_none_is_idle_the_targets_bear_their_part() {
        let start = sample(0, 0, 0, 0);
        let tenth = S as f64 / 10.0;
        // Nobody else runs.
        let alone = taken(start, sample(S / 10, 19 * S / 10, 2 * S, 0));
        assert!((alone - tenth).abs() < 1.0, "{alone}");
        // As much again is used by others.
        let shared = taken(start, sample(S / 10, 19 * S / 20, 2 * S, 0));
        assert!((shared - tenth / 2.0).abs() < 1.0, "{shared}");
        // Each of two CPUs is idle for a tenth of the time.
        let most = taken(start, sample(S / 10, 17 * S / 10, 18 * S / 10, 2 * S / 10));
        assert!((most - tenth * 0.81).abs() < 1.0, "{most}");
    }

    #[test]
    fn what_is_not_known_is_not_charged() {
        let unknown = Sample { own: S, targets: S, machine: None };
        assert_eq!(taken(unknown, sample(2 * S, 2 * S, S, 0)), 0.0);
        assert_eq!(taken(sample(0, 0, S, 0), sample(S, S, S, 0)), 0.0);
        // More than the machine says it did.
        assert!(taken(sample(0, 0, 0, 0), sample(5 * S, S, S, 0)) <= 5.0 * S as f64);
    }
}
