//! The runtime's table of semaphores: every goroutine that waits for one, and its address.
//!
//! In: `runtime.semtable` (src/runtime/sema.go), an array of treaps of sudogs, one node for each address, each the head of
//! a list. Out: for each `g` its semaphore and its place in the list. All treaps and lists are walked one step at a time
//! together. No node is visited twice, so a cycle ends the walk.

use super::waits::{Map, Set, Sudog};
use crate::binary::addr::RuntimeAddr;
use crate::binary::offsets::Offsets;
use crate::binary::read::u64_at;
use crate::target::memory::{Memory, MemoryError, read_each};

/// Most waiters that are read.
const MOST: usize = 1 << 22;

/// Most steps: the length of the longest list.
const MOST_STEPS: usize = 1 << 21;

/// A goroutine in the table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waiter {
    /// Address of the semaphore.
    pub(super) semaphore: u64,
    /// Its place in the semaphore's list.
    pub(super) place: u32,
}

/// Every waiter, by the address of its `g`.
#[derive(Default)]
pub(super) struct Table {
    pub(super) waiters: Map<Waiter>,
    /// Why some may be missing.
    pub(super) broken: Option<&'static str>,
}

/// A sudog that is to be read.
struct Step {
    at: u64,
    /// 0 for the node of a treap, else the place in its list.
    place: u32,
    semaphore: u64,
}

/// Reads the table at `address`.
pub(super) fn read(memory: &dyn Memory, offsets: &Offsets, address: u64) -> Result<Table, MemoryError> {
    let mut table = Table::default();
    let (len, stride) = (offsets.sema_table.len as usize, offsets.sema_table.stride as usize);
    let mut bytes = vec![0; len.min(1 << 12) * stride.min(1 << 12)];
    if !memory.read(RuntimeAddr(address), &mut bytes)? {
        table.broken = Some("it is not all mapped");
        return Ok(table);
    }
    let roots = bytes.chunks_exact(stride.max(1));
    let roots = roots.filter_map(|root| u64_at(root, offsets.sema_root.treap as usize));
    let mut steps: Vec<Step> =
        roots.filter(|&at| at != 0).map(|at| Step { at, place: 0, semaphore: 0 }).collect();
    let mut seen = Set::default();
    for _ in 0..MOST_STEPS {
        steps.retain(|step| seen.insert(step.at));
        if steps.is_empty() || table.waiters.len() > MOST {
            return Ok(table);
        }
        steps = walk(memory, offsets, &mut table, steps)?;
    }
    table.broken = Some("it has lists of more than two million waiters");
    Ok(table)
}

/// Reads these sudogs and gives those that they lead to.
fn walk(
    memory: &dyn Memory,
    offsets: &Offsets,
    table: &mut Table,
    mut steps: Vec<Step>,
) -> Result<Vec<Step>, MemoryError> {
    steps.sort_unstable_by_key(|step| step.at);
    let addresses: Vec<u64> = steps.iter().map(|step| step.at).collect();
    let mut next = Vec::new();
    read_each(memory, &addresses, offsets.sudog.size as usize, |index, bytes| {
        let step = &steps[index];
        let Some(sudog) = bytes.and_then(|bytes| Sudog::decode(bytes, offsets)) else {
            table.broken = Some("it leads to addresses that are not mapped");
            return;
        };
        let is_node = step.place == 0;
        if sudog.g == 0 || sudog.elem == 0 || !is_node && sudog.elem != step.semaphore {
            // It was served and taken out between two reads.
            table.broken = Some("it changed while it was read");
            return;
        }
        table.waiters.insert(sudog.g, Waiter { semaphore: sudog.elem, place: step.place });
        let list = Step { at: sudog.waitlink, place: step.place + 1, semaphore: sudog.elem };
        let node = |at| Step { at, place: 0, semaphore: 0 };
        let children = if is_node { [sudog.prev, sudog.next] } else { [0, 0] };
        next.extend([list].into_iter().chain(children.map(node)).filter(|step| step.at != 0));
    })?;
    Ok(next)
}
