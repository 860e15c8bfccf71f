//! Who may hold which lock.
//!
//! In: parked goroutines, their stacks, and the locks that somebody waits for. Out: a [`Hold`] wherever the code of a frame says
//! that it took a lock which it has not given back ([`crate::binary::critical`]), and the frame leads to one of those. A frame
//! has a pointer to the lock or to what the lock is in, because it will have to give it back.

use super::mark::Budget;
use super::stack::{Frames, Words};
use super::{Hold, ReachError};
use crate::binary::addr::{LoadBias, RuntimeAddr};
use crate::binary::critical::{Held, Lock, LockPlace, Sections};
use crate::target::id::{Goid, SyncPrimitive};
use crate::target::memory::{Memory, read_each};
use crate::target::snapshot::{BlockedOn, Goroutine, Raw, Snapshot};
use std::collections::{BTreeMap, BTreeSet};

/// Registers that a function may be given arguments in, and so words that it may have put behind its return address.
const ARGUMENTS: u64 = 12;

/// Bytes of an object that a frame points to, in which a pointer to the lock is looked for.
const FIELDS: usize = 128;

/// The locks that are waited for.
#[derive(Default)]
pub(super) struct Awaited {
    mutexes: BTreeSet<u64>,
    rw_mutexes: BTreeSet<u64>,
    /// Which lock each goroutine waits for.
    by: BTreeMap<u64, u64>,
}

impl Awaited {
    pub(super) fn of(snapshot: &Snapshot) -> Self {
        let mut awaited = Self::default();
        let waits = |one: &Goroutine| one.blocked_on.iter().map(|on| (one.goid, *on)).collect::<Vec<_>>();
        for (goid, blocked) in snapshot.goroutines.iter().flat_map(waits) {
            let Some(address) = blocked.address.filter(|_| blocked.on.is_sync()) else { continue };
            awaited.by.insert(goid.0, address.0);
            match blocked.on {
                BlockedOn::Sync(SyncPrimitive::Mutex) => _ = awaited.mutexes.insert(address.0),
                BlockedOn::Sync(SyncPrimitive::RwMutex) => _ = awaited.rw_mutexes.insert(address.0),
                _ => {}
            }
        }
        awaited
    }

    pub(super) fn is_empty(&self) -> bool {
        self.mutexes.is_empty() && self.rw_mutexes.is_empty()
    }

    fn of_kind(&self, lock: Lock) -> &BTreeSet<u64> {
        match lock {
            Lock::Mutex => &self.mutexes,
            Lock::Write | Lock::Read => &self.rw_mutexes,
        }
    }
}

/// What one goroutine may hold of it.
pub(super) fn of(
    with: (&dyn Memory, &Budget),
    (frames, sections, bias): (&mut Frames<'_>, &mut Sections<'_>, LoadBias),
    raw: &Raw,
    stack: &Words<'_>,
    awaited: &Awaited,
) -> Result<Vec<Hold>, ReachError> {
    let mut holds = Vec::new();
    for frame in frames.frames(raw.pc, stack) {
        for held in sections.held_at(bias.to_link(RuntimeAddr(frame.pc))).iter() {
            let own = || {
                stack
                    .range(frame.sp..frame.argp.saturating_add(8 * ARGUMENTS))
                    .filter(|&word| word > 4096)
                    .collect::<Vec<_>>()
            };
            let itself = awaited.by.get(&raw.goid).copied();
            if let Some(address) = resolve(with, bias, held, (own, itself), awaited.of_kind(held.lock))? {
                holds.push(Hold {
                    goid: Goid(raw.goid),
                    kind: match held.lock {
                        Lock::Mutex => SyncPrimitive::Mutex,
                        Lock::Write | Lock::Read => SyncPrimitive::RwMutex,
                    },
                    address: RuntimeAddr(address),
                    is_shared: held.lock == Lock::Read,
                    is_certain: matches!(held.place, LockPlace::Variable(_)),
                    // One behind, as a return address is.
                    taken_at: RuntimeAddr(bias.to_runtime(held.taken_at).0.wrapping_add(1)),
                });
            }
        }
    }
    holds.dedup();
    Ok(holds)
}

/// Which of the locks it is.
fn resolve(
    (memory, budget): (&dyn Memory, &Budget),
    bias: LoadBias,
    held: &Held,
    (words, itself): (impl Fn() -> Vec<u64>, Option<u64>),
    awaited: &BTreeSet<u64>,
) -> Result<Option<u64>, ReachError> {
    let offset = match held.place {
        LockPlace::Variable(link) => {
            return Ok(Some(bias.to_runtime(link).0).filter(|one| awaited.contains(one)));
        }
        LockPlace::Behind(offset) => offset,
    };
    let mut words = words();
    // The frame leads to the lock that is waited for as well: that one only if there is no other.
    let leads_to_itself = |word: &u64| {
        itself.is_some_and(|itself| *word == itself || word.wrapping_add_signed(offset) == itself)
    };
    words.sort_by_key(leads_to_itself);
    let behind = |word: u64| awaited.get(&word.wrapping_add_signed(offset)).copied();
    if let Some(found) = words.iter().find_map(|&word| behind(word)) {
        return Ok(Some(found));
    }
    if let Some(found) = words.iter().find_map(|word| awaited.get(word).copied()) {
        return Ok(Some(found));
    }
    // What the frame has may have a pointer to it.
    let mut found = None;
    budget.spend((words.len() * FIELDS) as u64)?;
    read_each(memory, &words, FIELDS, |_, bytes| {
        let fields = bytes.unwrap_or_default().chunks_exact(8);
        let mut fields = fields.filter_map(|field| field.try_into().ok()).map(u64::from_le_bytes);
        found = found.or_else(|| fields.find_map(behind));
    })?;
    Ok(found)
}
