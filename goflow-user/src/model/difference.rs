//! What must have happened between two snapshots of a process.
//!
//! In: what the last snapshot had ([`Seen`]) and the next [`Snapshot`]; out: the changes that lead from the one to the
//! other, and no more. What begins and ends between the two leaves no trace. Nothing is inferred from what could not be
//! read: it stays as it was last seen.

use crate::binary::addr::RuntimeAddr;
use crate::target::Pid;
use crate::target::id::{Goid, MonotonicNs, WaitReason};
use crate::target::snapshot::{Blocked, Entity, Goroutine, Snapshot};
use foldhash::{HashMap, HashSet};

/// A change that two snapshots differ by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inferred {
    /// The process.
    pub pid: Pid,
    /// It happened after this.
    pub since: MonotonicNs,
    /// And before this.
    pub until: MonotonicNs,
    /// The goroutine that it happened to.
    pub goid: Goid,
    /// What happened.
    pub change: Change,
}

/// What happened to a goroutine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It was created.
    Created {
        /// By whom; `None` where the runtime does not record it (up to Go 1.20).
        parent: Option<Goid>,
        /// Return address of the `go` statement.
        created_at: Option<RuntimeAddr>,
        /// Entry of the function it runs.
        start: Option<RuntimeAddr>,
    },
    /// It ended.
    Exited,
    /// It was woken, nobody knows by whom.
    Readied,
    /// It parked.
    Parked {
        /// Why; `None` where it was not read.
        reason: Option<WaitReason>,
        /// For what: one thing, or each case of a `select`; empty where that has no address or is not known.
        on: Vec<Blocked>,
        /// Where: return addresses, innermost first, starting in the caller of `gopark`. Empty where it was not read.
        stack: Vec<RuntimeAddr>,
    },
}

/// A wait as a snapshot has it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Wait {
    reason: Option<WaitReason>,
    on: Vec<Blocked>,
    /// When the collector found it. The runtime clears this when the goroutine runs (`execute` in src/runtime/proc.go).
    since: Option<MonotonicNs>,
}

/// Who was there, and what they waited for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Everything after this is still to be told.
    began: MonotonicNs,
    /// `None` for one that does not wait.
    waits: HashMap<Goid, Option<Wait>>,
}

impl Seen {
    /// Nobody: the process did not run before `at`.
    #[must_use]
    pub fn nobody(at: MonotonicNs) -> Self {
        Self { began: at, waits: HashMap::default() }
    }

    /// Everybody that `snapshot` has.
    #[must_use]
    pub fn of(snapshot: &Snapshot) -> Self {
        let waits = snapshot.goroutines.iter().map(|goroutine| (goroutine.goid, Wait::of(goroutine)));
        Self { began: snapshot.started, waits: waits.collect() }
    }

    /// Goroutines that were there.
    #[must_use]
    pub fn goroutines(&self) -> usize {
        self.waits.len()
    }

    /// Takes the next snapshot, and tells what happened in between: creations by goid, so that parents mostly come before
    /// their children, then what became of those that exist, then ends.
    pub fn advance(&mut self, pid: Pid, snapshot: &Snapshot) -> Vec<Inferred> {
        let (since, until) = (self.began, snapshot.ended);
        let inferred = |goid, change| Inferred { pid, since, until, goid, change };
        let unread = Unread::of(snapshot);
        let (mut created, mut moved) = (Vec::new(), Vec::new());
        let mut there = HashSet::default();
        for goroutine in &snapshot.goroutines {
            let goid = goroutine.goid;
            there.insert(goid);
            let mut now = Wait::of(goroutine);
            match self.waits.get_mut(&goid) {
                None => {
                    created.push(inferred(goid, Change::created(goroutine)));
                    if now.is_some() {
                        moved.push(inferred(goid, Change::parked(goroutine)));
                    }
                    self.waits.insert(goid, now);
                }
                Some(before) => {
                    let (woken, parked) = step(before.as_ref(), now.as_ref());
                    if woken {
                        moved.push(inferred(goid, Change::Readied));
                    }
                    if parked {
                        moved.push(inferred(goid, Change::parked(goroutine)));
                    } else if let (Some(before), Some(now)) = (before.as_mut(), now.as_mut()) {
                        // What it waits for was known better before.
                        if now.on.is_empty() {
                            now.on = std::mem::take(&mut before.on);
                        }
                    }
                    *before = now;
                }
            }
        }
        let mut exited = Vec::new();
        self.waits.retain(|goid, _| {
            let stays = there.contains(goid) || unread.may_be(*goid);
            if !stays {
                exited.push(inferred(*goid, Change::Exited));
            }
            stays
        });
        self.began = snapshot.started;
        for list in [&mut created, &mut moved, &mut exited] {
            // Stable: a wake-up stays before the park that follows it.
            list.sort_by_key(|inferred| inferred.goid);
        }
        created.append(&mut moved);
        created.append(&mut exited);
        created
    }
}

