//! When a CPU stood still: a hypervisor ran something else on it, or an interrupt took it, for longer than a test's idea
//! of "at once".
//!
//! In: nothing; out: [`Stalls`], spans of `CLOCK_MONOTONIC`. A thread on every CPU, ahead of everything else there, sleeps
//! for half a millisecond at a time; where it wakes late, nothing ran on that CPU as it should. So a test that compares
//! the time of one moment by two observers can tell the machine's part in the difference from theirs.

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use goflow_user::target::host;
use rustix::thread::{CpuSet, gettid, sched_getaffinity, sched_setaffinity};

/// Between two looks at the clock.
const PAUSE: Duration = Duration::from_micros(500);
/// A look that is later than this comes after a stall, nanoseconds; timers themselves are late by some tens of µs.
const LATE_NS: u64 = 1_000_000;

/// A watch over every CPU.
pub struct Watch {
    done: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Vec<(u64, u64)>>>,
}

/// Times in which at least one CPU stood still, in order and apart from each other.
#[derive(Debug, Default)]
pub struct Stalls(Vec<(u64, u64)>);

impl Watch {
    /// Begins to watch every CPU that this process may use.
    ///
    /// # Errors
    /// A thread cannot be put on its CPU, or not ahead of others (`chrt`, which takes root).
    pub fn begin() -> Result<Self> {
        let allowed = sched_getaffinity(None).context("cannot tell which CPUs may be used")?;
        let cpus = (0..CpuSet::MAX_CPU).filter(|cpu| allowed.is_set(*cpu));
        let mut watch = Self { done: Arc::default(), threads: Vec::new() };
        for cpu in cpus {
            let (done, (ready, started)) = (Arc::clone(&watch.done), channel());
            let thread = thread::Builder::new().name(format!("stalls-{cpu}"));
            watch.threads.push(thread.spawn(move || watch_cpu(cpu, &ready, &done))?);
            let thread = started.recv().map_err(|_| anyhow!("the watch over CPU {cpu} has ended"))??;
            put_ahead(thread)?;
        }
        Ok(watch)
    }

    /// What was seen since.
    ///
    /// # Errors
    /// A thread panicked.
    pub fn end(mut self) -> Result<Stalls> {
        self.done.store(true, Ordering::Release);
        let mut spans = Vec::new();
        for thread in self.threads.drain(..) {
            spans.extend(thread.join().map_err(|_| anyhow!("a watch over a CPU panicked"))?);
        }
        Ok(Stalls::of(spans))
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.done.store(true, Ordering::Release);
    }
}

fn watch_cpu(cpu: usize, ready: &Sender<Result<i32>>, done: &AtomicBool) -> Vec<(u64, u64)> {
    let mut only = CpuSet::new();
    only.set(cpu);
    let placed = sched_setaffinity(None, &only).with_context(|| format!("cannot run on CPU {cpu}"));
    let thread = gettid().as_raw_nonzero().get();
    if ready.send(placed.map(|()| thread)).is_err() {
        return Vec::new();
    }
    let (mut spans, mut before) = (Vec::new(), host::monotonic_ns());
    while !done.load(Ordering::Acquire) {
        thread::sleep(PAUSE);
        let now = host::monotonic_ns();
        if now - before > LATE_NS {
            spans.push((before, now));
        }
        before = now;
    }
    spans
}

fn put_ahead(thread: i32) -> Result<()> {
    let mut chrt = Command::new("chrt");
    chrt.args(["--fifo", "--pid", "99", &thread.to_string()]).stdin(Stdio::null());
    let output = chrt.output().context("cannot start chrt")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

impl Stalls {
    fn of(mut spans: Vec<(u64, u64)>) -> Self {
        spans.sort_unstable();
        let mut apart: Vec<(u64, u64)> = Vec::new();
        for (from, to) in spans {
            match apart.last_mut() {
                Some(last) if from <= last.1 => last.1 = last.1.max(to),
                _ => apart.push((from, to)),
            }
        }
        Self(apart)
    }

    /// How much of a span at least one CPU stood still, nanoseconds.
    #[must_use]
    pub fn within(&self, from: u64, to: u64) -> u64 {
        let overlap = |&(began, ended): &(u64, u64)| ended.min(to).saturating_sub(began.max(from));
        self.0.iter().map(overlap).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stalls_of_two_cpus_count_once() {
        let stalls = Stalls::of(vec![(50, 60), (10, 20), (15, 30)]);
        assert_eq!(stalls.within(0, 100), 30);
        assert_eq!(stalls.within(18, 55), 17);
        assert_eq!(stalls.within(30, 50), 0);
    }
}
