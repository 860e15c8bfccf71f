//! Reads every goroutine until it holds still.
//!
//! In: the addresses of the `g`s. Out: the goroutines of the snapshot. Each attempt reads what belongs to a goroutine and
//! then its `g` again: who has moved meanwhile is read once more, and after the last attempt told without what moved.

use super::details::Details;
use super::{Reader, Session, SnapshotError};
use crate::binary::addr::RuntimeAddr;
use crate::target::id::{Goid, MonotonicNs, WaitReason};
use crate::target::memory::{Memory, MemoryError, read_each};
use crate::target::snapshot::raw::{Raw, Slot};
use crate::target::snapshot::reason::Reason;
use crate::target::snapshot::room;
use crate::target::snapshot::start::Start;
use crate::target::snapshot::{Blocked, Entity, Few, Goroutine, Snapshot, StackEnd, State, Unknown};
use std::collections::HashSet;
use std::time::Instant;

/// How often a goroutine that moves is read.
pub(super) const ATTEMPTS: usize = 4;

const NOT_MAPPED: &str = "its memory is not mapped";

/// Entries of the list of goroutines that are read at once.
const PIECE: usize = 1 << 14;

/// Most entries that are no goroutines before the rest of the list is left alone: a list has some while it changes, and
/// each costs a call of the kernel.
const MOST_SUSPECTS: usize = 1 << 14;

/// The goroutines that do not stand in the snapshot yet.
struct Work {
    /// The list of goroutines.
    addresses: Vec<u64>,
    /// How many of them have been read.
    read: usize,
    pending: Vec<Raw>,
    details: Vec<Details>,
    /// Entries that are no goroutines, with the reason.
    suspects: Vec<(u64, &'static str)>,
}

impl Reader<'_> {
    pub(super) fn goroutines(
        &mut self,
        session: &mut Session<'_>,
        snapshot: &mut Snapshot,
    ) -> Result<(), SnapshotError> {
        let mut addresses = self.all_goroutines(session.memory)?;
        apart(&mut addresses, Raw::span(&self.offsets) as u64, snapshot);
        let mut pending = std::mem::take(&mut self.room.pending);
        pending.clear();
        room::reserve(&mut pending, addresses.len().min(1 << 20));
        let details = std::mem::take(&mut self.room.details);
        let mut work = Work { addresses, read: 0, pending, details, suspects: Vec::new() };
        let cut_short = match self.settle(session, snapshot, &mut work) {
            Ok(()) => None,
            Err(error @ MemoryError::OutOfTime(_)) => Some(error.to_string()),
            Err(error) => return Err(error.into()),
        };
        self.tell_rest(session, snapshot, &mut work, cut_short);
        self.give_up(snapshot, &work.pending, &work.suspects);
        only_once(session, snapshot);
        work.pending.clear();
        (self.room.pending, self.room.details) = (work.pending, work.details);
        Ok(())
    }

    /// Enters every goroutine that holds still, or that has been read often enough. What is pending then never was the
    /// same goroutine.
    fn settle(
        &mut self,
        session: &mut Session<'_>,
        snapshot: &mut Snapshot,
        work: &mut Work,
    ) -> Result<(), MemoryError> {
        let began = Instant::now();
        self.first_look(session.memory, snapshot, work)?;
        session.look = began.elapsed();
        let Work { pending, details, suspects, .. } = work;
        room::reserve(&mut snapshot.goroutines, pending.len());
        for attempt in 1..=ATTEMPTS {
            let last = attempt == ATTEMPTS;
            let evidence = self.details(session, pending, details)?;
            let mut now: Vec<u64> = pending.iter().map(|raw| raw.addr).collect();
            now.extend(suspects.iter().map(|&(address, _)| address));
            let later = self.again(session.memory, &now, pending)?;
            let mut later = later.into_iter().peekable();
            let mut again = Vec::new();
            let mut odd = Vec::new();
            let count = pending.len();
            for (n, (raw, details)) in pending.iter().zip(details.iter_mut()).enumerate() {
                match later.next_if(|&(at, _)| at == n).map(|(_, slot)| slot) {
                    Some(Slot::Dead) => snapshot.dead += 1,
                    Some(Slot::Nonsense(why)) => odd.push((raw.addr, why)),
                    Some(Slot::Live(later)) if details.has_parts || !raw.same(&later) => {
                        session.waits.forget(details.own);
                        if last && raw.same(&later) {
                            let (mut details, wait) = self.moving(session, &later);
                            self.finish(session, snapshot, &later, &mut details, wait);
                        } else {
                            again.push(later);
                        }
                    }
                    // It stands where it stood, or nothing was read that a move could have torn.
                    None | Some(Slot::Live(_)) => {
                        let wait = self.blocked_on(session, raw, details.own, &evidence);
                        if wait.is_ok() || last {
                            self.finish(session, snapshot, raw, details, wait);
                        } else {
                            session.waits.forget(details.own);
                            again.push(*raw);
                        }
                    }
                }
            }
            for (n, (address, why)) in suspects.drain(..).enumerate() {
                match later.next_if(|&(at, _)| at == count + n).map(|(_, slot)| slot) {
                    Some(Slot::Live(raw)) => again.push(raw),
                    Some(Slot::Dead) => snapshot.dead += 1,
                    Some(Slot::Nonsense(why)) => odd.push((address, why)),
                    None => odd.push((address, why)),
                }
            }
            suspects.append(&mut odd);
            pending.clear();
            pending.append(&mut again);
            if pending.is_empty() && suspects.is_empty() {
                break;
            }
        }
        Ok(())
    }