/// Goroutines that a snapshot could not read.
struct Unread {
    goids: HashSet<Goid>,
    /// And some whose ids are not known.
    others: bool,
}

impl Unread {
    fn of(snapshot: &Snapshot) -> Self {
        let mut unread = Self { goids: HashSet::default(), others: false };
        for unknown in &snapshot.unknown {
            match unknown.what {
                Entity::Goroutine(_, Some(goid)) => _ = unread.goids.insert(goid),
                Entity::Goroutine(_, None) | Entity::Rest => unread.others = true,
                Entity::WaitOf(_)
                | Entity::StackOf(_)
                | Entity::LabelsOf(_)
                | Entity::Channel(_)
                | Entity::SemaphoreTable
                | Entity::Threads => {}
            }
        }
        unread
    }

    fn may_be(&self, goid: Goid) -> bool {
        self.others || self.goids.contains(&goid)
    }
}

impl Wait {
    fn of(goroutine: &Goroutine) -> Option<Self> {
        goroutine.is_parked().then(|| Self {
            reason: goroutine.wait_reason,
            on: goroutine.blocked_on.to_vec(),
            since: goroutine.wait_since,
        })
    }

    /// It is another wait, beyond doubt.
    fn is_another(&self, before: &Self) -> bool {
        // The collector found it waiting, and now it has not or later.
        let was_cleared = before.since.is_some() && self.since != before.since;
        self.reason != before.reason || was_cleared || elsewhere(&before.on, &self.on)
    }
}

/// What is waited for is another thing, beyond doubt. That a lock is told as a semaphore once, because the stack did not lead
/// to the lock, makes it no other.
pub(super) fn elsewhere(before: &[Blocked], now: &[Blocked]) -> bool {
    let differs = |(then, now): (&Blocked, &Blocked)| {
        let same_kind = now.on == then.on || !(now.on.is_sync() && then.on.is_sync());
        same_kind && (now.on, now.address, now.until) != (then.on, then.address, then.until)
    };
    let both_known = !before.is_empty() && !now.is_empty();
    both_known && (before.len() != now.len() || before.iter().zip(now).any(differs))
}

/// Whether it was woken, and whether it parked (again).
fn step(before: Option<&Wait>, now: Option<&Wait>) -> (bool, bool) {
    match (before, now) {
        (None, None) => (false, false),
        (None, Some(_)) => (false, true),
        (Some(_), None) => (true, false),
        (Some(before), Some(now)) => {
            let other = now.is_another(before);
            (other, other)
        }
    }
}

impl Change {
    fn created(goroutine: &Goroutine) -> Self {
        let Goroutine { parent, created, start, .. } = *goroutine;
        Self::Created { parent, created_at: created, start }
    }

