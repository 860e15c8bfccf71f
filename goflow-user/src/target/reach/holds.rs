//! Who may hold which lock.
//!
//! In: parked goroutines, their stacks, and the locks that somebody waits for. Out: a [`Hold`] wherever the code of a frame says
//! that it took a lock which it has not given back ([`crate::binary::critical`]), and the frame leads to one of those. A frame
//! has a pointer to the lock or to what the lock is in, because it will have to give it back.

use super::given::{Given, Giver, Known};
use super::mark::Budget;
use super::stack::{FrameAt, Frames, Words};
use super::{Hold, ReachError, words};
use crate::binary::addr::{LoadBias, RuntimeAddr};
use crate::binary::critical::{Held, Lock, LockPlace, Section, Sections};
use crate::binary::offsets::Offsets;
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
    /// Which condition each waits for.
    conds: BTreeMap<u64, u64>,
}

impl Awaited {
    pub(super) fn of(snapshot: &Snapshot) -> Self {
        let mut awaited = Self::default();
        let waits = |one: &Goroutine| one.blocked_on.iter().map(|on| (one.goid, *on)).collect::<Vec<_>>();
        for (goid, blocked) in snapshot.goroutines.iter().flat_map(waits) {
            let Some(address) = blocked.address.filter(|_| blocked.on.is_sync()) else { continue };
            if blocked.on == BlockedOn::Sync(SyncPrimitive::Cond) {
                awaited.conds.insert(goid.0, address.0);
                continue;
            }
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

/// What is used to find out who holds what.
pub(super) struct Tools<'r, 'f, 'b> {
    pub(super) memory: &'r dyn Memory,
    pub(super) budget: &'r Budget,
    pub(super) frames: &'f mut Frames<'b>,
    pub(super) sections: &'f mut Sections<'b>,
    pub(super) bias: LoadBias,
    pub(super) offsets: &'r Offsets,
}

/// What one goroutine may hold of it.
pub(super) fn of(
    tools: &mut Tools<'_, '_, '_>,
    raw: &Raw,
    stack: &Words<'_>,
    awaited: &Awaited,
) -> Result<Vec<Hold>, ReachError> {
    let frames = tools.frames.frames(raw.pc, stack);
    let (memory, bias) = (tools.memory, tools.bias);
    let records = (&tools.offsets.deferred, raw.deferred);
    let mut giver = Giver::new(memory, bias, tools.sections, stack, records)?;
    let mut holder = Holder {
        memory,
        budget: tools.budget,
        bias,
        offsets: tools.offsets,
        awaited,
        itself: awaited.by.get(&raw.goid).copied(),
        returned: Vec::new(),
        gone: Vec::new(),
        holds: Vec::new(),
        goid: Goid(raw.goid),
    };
    if let Some(&cond) = awaited.conds.get(&raw.goid) {
        holder.returned.extend(holder.lock_of_cond(cond)?.map(|lock| (None, lock)));
    }
    for frame in frames {
        let (section, given) = (giver.section(frame), giver.of(frame)?);
        for lock in Lock::ALL {
            holder.look(lock, (frame, stack), &section, &given)?;
        }
        // What a function has given back for its caller, or will take again for it, the caller does not hold.
        holder.returned.extend(given.taken.iter().map(|known| (Some(known.lock), known.address)));
        holder.gone.extend(&section.gave);
    }
    Ok(holder.holds)
}

/// Finds what one goroutine holds, frame by frame, innermost first.
struct Holder<'r> {
    memory: &'r dyn Memory,
    budget: &'r Budget,
    bias: LoadBias,
    offsets: &'r Offsets,
    awaited: &'r Awaited,
    goid: Goid,
    /// What it waits for.
    itself: Option<u64>,
    /// Locks that inner functions have given back for the time being.
    returned: Vec<(Option<Lock>, u64)>,
    /// Kinds of locks of which they may have given back any.
    gone: Vec<Lock>,
    holds: Vec<Hold>,
}

impl Holder<'_> {
    /// What a frame has of one kind of lock. Where it stands tells that it has some; what it will do tells which.
    fn look(
        &mut self,
        lock: Lock,
        (frame, stack): (FrameAt, &Words<'_>),
        section: &Section,
        given: &Given,
    ) -> Result<(), ReachError> {
        if self.gone.contains(&lock) {
            return Ok(());
        }
        let of_kind = |all: &[Held]| all.iter().filter(|one| one.lock == lock).copied().collect::<Vec<_>>();
        let (held, kept, again) = (of_kind(&section.held), of_kind(&section.kept), of_kind(&section.again));
        let mut sites = Vec::new();
        for one in held {
            match one.place {
                LockPlace::Variable(link) => {
                    let variable = self.bias.to_runtime(link).0;
                    self.push(&one, variable, true)?;
                }
                LockPlace::Behind(_) => sites.push(one),
            }
        }
        let evidence = sites.first().or(kept.first()).or(again.first()).copied();
        let (ahead, deferred) = self.known(lock, given, section, evidence.is_some())?;
        let mut all: Vec<u64> = ahead.iter().chain(&deferred).copied().collect();
        all.sort_unstable();
        all.dedup();
        // The lock that it waits for it will give back as well. That it has it already has to be seen.
        let is_known = !all.is_empty();
        if let Some(itself) = self.itself.filter(|itself| all.contains(itself)) {
            let is_repeated = deferred.contains(&itself) && !(kept.is_empty() && again.is_empty());
            if !is_repeated && places(&sites) < all.len() {
                all.retain(|one| *one != itself);
            }
        }
        let Some(entry) = section.entry else { return Ok(()) };
        let whole = Held { lock, place: LockPlace::Behind(0), taken_at: entry };
        for &address in &all {
            let site = sites.iter().find(|site| leads(site, address, frame, stack));
            let site = site.or(evidence.as_ref()).unwrap_or(&whole);
            self.push(site, address, evidence.is_some())?;
        }
        if !is_known {
            for site in &sites {
                self.guess(site, frame, stack)?;
            }
        }
        Ok(())
    }

    /// The locks that a frame gives back by itself, and those that its deferred calls do, of those that are locked.
    fn known(
        &self,
        lock: Lock,
        given: &Given,
        section: &Section,
        has_evidence: bool,
    ) -> Result<(Vec<u64>, Vec<u64>), ReachError> {
        let (mut ahead, mut deferred) = (Vec::new(), Vec::new());
        let of_kind = |all: &[Known]| {
            all.iter().filter(|one| one.lock == lock).map(|one| one.address).collect::<Vec<_>>()
        };
        let taken = of_kind(&given.taken);
        // Without a sign that it has one, it may be one that is only taken later on.
        let is_later = |address: &u64| {
            taken.contains(address) || given.unknown.contains(&lock) || self.itself == Some(*address)
        };
        // What takes such locks itself shows that it has one.
        let is_had = |address: &u64| has_evidence || !section.takes.contains(&lock) && !is_later(address);
        for address in of_kind(&given.ahead) {
            if is_had(&address) && self.is_locked(lock, address)? {
                ahead.push(address);
            }
        }
        for address in of_kind(&given.deferred) {
            if is_had(&address) && self.is_locked(lock, address)? {
                deferred.push(address);
            }
        }
        Ok((ahead, deferred))
    }

    /// The frame leads to it, and what it does with it later on is not seen.
    fn guess(&mut self, site: &Held, frame: FrameAt, stack: &Words<'_>) -> Result<(), ReachError> {
        let LockPlace::Behind(offset) = site.place else { return Ok(()) };
        let words: Vec<u64> = stack
            .range(frame.sp..frame.argp.saturating_add(8 * ARGUMENTS))
            .filter(|&word| word > 4096)
            .collect();
        let of_kind = self.awaited.of_kind(site.lock);
        match resolve((self.memory, self.budget), offset, words, self.itself, of_kind)? {
            Some(address) => self.push(site, address, false),
            None => Ok(()),
        }
    }

    fn push(&mut self, site: &Held, address: u64, is_certain: bool) -> Result<(), ReachError> {
        let is_returned = |(lock, returned): &(Option<Lock>, u64)| {
            *returned == address && lock.is_none_or(|lock| lock == site.lock)
        };
        let is_told = |hold: &Hold| hold.address.0 == address && hold.is_shared == (site.lock == Lock::Read);
        if !self.awaited.of_kind(site.lock).contains(&address)
            || self.returned.iter().any(is_returned)
            || self.holds.iter().any(is_told)
            || !self.is_locked(site.lock, address)?
        {
            return Ok(());
        }
        self.holds.push(Hold {
            goid: self.goid,
            kind: match site.lock {
                Lock::Mutex => SyncPrimitive::Mutex,
                Lock::Write | Lock::Read => SyncPrimitive::RwMutex,
            },
            address: RuntimeAddr(address),
            is_shared: site.lock == Lock::Read,
            is_certain,
            // One behind, as a return address is.
            taken_at: RuntimeAddr(self.bias.to_runtime(site.taken_at).0.wrapping_add(1)),
        });
        Ok(())
    }

    fn is_locked(&self, lock: Lock, address: u64) -> Result<bool, ReachError> {
        is_locked((self.memory, self.offsets), lock, address)
    }

    /// The lock of a condition, which is given back by whoever waits for it: the second word of the interface.
    fn lock_of_cond(&self, cond: u64) -> Result<Option<u64>, ReachError> {
        let Some(layout) = self.offsets.cond else { return Ok(None) };
        let at = cond.wrapping_add(u64::from(layout.l) + 8);
        Ok(words(self.memory, at, 1)?.and_then(|words| words.first().copied()))
    }
}

/// What the lock itself says: nobody holds one that is not locked.
pub(super) fn is_locked(
    (memory, offsets): (&dyn Memory, &Offsets),
    lock: Lock,
    address: u64,
) -> Result<bool, ReachError> {
    /// `rwmutexMaxReaders`, which a writer takes off (src/sync/rwmutex.go).
    const MOST_READERS: i32 = 1 << 30;
    let (Some(mutex), rw_mutex) = (offsets.mutex, offsets.rw_mutex) else { return Ok(true) };
    let word = |offset: u32| {
        let mut bytes = [0; 4];
        let at = RuntimeAddr(address.wrapping_add(u64::from(offset)));
        Ok::<_, ReachError>(memory.read(at, &mut bytes)?.then(|| i32::from_le_bytes(bytes)))
    };
    let is_set = |state: Option<i32>| state.is_some_and(|state| state & 1 != 0);
    let Some(rw_mutex) = rw_mutex.filter(|_| lock != Lock::Mutex) else {
        return Ok(is_set(word(mutex.state)?));
    };
    let Some(readers) = word(rw_mutex.reader_count)? else { return Ok(false) };
    if lock == Lock::Read {
        return Ok(readers > 0 || readers.wrapping_add(MOST_READERS) > 0 && readers < 0);
    }
    Ok(readers < 0 && is_set(word(rw_mutex.w + mutex.state)?))
}

/// In how many places these are taken: one lock may be taken in each.
fn places(sites: &[Held]) -> usize {
    let mut places: Vec<LockPlace> = Vec::new();
    for site in sites {
        if !places.contains(&site.place) {
            places.push(site.place);
        }
    }
    places.len()
}

/// Whether the frame leads to this lock from where it says that it has been taken.
fn leads(site: &Held, address: u64, frame: FrameAt, stack: &Words<'_>) -> bool {
    let LockPlace::Behind(offset) = site.place else { return false };
    stack
        .range(frame.sp..frame.argp.saturating_add(8 * ARGUMENTS))
        .any(|word| word.wrapping_add_signed(offset) == address)
}

/// Which of the locks it is.
fn resolve(
    (memory, budget): (&dyn Memory, &Budget),
    offset: i64,
    mut words: Vec<u64>,
    itself: Option<u64>,
    awaited: &BTreeSet<u64>,
) -> Result<Option<u64>, ReachError> {
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
