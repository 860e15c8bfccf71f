//! What a look found, arranged for the detectors.
//!
//! In: the model. Out: its goroutines by what detectors ask for. A hundred thousand of them lie all over the memory, and to fetch
//! each is what takes longest: so that is done once here, and detectors go on with those that concern them.

use super::graph::{Graph, Served, looks_needed};
use crate::binary::addr::RuntimeAddr;
use crate::model::{Goroutine, Object, Process, State};
use crate::target::id::{Goid, MonotonicNs, SyncPrimitive};
use crate::target::reach::Hold;
use crate::target::snapshot::{Blocked, BlockedOn, Direction};
use foldhash::{HashMap, HashMapExt};

/// A goroutine waits for an object.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waiter<'p> {
    pub(super) object: Object,
    pub(super) goid: Goid,
    /// What it wants of it.
    pub(super) direction: Option<Direction>,
    /// It waits for nothing else.
    pub(super) is_alone: bool,
    /// It is the program's own.
    pub(super) is_user: bool,
    /// Nobody can wake it.
    pub(super) is_stranded: bool,
    /// It did not wait so at the look before.
    pub(super) is_anew: bool,
    pub(super) goroutine: &'p Goroutine,
}

impl Waiter<'_> {
    /// It waits for a lock.
    pub(super) fn is_at_lock(&self) -> bool {
        matches!(self.object, Object::Sync(SyncPrimitive::Mutex | SyncPrimitive::RwMutex, _))
    }

    /// It is the program's own and waits for this one side of a channel, and for nothing else.
    pub(super) fn is_at(&self, side: Direction) -> bool {
        let is_channel = matches!(self.object, Object::Channel(_));
        self.is_user && self.is_alone && is_channel && self.direction == Some(side)
    }
}

/// A process as a look found it.
#[derive(Debug)]
pub struct Survey<'p> {
    /// The process.
    pub process: &'p Process,
    /// When the look began.
    pub at: MonotonicNs,
    /// Who waits for whom in it.
    pub graph: Graph,
    /// So many looks have to agree.
    pub(super) looks_needed: u32,
    /// Who waits for what; those of one object beside each other, by goid.
    waiters: Vec<Waiter<'p>>,
    /// Locks that are held.
    holders: HashMap<RuntimeAddr, Vec<Hold>>,
    /// Whom nobody can wake.
    pub(super) stranded: Vec<&'p Goroutine>,
    /// Of the program's own, those that wait for what no code names that may still run.
    pub(super) unnamed: Vec<&'p Goroutine>,
    /// Of the program's own, those that wait for one thing that they need: to give something away, or a lock. To wait for what may
    /// come is what many do for all of their lives.
    pub(super) in_need: Vec<&'p Goroutine>,
    /// Of the program's own, those that were runnable or ran.
    pub(super) busy: Vec<&'p Goroutine>,
    /// Those that give back what they have not taken.
    pub(super) foreign: Vec<&'p Goroutine>,
    /// Of the program's own, those of which it is known, by the statement that created them.
    pub(super) created: HashMap<RuntimeAddr, Vec<&'p Goroutine>>,
}

impl<'p> Survey<'p> {
    /// Of a process after a look.
    #[must_use]
    pub fn of(process: &'p Process) -> Self {
        let mut survey = Self::without_goroutines(process, process.snapshot().unwrap_or_default());
        let mut served = Served::default();
        for goroutine in process.goroutines() {
            survey.take(goroutine, &mut served);
        }
        survey.waiters.sort_unstable_by_key(|one| (one.object, one.goid));
        // A select may have two cases of one channel.
        survey.waiters.dedup_by_key(|one| (one.object, one.goid));
        survey.graph = Graph::of(survey.by_object(), &survey.holders, &served);
        survey
    }

    /// For those that ask for events only.
    pub(super) fn without_goroutines(process: &'p Process, at: MonotonicNs) -> Self {
        Self {
            process,
            at,
            graph: Graph::default(),
            looks_needed: looks_needed(process),
            waiters: Vec::new(),
            holders: HashMap::new(),
            stranded: Vec::new(),
            unnamed: Vec::new(),
            in_need: Vec::new(),
            busy: Vec::new(),
            foreign: Vec::new(),
            created: HashMap::new(),
        }
    }