    /// Reads what stands at each entry of the list.
    fn first_look(
        &self,
        memory: &dyn Memory,
        snapshot: &mut Snapshot,
        work: &mut Work,
    ) -> Result<(), MemoryError> {
        let Work { addresses, read, pending, suspects, .. } = work;
        for piece in addresses.chunks(PIECE) {
            self.slots(memory, piece, |address, slot| {
                *read += 1;
                match slot {
                    Slot::Live(raw) => pending.push(raw),
                    Slot::Dead => snapshot.dead += 1,
                    Slot::Nonsense(why) => suspects.push((address, why)),
                }
            })?;
            if suspects.len() > MOST_SUSPECTS {
                break;
            }
        }
        Ok(())
    }

    /// Tells of what was not read, in one entry however much it is, and enters the goroutines of which only the `g` was.
    fn tell_rest(
        &mut self,
        session: &mut Session<'_>,
        snapshot: &mut Snapshot,
        work: &mut Work,
        cut_short: Option<String>,
    ) {
        let (all, unread) = (work.addresses.len(), work.addresses.len() - work.read);
        let not_read = format!("{unread} of the {all} entries in the list of goroutines were not read");
        let why = match cut_short {
            Some(why) => {
                let alone = work.pending.len();
                for raw in std::mem::take(&mut work.pending) {
                    let wait = Ok(Few::default());
                    self.finish(session, snapshot, &raw, &mut Details::default(), wait);
                }
                format!(
                    "{why}: {not_read}, and of {alone} goroutines not their stacks and what they wait for"
                )
            }
            None if session.lacks_stacks && unread == 0 => {
                let has_none = |it: &&Goroutine| it.stack.end == StackEnd::NotRead;
                let without = snapshot.goroutines.iter().filter(has_none).count();
                format!("time ran short: the stacks of {without} goroutines were not read")
            }
            None if unread > 0 => {
                let odd = work.suspects.len();
                format!("{not_read}, because {odd} of the others are no goroutines")
            }
            None => return,
        };
        snapshot.unknown.push(Unknown { what: Entity::Rest, why });
    }

    /// What stands at each address.
    fn slots(
        &self,
        memory: &dyn Memory,
        addresses: &[u64],
        mut each: impl FnMut(u64, Slot),
    ) -> Result<(), MemoryError> {
        read_each(memory, addresses, Raw::span(&self.offsets), |index, bytes| {
            let address = addresses[index];
            let slot = bytes
                .map_or(Slot::Nonsense(NOT_MAPPED), |bytes| Raw::decode(address, bytes, &self.offsets.g));
            each(address, slot);
        })
    }

    /// Reads the goroutines at `addresses`, of which the first ones were `before`, once more. Gives those that have moved,
    /// in that order.
    fn again(
        &self,
        memory: &dyn Memory,
        addresses: &[u64],
        before: &[Raw],
    ) -> Result<Vec<(usize, Slot)>, MemoryError> {
        let mut moved = Vec::new();
        read_each(memory, addresses, Raw::span(&self.offsets), |index, bytes| {
            let slot = bytes.map_or(Slot::Nonsense(NOT_MAPPED), |bytes| {
                Raw::decode(addresses[index], bytes, &self.offsets.g)
            });
            let still = matches!((&slot, before.get(index)), (Slot::Live(now), Some(raw)) if raw.still(now));
            if !still {
                moved.push((index, slot));
            }
        })?;
        moved.sort_unstable_by_key(|&(index, _)| index);
        Ok(moved)
    }