    fn parked(goroutine: &Goroutine) -> Self {
        // The first is where it goes on, in `gopark`.
        let stack = goroutine.stack.frames.iter().skip(1).copied().collect();
        Self::Parked { reason: goroutine.wait_reason, on: goroutine.blocked_on.to_vec(), stack }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::id::SyncPrimitive;
    use crate::target::snapshot::{BlockedOn, Direction, Few, Stack, State, Unknown};
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    const PID: Pid = Pid(7);

    fn goroutine(goid: u64, wait: Option<(u8, u64)>) -> Goroutine {
        let on = |address| Blocked {
            on: BlockedOn::Channel,
            address: Some(RuntimeAddr(address)),
            direction: Some(Direction::Receive),
            until: None,
        };
        Goroutine {
            addr: RuntimeAddr(goid << 12),
            goid: Goid(goid),
            state: if wait.is_some() { State::Waiting } else { State::Running },
            scanned: false,
            tracking_seq: 0,
            interrupted: false,
            wait_reason: wait.map(|(reason, _)| WaitReason(reason)),
            wait_since: None,
            parent: Some(Goid(1)),
            created: Some(RuntimeAddr(0x40)),
            start: Some(RuntimeAddr(0x80)),
            system: false,
            locked: false,
            m: None,
            tid: None,
            p: None,
            blocked_on: wait.map(|(_, address)| on(address)).into_iter().collect(),
            labels: Vec::new(),
            stack: Stack { frames: [1, 2, 3].map(RuntimeAddr).to_vec(), ..Stack::default() },
        }
    }

    fn snapshot(at: u64, goroutines: Vec<Goroutine>) -> Snapshot {
        Snapshot { started: MonotonicNs(at), ended: MonotonicNs(at + 5), goroutines, ..Snapshot::default() }
    }

    /// Each change as a short word.
    fn words(changes: &[Inferred]) -> Vec<String> {
        let word = |inferred: &Inferred| {
            let goid = inferred.goid.0;
            match &inferred.change {
                Change::Created { .. } => format!("+{goid}"),
                Change::Exited => format!("-{goid}"),
                Change::Readied => format!("wake {goid}"),
                Change::Parked { reason, .. } => format!("park {goid} {}", reason.unwrap().0),
            }
        };
        changes.iter().map(word).collect()
    }

    fn between(before: Vec<Goroutine>, after: &Snapshot) -> Vec<String> {
        words(&Seen::of(&snapshot(10, before)).advance(PID, after))
    }

    #[test]
    fn a_goroutine_that_appears_was_created_and_one_that_is_missing_has_ended() {
        let mut seen = Seen::of(&snapshot(10, vec![goroutine(1, None), goroutine(3, Some((2, 0xc0)))]));
        let changes =
            seen.advance(PID, &snapshot(20, vec![goroutine(1, None), goroutine(9, Some((2, 0xc0)))]));
        assert_eq!(words(&changes), ["+9", "park 9 2", "-3"]);
        assert!(changes.iter().all(|it| (it.since, it.until) == (MonotonicNs(10), MonotonicNs(25))));
        let Change::Created { parent, created_at, .. } = &changes[0].change else { unreachable!() };
        assert_eq!((*parent, *created_at), (Some(Goid(1)), Some(RuntimeAddr(0x40))));
        let Change::Parked { on, stack, .. } = &changes[1].change else { unreachable!() };
        assert_eq!(
            (on[0].address, stack.as_slice()),
            (Some(RuntimeAddr(0xc0)), [2, 3].map(RuntimeAddr).as_slice())
        );
        assert!(
            seen.advance(PID, &snapshot(30, vec![goroutine(1, None), goroutine(9, Some((2, 0xc0)))]))
                .is_empty()
        );
    }

    #[test]
    fn of_a_process_that_was_not_there_everybody_was_created() {
        let mut seen = Seen::nobody(MonotonicNs(3));
        let changes = seen.advance(PID, &snapshot(10, vec![goroutine(1, None), goroutine(2, None)]));
        assert_eq!(words(&changes), ["+1", "+2"]);
        assert_eq!((changes[0].since, seen.goroutines()), (MonotonicNs(3), 2));
    }

    #[test]
    fn another_wait_is_a_wake_up_and_a_park() {
        let waits = |wait| vec![goroutine(5, wait)];
        assert_eq!(between(waits(None), &snapshot(20, waits(Some((2, 0xc0))))), ["park 5 2"]);
        assert_eq!(between(waits(Some((2, 0xc0))), &snapshot(20, waits(None))), ["wake 5"]);
        let again = ["wake 5", "park 5 3"];
        assert_eq!(between(waits(Some((2, 0xc0))), &snapshot(20, waits(Some((3, 0xc0))))), again);
        assert_eq!(
            between(waits(Some((2, 0xc0))), &snapshot(20, waits(Some((2, 0xd0))))),
            ["wake 5", "park 5 2"]
        );
        assert!(between(waits(Some((2, 0xc0))), &snapshot(20, waits(Some((2, 0xc0))))).is_empty());
    }

    #[test]
    fn the_collectors_mark_tells_that_a_wait_is_not_the_one_before() {
        let found = |since: Option<u64>| {
            vec![Goroutine { wait_since: since.map(MonotonicNs), ..goroutine(5, Some((2, 0xc0))) }]
        };
        assert!(between(found(None), &snapshot(20, found(Some(15)))).is_empty());
        assert!(between(found(Some(5)), &snapshot(20, found(Some(5)))).is_empty());
        assert_eq!(between(found(Some(5)), &snapshot(20, found(None))), ["wake 5", "park 5 2"]);
        assert_eq!(between(found(Some(5)), &snapshot(20, found(Some(15)))), ["wake 5", "park 5 2"]);
    }

    #[test]
    fn a_lock_whose_kind_was_not_read_once_is_no_other_lock() {
        let waits = |kind, address| {
            let mut goroutine = goroutine(5, Some((2, address)));
            let on = BlockedOn::Sync(kind);
            goroutine.blocked_on =
                goroutine.blocked_on.iter().map(|blocked| Blocked { on, ..*blocked }).collect();
            vec![goroutine]
        };
        let mutex = || waits(SyncPrimitive::Mutex, 0xc0);
        assert!(between(mutex(), &snapshot(20, waits(SyncPrimitive::Semaphore, 0xc4))).is_empty());
        assert_eq!(between(mutex(), &snapshot(20, waits(SyncPrimitive::Mutex, 0xd0))).len(), 2);
        let unread = vec![Goroutine { blocked_on: Few::default(), ..mutex().remove(0) }];
        let mut seen = Seen::of(&snapshot(10, mutex()));
        assert!(seen.advance(PID, &snapshot(20, unread)).is_empty());
        let elsewhere = seen.advance(PID, &snapshot(30, waits(SyncPrimitive::Mutex, 0xd0)));
        assert_eq!(elsewhere.len(), 2, "what it waited for was forgotten");
    }

    #[test]
    fn nothing_is_inferred_of_who_could_not_be_read() {
        let before = || vec![goroutine(1, None), goroutine(5, Some((2, 0xc0))), goroutine(6, None)];
        let unknown = |goid| Unknown { what: Entity::Goroutine(RuntimeAddr(1), goid), why: String::new() };
        let after =
            |goid| Snapshot { unknown: vec![unknown(goid)], ..snapshot(20, vec![goroutine(1, None)]) };
        assert_eq!(between(before(), &after(Some(Goid(5)))), ["-6"]);
        assert!(between(before(), &after(None)).is_empty());
        let mut seen = Seen::of(&snapshot(10, before()));
        seen.advance(PID, &after(None));
        assert_eq!(words(&seen.advance(PID, &snapshot(30, before()))), [""; 0]);
    }

    /// A world by goid: what each goroutine waits for, if it does.
    type World = BTreeMap<u64, Option<(u8, u64)>>;

    fn world() -> impl Strategy<Value = World> {
        let wait = proptest::option::of((0u8..3, (1u64..4).prop_map(|address| address * 96)));
        proptest::collection::btree_map(1u64..30, wait, 0..25)
    }

    fn look(at: u64, world: &World) -> Snapshot {
        snapshot(at, world.iter().map(|(goid, wait)| goroutine(*goid, *wait)).collect())
    }

    /// What a reader of the changes makes of them; it refuses what cannot follow.
    fn follow(world: &mut World, inferred: &Inferred) -> Result<(), TestCaseError> {
        let goid = inferred.goid.0;
        match &inferred.change {
            Change::Created { .. } => prop_assert!(world.insert(goid, None).is_none(), "{} twice", goid),
            Change::Exited => prop_assert!(world.remove(&goid).is_some(), "{} was not there", goid),
            Change::Readied => {
                let was = world.get_mut(&goid).and_then(Option::take);
                prop_assert!(was.is_some(), "{} did not wait", goid);
            }
            Change::Parked { reason, on, .. } => {
                let wait = (reason.unwrap().0, on[0].address.unwrap().0);
                let was = world.insert(goid, Some(wait));
                prop_assert_eq!(was, Some(None), "{} was not awake", goid);
            }
        }
        Ok(())
    }

    proptest! {
        /// Whoever follows the changes arrives where the process is, and no change is told that is none.
        #[test]
        fn the_changes_lead_from_each_world_to_the_next(worlds in proptest::collection::vec(world(), 1..6)) {
            let mut followed = worlds[0].clone();
            let mut seen = Seen::of(&look(10, &worlds[0]));
            for (number, world) in worlds.iter().enumerate().skip(1) {
                let same = followed == *world;
                let changes = seen.advance(PID, &look(10 * number as u64 + 10, world));
                prop_assert_eq!(changes.is_empty(), same);
                for change in &changes {
                    follow(&mut followed, change)?;
                }
                prop_assert_eq!(&followed, world);
            }
        }
    }
}
