//! The runtime's threads: which kernel thread each is, and which processor it holds.
//!
//! In: `runtime.allm`, a linked list that only grows at its head (src/runtime/proc.go). Out: the threads by the address of
//! their `m`. Bounded; a list that leads nowhere gives the part up to there.

use super::waits::Map;
use crate::binary::addr::RuntimeAddr;
use crate::binary::offsets::Offsets;
use crate::binary::read::{array, u64_at};
use crate::target::memory::{Memory, MemoryError};

/// Most threads read; the runtime itself stops at 10,000 (`sched.maxmcount`).
const MOST: usize = 100_000;

/// An `m`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Thread {
    pub(super) id: i64,
    pub(super) tid: u64,
    pub(super) p: Option<i32>,
}

/// Every thread, and whether the list could be read to its end.
pub(super) fn read(
    memory: &dyn Memory,
    offsets: &Offsets,
    allm: u64,
) -> Result<(Map<Thread>, bool), MemoryError> {
    let layout = &offsets.m;
    let fields = [layout.procid, layout.id, layout.p, layout.alllink];
    let size = fields.into_iter().max().unwrap_or(0) as usize + 8;
    let mut threads = Map::default();
    let mut bytes = vec![0; size];
    let mut head = [0; 8];
    if !memory.read(RuntimeAddr(allm), &mut head)? {
        return Ok((threads, false));
    }
    let mut at = u64::from_le_bytes(head);
    while at != 0 {
        if threads.contains_key(&at) || threads.len() >= MOST || !memory.read(RuntimeAddr(at), &mut bytes)? {
            return Ok((threads, false));
        }
        let word = |offset: u32| u64_at(&bytes, offset as usize).unwrap_or(0);
        let p = processor(memory, offsets, word(layout.p))?;
        threads.insert(at, Thread { id: word(layout.id).cast_signed(), tid: word(layout.procid), p });
        at = word(layout.alllink);
    }
    Ok((threads, true))
}

/// The id of the processor at `at`.
fn processor(memory: &dyn Memory, offsets: &Offsets, at: u64) -> Result<Option<i32>, MemoryError> {
    let mut bytes = vec![0; offsets.p.id as usize + 4];
    if at == 0 || !memory.read(RuntimeAddr(at), &mut bytes)? {
        return Ok(None);
    }
    Ok(array(&bytes, offsets.p.id as usize).map(i32::from_le_bytes))
}
