//! The timers that will fire: what they hold is reached by whatever they call.
//!
//! In: the processors. Out: marks, and how many timers the program has set by what they call. A timer that was stopped stays
//! in the heap of its processor until that is cleaned up, and the room behind the last has timers of before; neither wakes
//! anybody (src/runtime/time.go).

use super::mark::{Budget, Marker};
use super::{ReachError, words};
use crate::binary::addr::RuntimeAddr;
use crate::binary::offsets::{Offsets, Timer};
use crate::binary::read::{u8_at, u32_at, u64_at};
use crate::target::id::MonotonicNs;
use crate::target::memory::{Memory, read_each};
use std::collections::{BTreeMap, BTreeSet};

/// Most timers of one processor.
const MOST: u64 = 1 << 24;

/// `timerZombie`, from Go 1.23 on: it was stopped.
const ZOMBIE: u8 = 4;

/// `timerNoStatus`, `timerDeleted`, `timerRemoving` and `timerRemoved`, up to Go 1.22.
const OUT_OF_USE: [u32; 4] = [0, 3, 4, 5];

/// A timer that fires sooner than this comes and goes while it is looked: a deadline of what goes on just now.
const FAR_NS: u64 = 10_000_000_000;

/// Timers that are set for long, and call the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timers {
    /// Entry of the function that `time.AfterFunc` was given, or of `time.sendTime`, which sends to the timer's channel.
    pub calls: RuntimeAddr,
    /// They fire again and again: tickers.
    pub is_periodic: bool,
    /// How many there are.
    pub count: u64,
}

/// What is called, and what with.
#[derive(Clone, Copy)]
struct Call {
    function: u64,
    argument: u64,
    is_periodic: bool,
}

impl Call {
    /// Of a timer that outlasts the look by far.
    fn of(bytes: &[u8], timer: &Timer, now: MonotonicNs) -> Option<Self> {
        let word = |offset: u32| u64_at(bytes, offset as usize);
        let (when, period) = (word(timer.when)?, word(timer.period)?);
        let is_far = period != 0 || when > now.0.saturating_add(FAR_NS);
        // The argument is an `any`: its type, then what it points to.
        let call = || {
            Some(Self { function: word(timer.f)?, argument: word(timer.arg + 8)?, is_periodic: period != 0 })
        };
        if is_far { call() } else { None }
    }
}

/// Counts timers by what they call. Those of the runtime itself, such as the deadlines of descriptors, are not counted: whoever
/// has those has something else as well that grows.
///
/// `after_func` and `send_time` are the entries of what `time.AfterFunc` and the timers with a channel have called.
fn count(
    memory: &dyn Memory,
    calls: &[Call],
    (after_func, send_time): (Option<u64>, Option<u64>),
) -> Result<Vec<Timers>, ReachError> {
    let closures = |of: fn(&Call) -> u64| calls.iter().map(of).collect::<Vec<u64>>();
    let called = code_of(memory, &closures(|call| call.function))?;
    let given = code_of(memory, &closures(|call| call.argument))?;
    let mut counts: BTreeMap<(u64, bool), u64> = BTreeMap::new();
    for ((call, called), given) in calls.iter().zip(called).zip(given) {
        let calls = if called.is_some() && called == after_func {
            given
        } else {
            called.filter(|_| called == send_time)
        };
        if let Some(calls) = calls {
            *counts.entry((calls, call.is_periodic)).or_default() += 1;
        }
    }
    let timers = |((calls, is_periodic), count)| Timers { calls: RuntimeAddr(calls), is_periodic, count };
    Ok(counts.into_iter().map(timers).collect())
}

/// The timers that will fire.
pub(super) struct Pending {
    /// Those that are set for long.
    pub(super) far: Vec<Timers>,
    /// One of them starts a goroutine (`time.AfterFunc`), which may use any package variable.
    pub(super) starts_one: bool,
}

/// Marks what timers hold, and counts them.
pub(super) fn mark(
    (memory, budget): (&dyn Memory, &Budget),
    offsets: &Offsets,
    processors: &[u64],
    marker: &mut Marker<'_>,
    functions: (Option<u64>, Option<u64>),
    now: MonotonicNs,
) -> Result<Pending, ReachError> {
    let (mut calls, mut closures) = (Vec::new(), BTreeSet::new());
    for processor in processors {
        let mut slice = [0; 16];
        let at = processor.wrapping_add(u64::from(offsets.p.timers));
        if !memory.read(RuntimeAddr(at), &mut slice)? {
            continue;
        }
        let (list, len) = (u64_at(&slice, 0).unwrap_or(0), u64_at(&slice, 8).unwrap_or(0).min(MOST));
        let stride = offsets.timer_when.map_or(8, |entry| u64::from(entry.size));
        // Every processor may have the same list, of as many as are believed.
        budget.spend(len * (stride + u64::from(offsets.timer.size)))?;
        let timers = match offsets.timer_when {
            Some(entry) => {
                let stride = u64::from(entry.size) / 8;
                let all = words(memory, list, len.saturating_mul(stride))?.unwrap_or_default();
                all.chunks_exact(stride.max(1) as usize)
                    .filter_map(|words| words.get(entry.timer as usize / 8).copied())
                    .collect()
            }
            None => words(memory, list, len)?.unwrap_or_default(),
        };
        read_each(memory, &timers, offsets.timer.size as usize, |index, bytes| {
            if let Some(bytes) = bytes.filter(|bytes| fires(bytes, &offsets.timer)) {
                marker.word(timers[index]);
                closures.extend(u64_at(bytes, offsets.timer.f as usize));
                calls.extend(Call::of(bytes, &offsets.timer, now));
            }
        })?;
    }
    let far = count(memory, &calls, functions)?;
    // There is one for all of them.
    let closures: Vec<u64> = closures.into_iter().collect();
    let starts_one =
        functions.0.is_some() && code_of(memory, &closures)?.into_iter().any(|code| code == functions.0);
    Ok(Pending { far, starts_one })
}

/// The code that closures begin with.
fn code_of(memory: &dyn Memory, closures: &[u64]) -> Result<Vec<Option<u64>>, ReachError> {
    let mut code = vec![None; closures.len()];
    read_each(memory, closures, 8, |index, bytes| {
        code[index] = bytes.and_then(|bytes| u64_at(bytes, 0));
    })?;
    Ok(code)
}

fn fires(bytes: &[u8], timer: &Timer) -> bool {
    let state = timer.state.and_then(|state| u8_at(bytes, state as usize));
    let status = timer.status.and_then(|status| u32_at(bytes, status as usize));
    match (state, status) {
        (Some(state), _) => state & ZOMBIE == 0,
        (None, Some(status)) => !OUT_OF_USE.contains(&status),
        (None, None) => true,
    }
}