    fn give_up(&self, snapshot: &mut Snapshot, pending: &[Raw], suspects: &[(u64, &'static str)]) {
        for raw in pending {
            let what = Entity::Goroutine(RuntimeAddr(raw.addr), Some(Goid(raw.goid)));
            let why = format!("another goroutine was found there each of the {ATTEMPTS} times it was read");
            snapshot.unknown.push(Unknown { what, why });
        }
        for &(address, why) in suspects {
            let what = Entity::Goroutine(RuntimeAddr(address), None);
            snapshot.unknown.push(Unknown { what, why: why.to_owned() });
        }
    }

    /// What can be told of a goroutine that never holds still.
    fn moving(&self, session: &Session<'_>, raw: &Raw) -> (Details, Result<Few<Blocked>, &'static str>) {
        let mut details = Details::default();
        let why = "it moved each time it was read";
        let waits = raw.state == State::Waiting && self.reason(raw) != Reason::Other;
        if raw.state == State::Running {
            details.stack.end = StackEnd::Running;
        } else if session.options.stacks {
            details.stack_unknown = Some(why);
        }
        (details, if waits { Err(why) } else { Ok(Few::default()) })
    }

    /// Enters a goroutine, with what it waits for, or why that is not known.
    fn finish(
        &mut self,
        session: &mut Session<'_>,
        snapshot: &mut Snapshot,
        raw: &Raw,
        details: &mut Details,
        wait: Result<Few<Blocked>, &'static str>,
    ) {
        let goid = Goid(raw.goid);
        let unknown = [
            (Entity::WaitOf(goid), wait.as_ref().err().copied()),
            (Entity::StackOf(goid), details.stack_unknown),
            (
                Entity::LabelsOf(goid),
                details
                    .labels_unknown
                    .then_some("they are not as Go lays them out, or longer than goflow reads"),
            ),
        ];
        for (what, why) in unknown {
            snapshot.unknown.extend(why.map(|why| Unknown { what, why: why.to_owned() }));
        }
        let waits = matches!(raw.state, State::Waiting | State::Leaked);
        if let (Ok(blocked_on), true) = (&wait, waits) {
            session.has_sync |= blocked_on.iter().any(|blocked| blocked.on.is_sync());
            let directions = blocked_on.iter().map(|blocked| blocked.direction);
            session.waits.enter(details.own, raw.goid, directions);
        }
        let address = |word: u64| (word != 0).then_some(RuntimeAddr(word));
        let thread = session.threads.get(&raw.m);
        snapshot.goroutines.push(Goroutine {
            addr: RuntimeAddr(raw.addr),
            goid,
            state: raw.state,
            scanned: raw.scanned,
            tracking_seq: raw.tracking_seq,
            interrupted: raw.state == State::Runnable && !self.came_by_itself(raw),
            wait_reason: waits.then_some(WaitReason(raw.reason)),
            wait_since: (waits || raw.state == State::Syscall)
                .then_some(raw.wait_since)
                .filter(|&since| since != 0)
                .map(MonotonicNs),
            parent: (raw.parent != 0).then_some(Goid(raw.parent)),
            created: address(raw.gopc),
            start: address(raw.startpc),
            system: self.is_system(raw),
            locked: raw.locked,
            m: thread.map(|thread| thread.id),
            tid: thread.map(|thread| thread.tid),
            p: thread.and_then(|thread| thread.p),
            blocked_on: wait.unwrap_or_default(),
            labels: std::mem::take(&mut details.labels),
            stack: std::mem::take(&mut details.stack),
        });
    }

    /// A goroutine that is runnable became so because its wait or its system call ended, or it has not begun.
    fn came_by_itself(&self, raw: &Raw) -> bool {
        raw.pc == raw.startpc || self.parked.iter().any(|range| range.contains(&raw.pc))
    }

    /// As `isSystemGoroutine` has it. Its flags for finalizers and cleanups are on while one of the user's runs, that is
    /// whenever the goroutine does not wait for the next.
    fn is_system(&mut self, raw: &Raw) -> bool {
        let (binary, bias) = (self.binary, self.bias);
        let start = *self
            .starts
            .entry(raw.startpc)
            .or_insert_with(|| Start::of(binary, bias.to_link(RuntimeAddr(raw.startpc))));
        match start {
            Start::User => false,
            Start::System => true,
            Start::CallsBack(idle) => {
                let waits_for = binary.wait_reason(raw.reason);
                raw.pc == raw.startpc || raw.state == State::Waiting && waits_for == Some(idle)
            }
        }
    }
}

/// Refuses of `addresses`, which are sorted, those that lie less than the size of a `g` behind another: both cannot be one.
fn apart(addresses: &mut Vec<u64>, size: u64, snapshot: &mut Snapshot) {
    /// Told one by one; of more only the number.
    const TOLD: u64 = 1000;
    let (mut last, mut refused) = (None::<u64>, 0_u64);
    addresses.retain(|&address| {
        let before = last.filter(|last| address - last < size);
        let Some(before) = before else {
            last = Some(address);
            return true;
        };
        refused += 1;
        if refused <= TOLD {
            let what = Entity::Goroutine(RuntimeAddr(address), None);
            let why = format!("it overlaps the one at {before:#x}, and both cannot be there");
            snapshot.unknown.push(Unknown { what, why });
        }
        false
    });
    if let (Some(last), more @ 1..) = (snapshot.unknown.last_mut(), refused.saturating_sub(TOLD)) {
        last.why = format!("{}; {more} more overlap others", last.why);
    }
}

/// Goroutines in the order of their ids. Two of one id are a contradiction, and neither is believed.
fn only_once(session: &mut Session<'_>, snapshot: &mut Snapshot) {
    if snapshot.goroutines.is_sorted_by(|a, b| a.goid < b.goid) {
        return;
    }
    snapshot.goroutines.sort_by_cached_key(|goroutine| goroutine.goid);
    let twice: HashSet<Goid> = snapshot
        .goroutines
        .windows(2)
        .filter(|pair| pair[0].goid == pair[1].goid)
        .map(|pair| pair[0].goid)
        .collect();
    if twice.is_empty() {
        return;
    }
    let (doubted, believed): (Vec<Goroutine>, Vec<Goroutine>) =
        std::mem::take(&mut snapshot.goroutines).into_iter().partition(|g| twice.contains(&g.goid));
    snapshot.goroutines = believed;
    session.waits.leave(&twice);
    snapshot.unknown.retain(|unknown| match unknown.what {
        Entity::WaitOf(goid) | Entity::StackOf(goid) | Entity::LabelsOf(goid) => !twice.contains(&goid),
        Entity::Goroutine(..)
        | Entity::Channel(_)
        | Entity::SemaphoreTable
        | Entity::Threads
        | Entity::Rest => true,
    });
    for goroutine in doubted {
        let what = Entity::Goroutine(goroutine.addr, Some(goroutine.goid));
        snapshot.unknown.push(Unknown { what, why: "another goroutine has the same id".to_owned() });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_goroutines_that_overlap_only_the_first_is_believed() {
        let refused = |addresses: &[u64]| {
            let (mut kept, mut snapshot) = (addresses.to_vec(), Snapshot::default());
            apart(&mut kept, 0x100, &mut snapshot);
            (kept, snapshot.unknown)
        };
        assert_eq!(refused(&[0x1000, 0x1100, 0x1200]), (vec![0x1000, 0x1100, 0x1200], Vec::new()));
        let (kept, unknown) = refused(&[0x1000, 0x10f8, 0x1100, 0x1150, 0x11ff, 0x1200]);
        assert_eq!(kept, [0x1000, 0x1100, 0x1200]);
        let what: Vec<_> = unknown.iter().map(|unknown| unknown.what).collect();
        assert_eq!(what, [0x10f8, 0x1150, 0x11ff].map(|at| Entity::Goroutine(RuntimeAddr(at), None)));
        assert!(unknown.iter().all(|unknown| unknown.why.contains("overlaps")), "{unknown:?}");
        // Hostile memory does not decide how much is kept of it.
        let (kept, unknown) = refused(&(0..5000).map(|n| 0x10000 + 8 * n).collect::<Vec<_>>());
        assert_eq!((kept.len(), unknown.len()), (5000_usize.div_ceil(32), 1000));
        assert!(unknown[999].why.contains(" more overlap"), "{}", unknown[999].why);
    }
}
