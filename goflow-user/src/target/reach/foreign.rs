//! Who gives back locks that others have taken.
//!
//! In: the goroutines of a snapshot, by the function that each began with, and their stacks. Out: [`Foreign`]. That a function gives
//! back what it never took is told by its code ([`crate::binary::critical::ForeignUnlock`]), wherever its goroutine stands; which
//! lock that is, and that it is locked, is known of one that is parked and has it still ahead.

use super::given::Giver;
use super::holds::{self, Tools};
use super::stack::Words;
use super::{ReachError, stack_words};
use crate::binary::addr::RuntimeAddr;
use crate::binary::critical::{ForeignUnlock, Lock};
use crate::target::id::{Goid, SyncPrimitive};
use crate::target::snapshot::{Raw, Snapshot};

/// Goroutines of which it is told in one look.
const MOST: usize = 256;

/// A goroutine that gives back a lock which it does not take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Foreign {
    /// Which.
    pub goid: Goid,
    /// What kind of lock.
    pub kind: SyncPrimitive,
    /// Where it gives it back: a program counter in the call.
    pub at: RuntimeAddr,
    /// The lock, where it is locked now and will be given back by what this one has still ahead.
    pub address: Option<RuntimeAddr>,
}

/// Finds them among the goroutines that are the program's own; `parked` has those whose stack can be read.
pub(super) fn find(
    tools: &mut Tools<'_, '_, '_>,
    snapshot: &Snapshot,
    parked: &[&Raw],
) -> Result<Vec<Foreign>, ReachError> {
    let mut found = Vec::new();
    for goroutine in snapshot.goroutines.iter().filter(|one| !one.system) {
        let Some(start) = goroutine.start else { continue };
        let unlocks = tools.sections.foreign_unlocks(tools.bias.to_link(start));
        for unlock in unlocks.iter() {
            let raw = parked.iter().find(|raw| raw.goid == goroutine.goid.0);
            let address = raw.map_or(Ok(None), |raw| locked_ahead(tools, raw, *unlock))?;
            if unlock.is_in_closure && address.is_none() {
                continue;
            }
            // One behind, as a return address is.
            let at = RuntimeAddr(tools.bias.to_runtime(unlock.at).0.wrapping_add(1));
            found.push(Foreign { goid: goroutine.goid, kind: kind(*unlock), at, address });
        }
        if found.len() >= MOST {
            break;
        }
    }
    Ok(found)
}

fn kind(unlock: ForeignUnlock) -> SyncPrimitive {
    match unlock.lock {
        Lock::Mutex => SyncPrimitive::Mutex,
        Lock::Write | Lock::Read => SyncPrimitive::RwMutex,
    }
}

/// The first lock of its kind that a goroutine has to give back from where it is parked, and that is locked.
fn locked_ahead(
    tools: &mut Tools<'_, '_, '_>,
    raw: &Raw,
    unlock: ForeignUnlock,
) -> Result<Option<RuntimeAddr>, ReachError> {
    let words = stack_words(tools.memory, tools.budget, raw)?;
    let stack = Words { start: raw.sp, words: &words };
    let frames = tools.frames.frames(raw.pc, &stack);
    let records = (&tools.offsets.deferred, raw.deferred);
    let mut giver = Giver::new(tools.memory, tools.bias, tools.sections, &stack, records)?;
    for frame in frames {
        let given = giver.of(frame)?;
        let ahead = if unlock.is_in_closure { &[][..] } else { &given.ahead };
        for known in ahead.iter().chain(&given.deferred).filter(|known| known.lock == unlock.lock) {
            if holds::is_locked((tools.memory, tools.offsets), unlock.lock, known.address)? {
                return Ok(Some(RuntimeAddr(known.address)));
            }
        }
    }
    Ok(None)
}