    fn take(&mut self, goroutine: &'p Goroutine, served: &mut Served<'p>) {
        let is_user = goroutine.system == Some(false) && goroutine.is_live();
        for hold in &goroutine.holds {
            self.holders.entry(hold.address).or_default().push(*hold);
        }
        if !goroutine.foreign.is_empty() {
            self.foreign.push(goroutine);
        }
        if is_user && goroutine.busy.runnable + goroutine.busy.running > 0 {
            self.busy.push(goroutine);
        }
        if let Some(created) = goroutine.created_at.filter(|_| is_user) {
            self.created.entry(created).or_default().push(goroutine);
        }
        let is_stranded = self.is_stranded(goroutine);
        if is_stranded {
            self.stranded.push(goroutine);
        }
        served.take(goroutine, is_stranded);
        let Some(wait) = goroutine.wait.as_deref().filter(|_| goroutine.state == State::Waiting) else {
            return;
        };
        if is_user && !is_stranded && wait.unnamed >= self.looks_needed {
            self.unnamed.push(goroutine);
        }
        if is_user && matches!(wait.on.as_slice(), [on] if is_need(on)) {
            self.in_need.push(goroutine);
        }
        let waiter = |object, direction| Waiter {
            object,
            goid: goroutine.goid,
            direction,
            is_alone: wait.on.len() == 1,
            is_user,
            is_stranded,
            is_anew: wait.looks <= 1,
            goroutine,
        };
        let on = wait.on.iter().filter_map(|on| Some(waiter(Object::of(on)?, on.direction)));
        self.waiters.extend(on);
    }

    /// Those that wait for the same, object by object.
    pub(super) fn by_object(&self) -> impl Iterator<Item = &[Waiter<'p>]> {
        self.waiters.chunk_by(|one, next| one.object == next.object)
    }

    /// Those that wait for an object.
    pub(super) fn at(&self, object: Object) -> &[Waiter<'p>] {
        let from = self.waiters.partition_point(|one| one.object < object);
        let count = self.waiters[from..].partition_point(|one| one.object == object);
        &self.waiters[from..from + count]
    }

    /// Whether the looks agree that nobody can wake it.
    pub(super) fn is_stranded(&self, goroutine: &Goroutine) -> bool {
        let unreachable = goroutine.wait.as_ref().and_then(|wait| wait.unreachable.as_ref());
        unreachable.is_some_and(|one| one.looks >= self.looks_needed || one.is_proven)
    }

    /// Who holds a lock.
    pub(super) fn holders(&self, object: Object) -> &[Hold] {
        let Object::Sync(_, address) = object else { return &[] };
        self.holders.get(&address).map_or(&[], Vec::as_slice)
    }
}

fn is_need(on: &Blocked) -> bool {
    matches!(
        (on.on, on.direction),
        (BlockedOn::Sync(SyncPrimitive::Mutex | SyncPrimitive::RwMutex), _)
            | (BlockedOn::Channel, Some(Direction::Send))
    )
}

/// What a goroutine waits for.
pub(super) fn objects(goroutine: &Goroutine) -> Vec<Object> {
    let on = goroutine.wait.iter().flat_map(|wait| &wait.on);
    let mut objects: Vec<Object> = on.filter_map(Object::of).collect();
    objects.sort_unstable();
    objects.dedup();
    objects
}

/// The first `most` of them, by goid.
pub(super) fn first<'p>(goroutines: &[&'p Goroutine], most: usize) -> Vec<&'p Goroutine> {
    let mut by_goid: Vec<(Goid, &Goroutine)> = goroutines.iter().map(|one| (one.goid, *one)).collect();
    if by_goid.len() > most {
        by_goid.select_nth_unstable_by_key(most, |(goid, _)| *goid);
        by_goid.truncate(most);
    }
    by_goid.sort_unstable_by_key(|(goid, _)| *goid);
    by_goid.into_iter().map(|(_, one)| one).collect()
}
