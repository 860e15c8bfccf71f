//! The timers that will fire: what they hold is reached by whatever they call.
//!
//! In: the processors. Out: marks. A timer that was stopped stays in the heap of its processor until that is cleaned up, and
//! the room behind the last has timers of before; neither wakes anybody (src/runtime/time.go).

use super::mark::Marker;
use super::{ReachError, words};
use crate::binary::addr::RuntimeAddr;
use crate::binary::offsets::{Offsets, Timer};
use crate::binary::read::{u8_at, u32_at, u64_at};
use crate::target::memory::{Memory, read_each};

/// Most timers of one processor.
const MOST: u64 = 1 << 24;

/// `timerZombie`, from Go 1.23 on: it was stopped.
const ZOMBIE: u8 = 4;

/// `timerNoStatus`, `timerDeleted`, `timerRemoving` and `timerRemoved`, up to Go 1.22.
const OUT_OF_USE: [u32; 4] = [0, 3, 4, 5];

/// Marks what timers hold.
pub(super) fn mark(
    memory: &dyn Memory,
    offsets: &Offsets,
    processors: &[u64],
    marker: &mut Marker<'_>,
) -> Result<(), ReachError> {
    for processor in processors {
        let mut slice = [0; 16];
        let at = processor.wrapping_add(u64::from(offsets.p.timers));
        if !memory.read(RuntimeAddr(at), &mut slice)? {
            continue;
        }
        let (list, len) = (u64_at(&slice, 0).unwrap_or(0), u64_at(&slice, 8).unwrap_or(0).min(MOST));
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
            if bytes.is_some_and(|bytes| fires(bytes, &offsets.timer)) {
                marker.word(timers[index]);
            }
        })?;
    }
    Ok(())
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
