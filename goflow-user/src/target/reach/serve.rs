//! Who is the only one seen to lead to a channel that is in a package variable.
//!
//! In: goroutines that hold a lock while they wait for a channel, and those that wait for that lock. Out: [`Serves`]. A package
//! variable is within everybody's reach, so that whoever waits for what is in one is never told to wait for good. But where of
//! all stacks only those lead to it, through variables too, that cannot go on before the lock is given back, it may well be so.
//! That is no proof: a function that names the variable may still be called. A variable's end is not known; it is taken for
//! small.

use super::mark::Marker;
use super::{Hold, ReachError, Serves, Stacks, Stand, Wait};
use crate::binary::addr::RuntimeAddr;
use crate::target::id::Goid;
use crate::target::snapshot::Raw;
use std::collections::BTreeSet;

/// Goroutines of which it is found out.
const MOST: usize = 4;

/// Whoever holds a lock that others wait for, and waits itself for channels that can be reached.
pub(super) fn suspects<'s>(stands: &'s [Stand], holds: &[Hold]) -> Vec<(&'s Stand, BTreeSet<u64>)> {
    let mut suspects = Vec::new();
    for stand in stands.iter().filter(|stand| stand.is_live && stand.lock.is_none()) {
        if matches!(&stand.wait, Wait::Needs(on) if !on.is_empty()) {
            let behind = behind(stand.raw.goid, stands, holds);
            if !behind.is_empty() && suspects.len() < MOST {
                suspects.push((stand, behind));
            }
        }
    }
    suspects
}

/// Who waits for a lock that this one holds, or that one of those does.
fn behind(goid: u64, stands: &[Stand], holds: &[Hold]) -> BTreeSet<u64> {
    let (mut behind, mut todo) = (BTreeSet::new(), vec![goid]);
    while let Some(holder) = todo.pop() {
        let held: BTreeSet<u64> =
            holds.iter().filter(|hold| hold.goid.0 == holder).map(|hold| hold.address.0).collect();
        if held.is_empty() {
            continue;
        }
        for stand in stands {
            let waits = stand.lock.is_some_and(|lock| held.contains(&lock));
            if waits && stand.raw.goid != goid && behind.insert(stand.raw.goid) {
                todo.push(stand.raw.goid);
            }
        }
    }
    behind
}

/// Which of those behind `suspect` leads to what it waits for, if nobody else does. `marker` has what timers and the runtime
/// lead to.
pub(super) fn find(
    (suspect, behind): (&Stand, &BTreeSet<u64>),
    stands: &[Stand],
    stacks: &mut Stacks<'_, '_>,
    marker: &mut Marker<'_>,
) -> Result<Vec<Serves>, ReachError> {
    let Wait::Needs(on) = &suspect.wait else { return Ok(Vec::new()) };
    let is_reached = |marker: &Marker<'_>| on.iter().any(|&one| marker.is_reached(one) != Some(false));
    for stand in stands.iter().filter(|stand| !behind.contains(&stand.raw.goid)) {
        // Who waits for the same does not bring it.
        if !matches!(&stand.wait, Wait::Needs(other) if other == on) {
            stacks.mark(marker, &stand.raw, false)?;
        }
    }
    marker.run()?;
    if is_reached(marker) {
        return Ok(Vec::new());
    }
    let raws: Vec<&Raw> =
        stands.iter().map(|stand| &stand.raw).filter(|raw| behind.contains(&raw.goid)).collect();
    for raw in raws {
        stacks.mark(marker, raw, false)?;
        marker.run()?;
        if is_reached(marker) {
            let reached = on.iter().filter(|&&one| marker.is_reached(one) == Some(true));
            return Ok(reached
                .map(|&one| Serves { goid: Goid(raw.goid), object: RuntimeAddr(one) })
                .collect());
        }
    }
    Ok(Vec::new())
}
