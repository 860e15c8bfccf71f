//! The model of one process: how events and snapshots change it.

use super::Limits;
use super::difference::elsewhere;
use super::goroutine::{Cause, Goroutine, Impossible, State, Unreachable, Wait, Woken};
use super::held::HeldBack;
use super::misuse::{Closed, Misuse, MisuseKind, Misuses};
use super::object::{Channel, Made, Objects, SyncObject};
use super::runtime::Runtime;
use super::waitgroup::{Adder, GroupWait, LateAdd, WaitGroups};
use crate::binary::addr::RuntimeAddr;
use crate::ingest::event::{ChanOp, EndedPark, Event, EventKind, GroupState};
use crate::target::Pid;
use crate::target::id::{ChanAddr, Goid, MonotonicNs, SyncPrimitive, WaitReason};
use crate::target::reach::{self, Foreign, Reach, Timers};
use crate::target::snapshot::{self, Blocked, BlockedOn, Direction, Entity, Reason, Snapshot};
use foldhash::{HashMap, HashSet};
use std::collections::VecDeque;

/// Sync objects remembered of what a goroutine last called: `RWMutex.Lock` may wait for three in turn.
const OPERATIONS: usize = 4;

/// Furthest a semaphore is from the start of the sync object that it belongs to, in bytes: `readerSem` of `sync.RWMutex`
/// is at 12, `sema` of a `sync.WaitGroup` at 8 (src/sync, Go 1.18–1.27).
const SEMAPHORE_WITHIN: u64 = 16;

/// Contradictions kept to be shown; all are counted.
const IMPOSSIBLE_KEPT: usize = 32;

/// So long it counts that two looks contradict each other: eight seconds at the pace of `goflow check`.
const DOUBTFUL_LOOKS: u32 = 16;

/// A process and everything in it.
#[derive(Clone, Debug)]
pub struct Process {
    pid: Pid,
    runtime: Runtime,
    limits: Limits,
    /// Boxed: a table is up to half empty, and two tables exist while it grows, which for a million of 400 bytes each is a
    /// gigabyte.
    goroutines: HashMap<Goid, Box<Goroutine>>,
    channels: Objects<ChanAddr, Channel>,
    sync: Objects<(SyncPrimitive, RuntimeAddr), SyncObject>,
    /// Ended goroutines, in the order in which they leave.
    leaving: VecDeque<(MonotonicNs, Goid)>,
    /// Something was lost up to here: what was last heard of before is not certain.
    unsure_before: MonotonicNs,
    /// And up to here because events were lost, and not because nobody watched.
    lost_before: Option<MonotonicNs>,
    /// What was done to channels before is not all known.
    channels_unsure_before: MonotonicNs,
    misuses: Misuses,
    /// What will be among them unless the probes were coming out by then.
    held: HeldBack<Misuse>,
    held_late: HeldBack<LateAdd>,
    wait_groups: WaitGroups,
    snapshot: Option<MonotonicNs>,
    /// Goroutines that the last snapshot could not read, and of which no event tells.
    unread: u64,
    /// At the last look at its memory nothing of the program went on.
    is_asleep: bool,
    /// That look could find out whom nobody can wake.
    knows_reach: bool,
    /// How the last looks contradicted each other, and for how many looks more that counts.
    contradictions: Option<(Contradictions, u32)>,
    /// The program's timers that are set for long, as the last look that could tell found them.
    timers: Vec<Timers>,
    tally: Tally,
    impossible: Vec<Impossible>,
}

/// Of the goroutines of which one look said that nobody can wake them, some were reached at the next, though they had not gone on:
/// what a program moves about while it is looked is missed now and then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Contradictions {
    /// So many.
    pub wrong: usize,
    /// Of so many.
    pub of: usize,
}

impl Contradictions {
    /// What part of what a look says is wrong, as far as so many tell: one of one that was wrong is not all of many.
    #[must_use]
    pub fn share(self) -> f64 {
        /// So many are too few.
        const FEW: usize = 8;
        self.wrong as f64 / (self.of + FEW) as f64
    }
}

/// What the model has counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Goroutines whose creation was seen.
    pub created: u64,
    /// Goroutines whose end was seen.
    pub exited: u64,
    /// Events that could not be told from whom they are.
    pub unattributed: u64,
    /// Changes that the runtime does not make.
    pub impossible: u64,
    /// Goroutines that had to leave although they may still be there.
    pub forgotten: u64,
}

impl Process {
    pub(super) fn new(pid: Pid, runtime: Runtime, limits: Limits) -> Self {
        Self {
            pid,
            runtime,
            limits,
            goroutines: HashMap::default(),
            channels: Objects::new(limits.objects),
            sync: Objects::new(limits.objects),
            leaving: VecDeque::new(),
            unsure_before: MonotonicNs(0),
            lost_before: None,
            channels_unsure_before: MonotonicNs(0),
            misuses: Misuses::default(),
            held: HeldBack::default(),
            held_late: HeldBack::default(),
            wait_groups: WaitGroups::default(),
            snapshot: None,
            unread: 0,
            is_asleep: false,
            knows_reach: false,
            contradictions: None,
            timers: Vec::new(),
            tally: Tally::default(),
            impossible: Vec::new(),
        }
    }

    /// Its id.
    #[must_use]
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// A goroutine, also one that ended not long ago.
    #[must_use]
    pub fn goroutine(&self, goid: Goid) -> Option<&Goroutine> {
        self.goroutines.get(&goid).map(Box::as_ref)
    }

    /// Every goroutine, also those that ended not long ago, in no order.
    pub fn goroutines(&self) -> impl Iterator<Item = &Goroutine> {
        self.goroutines.values().map(Box::as_ref)
    }

    /// The goroutines that `parent` created.
    pub fn children(&self, parent: Goid) -> impl Iterator<Item = &Goroutine> {
        self.goroutines().filter(move |goroutine| goroutine.parent == Some(parent))
    }

    /// A channel.
    #[must_use]
    pub fn channel(&self, address: ChanAddr) -> Option<&Channel> {
        self.channels.get(&address)
    }

    /// Every channel, in no order.
    pub fn channels(&self) -> impl Iterator<Item = &Channel> {
        self.channels.values()
    }

    /// A sync object.
    #[must_use]
    pub fn sync_object(&self, kind: SyncPrimitive, address: RuntimeAddr) -> Option<&SyncObject> {
        self.sync.get(&(kind, address))
    }

    /// Every sync object that was waited for, in no order.
    pub fn sync_objects(&self) -> impl Iterator<Item = &SyncObject> {
        self.sync.values()
    }

    /// What was counted.
    #[must_use]
    pub fn tally(&self) -> Tally {
        Tally {
            forgotten: self.tally.forgotten + self.channels.forgotten() + self.sync.forgotten(),
            ..self.tally
        }
    }

    /// The first contradictions.
    #[must_use]
    pub fn impossible(&self) -> &[Impossible] {
        &self.impossible
    }

    /// When the last snapshot began that this has seen.
    #[must_use]
    pub fn snapshot(&self) -> Option<MonotonicNs> {
        self.snapshot
    }

    /// At the last look at its memory nothing of the program went on, or would.
    #[must_use]
    pub fn is_asleep(&self) -> bool {
        self.is_asleep
    }

    /// What the program did to channels that it must not, by the places at which it did.
    #[must_use]
    pub fn misuses(&self) -> &[Misuse] {
        self.misuses.all()
    }

    /// Goroutines that counted themselves in a wait group too late, by the places of that and of the wait.
    #[must_use]
    pub fn late_adds(&self) -> &[LateAdd] {
        self.wait_groups.late()
    }

    /// When the last of what only events tell has happened.
    #[must_use]
    pub fn last_misuse(&self) -> Option<MonotonicNs> {
        let misuses = self.misuses().iter().map(|one| one.at);
        misuses.chain(self.late_adds().iter().map(|one| one.at)).max()
    }

    /// How the last looks contradicted each other, at the worst; `None`: they did not.
    #[must_use]
    pub fn contradictions(&self) -> Option<Contradictions> {
        self.contradictions.map(|(worst, _)| worst)
    }

    /// The last look at its memory could find out whom nobody can wake, who holds which lock, and what was at hand.
    #[must_use]
    pub fn knows_reach(&self) -> bool {
        self.knows_reach
    }

    /// The program's timers that are set for long, by what they call; empty where the last look could not tell.
    #[must_use]
    pub fn timers(&self) -> &[Timers] {
        &self.timers
    }

    /// Something was lost up to here.
    pub(super) fn unsure_before(&self) -> MonotonicNs {
        self.unsure_before
    }

    /// Goroutines that the last snapshot could not read.
    pub(super) fn unread(&self) -> u64 {
        self.unread
    }

    /// When an event knows better than a snapshot that began then, see [`super`].
    fn precedence(&self, began: MonotonicNs) -> Precedence {
        let settling = MonotonicNs(began.0.saturating_sub(self.limits.settle_ns));
        Precedence { settling, began }
    }

    /// How this process's runtime numbers and lays out things.
    #[must_use]
    pub fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    /// Nothing that could have changed the goroutine was lost since it was last heard of.
    #[must_use]
    pub fn is_certain(&self, goroutine: &Goroutine) -> bool {
        goroutine.known_at >= self.unsure_before
    }

    /// Events were lost up to here; `None` where all that was not heard of was not watched.
    pub(super) fn lost_before(&self) -> Option<MonotonicNs> {
        self.lost_before
    }

    /// Until then what lost events announced may have been under way still.
    pub(super) fn lost_until(&self) -> Option<MonotonicNs> {
        self.lost_before.map(|lost| MonotonicNs(lost.0.saturating_add(self.limits.settle_ns)))
    }

    pub(super) fn lose(&mut self, until: MonotonicNs) {
        self.lost_before = self.lost_before.max(Some(until));
        self.doubt(until);
    }

    /// Up to here not everything was watched.
    pub(super) fn doubt(&mut self, until: MonotonicNs) {
        self.unsure_before = self.unsure_before.max(until);
        self.wait_groups.forget(until);
    }

    /// What is done to channels is watched from here on, or is not.
    pub(super) fn turn_channels(&mut self, from: MonotonicNs, is_watched: bool) {
        self.channels_unsure_before = self.channels_unsure_before.max(from);
        self.held.turned(from, is_watched);
        self.held_late.turned(from, is_watched);
        self.wait_groups.forget(from);
    }

    /// Nothing will be told any more that takes back what has been found.
    pub(super) fn hold_nothing_back(&mut self) {
        self.held.all().into_iter().for_each(|misuse| self.misuses.add(misuse));
        self.held_late.all().into_iter().for_each(|late| self.wait_groups.tell(late));
    }

    /// What was found so long ago that nothing takes it back.
    fn settle(&mut self, now: MonotonicNs) {
        let ns = self.limits.news_ns;
        self.held.ready(now, ns).into_iter().for_each(|misuse| self.misuses.add(misuse));
        self.held_late.ready(now, ns).into_iter().for_each(|late| self.wait_groups.tell(late));
    }

    fn hold(&mut self, misuse: Misuse) {
        self.held.hold((misuse.closed.at, misuse.at), misuse);
    }

    /// Lets those go that ended longer ago than the retention.
    pub(super) fn expire(&mut self, now: MonotonicNs) {
        self.settle(now);
        while let Some(&(at, goid)) = self.leaving.front() {
            if now.0.saturating_sub(at.0) < self.limits.retention_ns {
                break;
            }
            self.leaving.pop_front();
            // One that was gone and has come back stays.
            if self.goroutines.get(&goid).is_some_and(|goroutine| !goroutine.is_live()) {
                self.goroutines.remove(&goid);
            }
        }
    }

    pub(super) fn apply(&mut self, event: &Event) {
        self.follow(event);
        self.settle(event.t);
    }

    fn follow(&mut self, event: &Event) {
        let at = event.t;
        match &event.kind {
            EventKind::GoroutineCreate { child, created_at, start } => {
                self.acts(event.goid, at);
                self.create(event, *child, *created_at, *start);
            }
            EventKind::GoroutineExit => self.exit(event.goid, at),
            EventKind::Park { reason, lock, stack } => self.park(event.goid, at, *reason, *lock, stack),
            EventKind::Ready { target, ended } => {
                self.acts(event.goid, at);
                if let Some(EndedPark { since, reason, lock, stack }) = ended.as_deref() {
                    self.park(*target, *since, *reason, *lock, stack);
                }
                self.ready(*target, event.goid, at);
            }
            EventKind::ChanMake { chan, cap, elem_size, elem_type, site } => {
                self.acts(event.goid, at);
                if let Some(address) = *chan {
                    let made = Made { by: event.goid, site: *site, at };
                    let channel = Channel {
                        made: Some(made),
                        cap: *cap,
                        elem_size: *elem_size,
                        elem_type: *elem_type,
                        ..Channel::new(address, at)
                    };
                    self.channel_entry(address, at);
                    self.channels.insert(address, channel);
                }
            }
            EventKind::ChanSend(op) => self.operate(event, op, Direction::Send),
            EventKind::ChanRecv(op) => self.operate(event, op, Direction::Receive),
            EventKind::ChanClose(op) => {
                self.acts(event.goid, at);
                self.close(event, op);
            }
            EventKind::Select { sends, receives: _, blocking: _, chans, site } => {
                self.acts(event.goid, at);
                let chans = chans.as_deref().unwrap_or_default();
                self.select(event.goid, *sends, chans);
                if let Some(goid) = event.goid.filter(|_| *sends > 0) {
                    self.wait_groups.send(goid);
                }
                for chan in chans.iter().take(*sends as usize).flatten() {
                    self.misused(MisuseKind::SendAfterClose, *chan, event, *site);
                }
            }
            EventKind::SyncWait { primitive, addr, reason: _, site } => {
                self.acts(event.goid, at);
                self.sync_wait(event.goid, *primitive, *addr);
                if let (SyncPrimitive::WaitGroup, Some(by)) = (*primitive, event.goid) {
                    self.wait_groups.wait(*addr, GroupWait { by, site: *site, at });
                }
            }
            EventKind::WaitGroupAdd { addr, delta, state, site } => {
                let adder = event.goid.map(|goid| self.adder(goid, at));
                self.acts(event.goid, at);
                if let Some(adder) = adder {
                    self.count(*addr, (*delta, *site, at), adder, *state);
                }
            }
        }
    }

    /// Whoever is about to count in a wait group, before that changes what is known of it.
    fn adder(&self, goid: Goid, at: MonotonicNs) -> Adder {
        let goroutine = self.goroutine(goid);
        let is_newborn = |one: &&Goroutine| one.last_event.is_some_and(|(_, cause)| cause == Cause::Created);
        Adder {
            goid,
            known_since: goroutine.map_or(at, |goroutine| goroutine.known_since),
            newborn_of: goroutine.filter(is_newborn).and_then(|goroutine| goroutine.parent),
        }
    }

    fn count(
        &mut self,
        group: RuntimeAddr,
        add: (i64, Option<RuntimeAddr>, MonotonicNs),
        adder: Adder,
        state: Option<GroupState>,
    ) {
        let (delta, _, at) = add;
        if delta > 0 {
            self.wait_groups.add(group, add, adder, state, self.limits.settle_ns);
        } else {
            for late in self.wait_groups.done(group, adder.goid, delta.saturating_neg(), at) {
                self.held_late.hold((late.wait.at, at), late);
            }
        }
    }

    /// The actor of an event is awake. The runtime itself is no goroutine.
    fn acts(&mut self, goid: Option<Goid>, at: MonotonicNs) {
        match goid {
            Some(Goid(0)) => {}
            Some(goid) => self.step(goid, Cause::Acted, at, None),
            None => self.nobody_knows_who(at),
        }
    }

    /// An event whose goroutine could not be read: any of them may have changed.
    fn nobody_knows_who(&mut self, at: MonotonicNs) {
        self.tally.unattributed += 1;
        self.lose(at);
    }

    fn step(&mut self, goid: Goid, cause: Cause, at: MonotonicNs, by: Option<Goid>) {
        let goroutine = self.goroutine_entry(goid, at);
        goroutine.last_event = Some((at, cause));
        match goroutine.step(cause, at, by) {
            Ok(Some(wait)) => {
                self.wait_ended(&wait, at, cause);
                if let (Cause::Readied, Some(by)) = (cause, by) {
                    self.woken_by_close(goid, &wait, by, at);
                }
            }
            Ok(None) => {}
            Err(impossible) => self.contradiction(impossible),
        }
    }

    fn contradiction(&mut self, impossible: Impossible) {
        self.tally.impossible += 1;
        if self.impossible.len() < IMPOSSIBLE_KEPT {
            self.impossible.push(impossible);
        }
    }

    /// Blocked time counts where both ends were seen.
    fn wait_ended(&mut self, wait: &Wait, at: MonotonicNs, cause: Cause) {
        let ([only], true, Cause::Readied) = (wait.on.as_slice(), wait.exact, cause) else { return };
        let ns = at.0.saturating_sub(wait.since.0);
        let Some(address) = only.address else { return };
        match (only.on, only.direction) {
            (BlockedOn::Channel, Some(direction)) => {
                let channel = self.channels.get_mut(&ChanAddr(address.0));
                if let Some(side) = channel.and_then(|channel| channel.side(direction)) {
                    side.waited(ns);
                }
            }
            (BlockedOn::Sync(kind), _) => {
                if let Some(object) = self.sync.get_mut(&(kind, address)) {
                    object.blocked_ns = object.blocked_ns.saturating_add(ns);
                }
            }
            (BlockedOn::Channel, None) | (BlockedOn::Timer | BlockedOn::Descriptor(_), _) => {}
        }
    }

    fn goroutine_entry(&mut self, goid: Goid, at: MonotonicNs) -> &mut Goroutine {
        if self.goroutines.len() >= self.limits.goroutines && !self.goroutines.contains_key(&goid) {
            self.make_room();
        }
        self.goroutines.entry(goid).or_insert_with(|| Box::new(Goroutine::new(goid, at)))
    }

    /// The ended ones leave first; where that is not enough, those that nothing was heard of for longest.
    fn make_room(&mut self) {
        let before = self.goroutines.len();
        self.leaving.clear();
        self.goroutines.retain(|_, goroutine| goroutine.is_live());
        if self.goroutines.len() * 2 > before {
            let mut times: Vec<MonotonicNs> =
                self.goroutines.values().map(|goroutine| goroutine.known_at).collect();
            let middle = times.len() / 2;
            let (_, median, _) = times.select_nth_unstable(middle);
            let median = *median;
            let live = self.goroutines.len();
            self.goroutines.retain(|_, goroutine| goroutine.known_at > median);
            self.tally.forgotten += (live - self.goroutines.len()) as u64;
        }
    }

    fn channel_entry(&mut self, address: ChanAddr, at: MonotonicNs) -> &mut Channel {
        let channel = self.channels.entry(address, |channel| channel.last, || Channel::new(address, at));
        channel.last = channel.last.max(at);
        channel
    }

    fn sync_entry(&mut self, kind: SyncPrimitive, address: RuntimeAddr, at: MonotonicNs) -> &mut SyncObject {
        let make = || SyncObject { kind, address, waits: 0, blocked_ns: 0, last: at };
        let object = self.sync.entry((kind, address), |object| object.last, make);
        object.last = object.last.max(at);
        object
    }

    fn create(
        &mut self,
        event: &Event,
        child: Option<Goid>,
        created_at: Option<RuntimeAddr>,
        start: Option<RuntimeAddr>,
    ) {
        let at = event.t;
        self.tally.created += 1;
        if let Some(parent) = event.goid.and_then(|goid| self.goroutines.get_mut(&goid)) {
            parent.children += 1;
        }
        let Some(child) = child else { return self.nobody_knows_who(at) };
        if let Some(parent) = event.goid {
            self.wait_groups.create(parent, child, start);
        }
        let goroutine = self.goroutine_entry(child, at);
        let new = goroutine.last_event.is_none();
        goroutine.parent = event.goid;
        goroutine.created_at = created_at;
        goroutine.start = start;
        goroutine.created = Some(at);
        // A snapshot taken meanwhile may have been first to see it; then it is where the snapshot says.
        if new && goroutine.state != State::Unknown {
            goroutine.last_event = Some((at, Cause::Created));
        } else {
            self.step(child, Cause::Created, at, event.goid);
        }
    }

    fn exit(&mut self, goid: Option<Goid>, at: MonotonicNs) {
        self.tally.exited += 1;
        let Some(goid) = goid else { return self.nobody_knows_who(at) };
        self.step(goid, Cause::Exited, at, None);
        self.wait_groups.exit(goid);
        self.leaving.push_back((at, goid));
    }

    fn ready(&mut self, target: Option<Goid>, by: Option<Goid>, at: MonotonicNs) {
        let Some(target) = target else { return self.nobody_knows_who(at) };
        self.step(target, Cause::Readied, at, by);
        if let Some(goroutine) = self.goroutines.get_mut(&target) {
            goroutine.woken = Some(Woken { by, at });
        }
    }

    fn park(
        &mut self,
        goid: Option<Goid>,
        at: MonotonicNs,
        reason: WaitReason,
        lock: Option<RuntimeAddr>,
        stack: &[RuntimeAddr],
    ) {
        let Some(goid) = goid else { return self.nobody_knows_who(at) };
        self.step(goid, Cause::Parked, at, None);
        let on = self.waits_for(goid, reason, lock);
        for blocked in &on {
            if let (BlockedOn::Sync(kind), Some(address)) = (blocked.on, blocked.address) {
                self.sync_entry(kind, address, at).waits += 1;
            }
        }
        let Some(goroutine) = self.goroutines.get_mut(&goid) else { return };
        if goroutine.state == State::Waiting {
            goroutine.parks += 1;
            let (reason, stack) = (Some(reason), stack.to_vec());
            goroutine.wait = Some(Box::new(Wait {
                since: at,
                exact: true,
                reason,
                on,
                stack,
                looks: 0,
                unreachable: None,
                unnamed: 0,
            }));
        }
    }

    /// What a park is about: the channel whose lock it releases, or what the goroutine called just before.
    fn waits_for(&self, goid: Goid, reason: WaitReason, lock: Option<RuntimeAddr>) -> Vec<Blocked> {
        let Some(goroutine) = self.goroutines.get(&goid) else { return Vec::new() };
        let called = &goroutine.operation;
        match self.runtime.reason(reason) {
            Reason::Channel(direction) | Reason::NilChannel(direction) => {
                let address = lock.and_then(|lock| lock.0.checked_sub(self.runtime.fields().hchan_lock));
                vec![channel_wait(address.map(ChanAddr), direction)]
            }
            Reason::Select => {
                called.iter().filter(|called| called.on == BlockedOn::Channel).copied().collect()
            }
            Reason::Semaphore(_) | Reason::Cond => sync_object_of(called).into_iter().collect(),
            // The last select it called was another one.
            Reason::EmptySelect => Vec::new(),
            Reason::Sleep | Reason::Descriptor | Reason::Other => Vec::new(),
        }
    }

    fn operate(&mut self, event: &Event, op: &ChanOp, direction: Direction) {
        self.acts(event.goid, event.t);
        if let (Direction::Send, Some(goid)) = (direction, event.goid) {
            self.wait_groups.send(goid);
        }
        let Some(address) = op.chan else { return };
        if let Some(side) = self.channel_entry(address, event.t).side(direction) {
            side.add(event.goid, event.t);
        }
        if direction == Direction::Send {
            self.misused(MisuseKind::SendAfterClose, address, event, op.site);
        }
    }

    fn close(&mut self, event: &Event, op: &ChanOp) {
        let Some(address) = op.chan else { return };
        self.misused(MisuseKind::DoubleClose, address, event, op.site);
        let channel = self.channel_entry(address, event.t);
        // One that panics closes nothing.
        if channel.closed.is_none_or(|closed| closed.by.is_none()) {
            channel.closed = Some(Closed { by: event.goid, site: op.site, at: event.t });
        }
    }

    /// Something is done to a channel that must not be if it is closed. A close counts that was seen, and nothing missed since:
    /// the channel at that address may be another one by now.
    fn misused(&mut self, kind: MisuseKind, channel: ChanAddr, event: &Event, site: Option<RuntimeAddr>) {
        let Some(closed) = self.channels.get(&channel).and_then(|channel| channel.closed) else { return };
        let sure_since = self.channels_unsure_before.max(self.lost_before.unwrap_or_default());
        if closed.by.is_some() && closed.at >= sure_since {
            let (by, at, stack) = (event.goid, event.t, site.into_iter().collect());
            self.hold(Misuse { kind, channel, closed, by, stack, at, first: at, times: 1 });
        }
    }

    /// A wait was ended by who closed the channel in which it was to send: after that nobody else can.
    fn woken_by_close(&mut self, goid: Goid, wait: &Wait, by: Goid, at: MonotonicNs) {
        // Whoever sends by `select` may have been woken by another case.
        let ([on], true) = (wait.on.as_slice(), wait.exact) else { return };
        let (Some(Direction::Send), Some(address)) = (on.direction, on.address) else { return };
        let channel = ChanAddr(address.0);
        let closed = self.channels.get(&channel).and_then(|channel| channel.closed);
        let by_this = |closed: &Closed| closed.by == Some(by) && wait.since <= closed.at;
        if let Some(closed) = closed.filter(by_this) {
            let (kind, stack) = (MisuseKind::CloseUnderSender, wait.stack.clone());
            self.hold(Misuse { kind, channel, closed, by: Some(goid), stack, at, first: at, times: 1 });
        }
    }

    fn select(&mut self, goid: Option<Goid>, sends: u32, chans: &[Option<ChanAddr>]) {
        let Some(goroutine) = goid.and_then(|goid| self.goroutines.get_mut(&goid)) else { return };
        goroutine.operation.clear();
        goroutine.operation.extend(chans.iter().enumerate().filter_map(|(index, chan)| {
            let direction = if index < sends as usize { Direction::Send } else { Direction::Receive };
            // A nil channel never takes part in a select.
            chan.map(|chan| channel_wait(Some(chan), direction))
        }));
    }

    fn sync_wait(&mut self, goid: Option<Goid>, primitive: SyncPrimitive, addr: RuntimeAddr) {
        let Some(goroutine) = goid.and_then(|goid| self.goroutines.get_mut(&goid)) else { return };
        let address = match primitive {
            SyncPrimitive::Cond => RuntimeAddr(addr.0.wrapping_sub(self.runtime.fields().cond_notify)),
            SyncPrimitive::Semaphore
            | SyncPrimitive::Mutex
            | SyncPrimitive::RwMutex
            | SyncPrimitive::WaitGroup => addr,
        };
        let called = &mut goroutine.operation;
        called.retain(|called| called.on != BlockedOn::Channel);
        if called.len() >= OPERATIONS {
            called.remove(0);
        }
        called.push(Blocked {
            on: BlockedOn::Sync(primitive),
            address: Some(address),
            direction: None,
            until: None,
        });
    }

    pub(super) fn reconcile(&mut self, snapshot: &Snapshot) {
        let (began, ended) = (snapshot.started, snapshot.ended);
        let unread: HashSet<Goid> =
            snapshot.unknown.iter().filter_map(|unknown| about(&unknown.what)).collect();
        let mut there = HashSet::default();
        for seen in &snapshot.goroutines {
            there.insert(seen.goid);
            self.see(seen, began, &unread);
        }
        let whole = snapshot
            .unknown
            .iter()
            .all(|unknown| !matches!(unknown.what, Entity::Goroutine(_, None) | Entity::Rest));
        for unknown in &snapshot.unknown {
            if let Entity::Goroutine(_, Some(goid)) = unknown.what {
                there.insert(goid);
            }
        }
        if whole {
            self.miss(&there, began);
        }
        for channel in &snapshot.channels {
            self.see_channel(channel, ended);
        }
        for object in &snapshot.sync {
            self.sync_entry(object.kind, object.address, ended);
        }
        let is_missing = |unknown: &&snapshot::Unknown| match unknown.what {
            // One that events tell of is not missing.
            Entity::Goroutine(_, Some(goid)) => !self.goroutines.contains_key(&goid),
            Entity::Goroutine(_, None) | Entity::Rest => true,
            Entity::WaitOf(_)
            | Entity::StackOf(_)
            | Entity::LabelsOf(_)
            | Entity::Channel(_)
            | Entity::SemaphoreTable
            | Entity::Threads => false,
        };
        self.unread = snapshot.unknown.iter().filter(is_missing).count() as u64;
        self.snapshot = Some(began);
    }

    /// Takes what a look at the memory found that began at `at`, after the snapshot that it was of has been reconciled.
    pub(super) fn learn(&mut self, reach: &Reach, at: MonotonicNs, is_proven: bool) {
        let mut unreachable: HashMap<Goid, &reach::Unreachable> =
            reach.unreachable.iter().map(|one| (one.goid, one)).collect();
        let unnamed: HashSet<Goid> = reach.unnamed.iter().copied().collect();
        let mut now = Contradictions { wrong: 0, of: 0 };
        for goroutine in self.goroutines.values_mut() {
            goroutine.holds.clear();
            goroutine.serves.clear();
            goroutine.foreign.clear();
            goroutine.looked_at(at);
            let Some(wait) = goroutine.wait.as_deref_mut() else { continue };
            let found = unreachable.remove(&goroutine.goid);
            // Who moved since the look began is another story.
            if !wait.began_before(at) {
                continue;
            }
            wait.unnamed = if unnamed.contains(&goroutine.goid) { wait.unnamed.saturating_add(1) } else { 0 };
            now.of += usize::from(wait.unreachable.is_some());
            now.wrong += usize::from(wait.unreachable.is_some() && found.is_none());
            wait.unreachable = found.map(|found| {
                let before = wait.unreachable.take();
                Unreachable {
                    since: before.as_ref().map_or(at, |before| before.since),
                    looks: before.map_or(0, |before| before.looks).saturating_add(1),
                    is_proven: is_proven && !found.by_lock,
                    by_lock: found.by_lock,
                    awaits_close: found.awaits_close,
                    leads_to: found.leads_to.clone(),
                }
            });
        }
        let before = self.contradictions.and_then(|(worst, left)| Some((worst, left.checked_sub(1)?)));
        let is_worst = now.wrong > 0 && before.is_none_or(|(worst, _)| now.share() >= worst.share());
        self.contradictions = if is_worst { Some((now, DOUBTFUL_LOOKS)) } else { before };
        self.is_asleep = reach.is_asleep;
        self.knows_reach = true;
        self.timers.clone_from(&reach.timers);
        for backlog in &reach.backlogs {
            self.see_channel(&backlog.channel, at);
            self.channel_entry(backlog.channel.address, at).at_hand.clone_from(&backlog.by);
        }
        for hold in &reach.holds {
            // Who did something since may have given it back.
            let goroutine = self.goroutines.get_mut(&hold.goid);
            if let Some(goroutine) = goroutine.filter(|goroutine| goroutine.known_at <= at) {
                goroutine.holds.push(*hold);
            }
        }
        for serves in &reach.serves {
            if let Some(goroutine) = self.goroutines.get_mut(&serves.goid) {
                goroutine.serves.push(serves.object);
            }
        }
        for foreign in &reach.foreign {
            if let Some(goroutine) = self.goroutines.get_mut(&foreign.goid) {
                // Who did something since may be past it.
                let address = foreign.address.filter(|_| goroutine.known_at <= at);
                goroutine.foreign.push(Foreign { address, ..*foreign });
            }
        }
    }

    /// Takes that a look at the memory which began at `at` has the goroutines, and could not find out whom nobody can wake. What
    /// was found before of waits that go on stays.
    pub(super) fn learn_nothing(&mut self, at: MonotonicNs) {
        for goroutine in self.goroutines.values_mut() {
            goroutine.holds.clear();
            goroutine.serves.clear();
            goroutine.foreign.clear();
            goroutine.looked_at(at);
        }
        self.is_asleep = false;
        self.knows_reach = false;
        self.timers.clear();
    }

    /// One goroutine of a snapshot. What an event told after the snapshot began is newer than the snapshot.
    fn see(&mut self, seen: &snapshot::Goroutine, began: MonotonicNs, unread: &HashSet<Goid>) {
        let (precedence, unsure_before) = (self.precedence(began), self.unsure_before);
        let goroutine = self.goroutine_entry(seen.goid, began);
        goroutine.parent = goroutine.parent.or(seen.parent);
        goroutine.created_at = goroutine.created_at.or(seen.created);
        goroutine.start = goroutine.start.or(seen.start);
        goroutine.system = Some(seen.system);
        let waits = seen.is_parked();
        let is_sure = goroutine.known_at >= unsure_before;
        if precedence.is_of_event_about_state(goroutine, waits, is_sure) {
            return;
        }
        goroutine.seen = Some((seen.state, began));
        let has_run = goroutine.saw(seen);
        let cause = if waits { Cause::SeenWaiting } else { Cause::SeenAwake };
        // Waiting again for another reason or thing is another wait, whose beginning and whose predecessor's end were missed; and so
        // may be what looks the same, where nobody saw the end.
        let is_another = |wait: &Wait| {
            let is_elsewhere = || has_run || elsewhere(&wait.on, &seen.blocked_on);
            let is_watched = wait.exact && wait.since >= unsure_before;
            wait.reason != seen.wait_reason || !is_watched && is_elsewhere()
        };
        if cause == Cause::SeenWaiting && goroutine.wait.as_deref().is_some_and(is_another) {
            goroutine.wait = None;
        }
        match goroutine.step(cause, began, None) {
            Err(impossible) => return self.contradiction(impossible),
            Ok(ended) => {
                if let Some(wait) = ended {
                    self.wait_ended(&wait, began, cause);
                }
            }
        }
        if cause == Cause::SeenWaiting {
            self.see_wait(seen, began, unread);
        }
    }

    fn see_wait(&mut self, seen: &snapshot::Goroutine, began: MonotonicNs, unread: &HashSet<Goid>) {
        let Some(goroutine) = self.goroutines.get_mut(&seen.goid) else { return };
        let wait = goroutine.wait.get_or_insert_with(|| {
            let since = seen.wait_since.unwrap_or(began);
            Box::new(Wait {
                since,
                exact: false,
                reason: seen.wait_reason,
                on: Vec::new(),
                stack: Vec::new(),
                looks: 0,
                unreachable: None,
                unnamed: 0,
            })
        });
        if !wait.exact {
            wait.since = wait.since.min(seen.wait_since.unwrap_or(began));
        }
        if !unread.contains(&seen.goid) {
            wait.on.clear();
            wait.on.extend_from_slice(&seen.blocked_on);
        }
        if !seen.stack.frames.is_empty() {
            wait.stack.clone_from(&seen.stack.frames);
        }
    }

    /// Whoever a whole snapshot does not have was not there when it began, unless an event tells of it later.
    fn miss(&mut self, there: &HashSet<Goid>, began: MonotonicNs) {
        let precedence = self.precedence(began);
        for goroutine in self.goroutines.values_mut() {
            let newer = precedence.is_of_event(goroutine);
            if newer || !goroutine.is_live() || there.contains(&goroutine.goid) {
                continue;
            }
            // `Missed` is possible in every state.
            if goroutine.step(Cause::Missed, began, None).is_ok() {
                self.leaving.push_back((began, goroutine.goid));
            }
        }
    }

    fn see_channel(&mut self, seen: &snapshot::Channel, at: MonotonicNs) {
        let channel = self.channel_entry(seen.address, at);
        channel.cap = Some(seen.cap);
        channel.elem_size = Some(u32::from(seen.elem_size));
        channel.elem_type = channel.elem_type.or(seen.elem_type);
        channel.len = Some((seen.len, at));
        let position = (seen.sendx, seen.recvx, seen.len);
        if channel.position.replace(position).is_some_and(|before| before != position) {
            channel.moved = Some(at);
        }
        if seen.closed && channel.closed.is_none() {
            channel.closed = Some(Closed { by: None, site: None, at });
        }
    }

    /// Lets channels and sync objects go that nobody waits for and that nothing was heard of since `before`.
    pub(super) fn forget_idle_objects(&mut self, before: MonotonicNs) {
        let awaited: HashSet<u64> = self
            .goroutines
            .values()
            .filter_map(|goroutine| goroutine.wait.as_ref())
            .flat_map(|wait| wait.on.iter().filter_map(|blocked| Some(blocked.address?.0)))
            .collect();
        self.channels.retain(|channel| channel.last >= before || awaited.contains(&channel.address.0));
        self.sync.retain(|object| object.last >= before || awaited.contains(&object.address.0));
    }

    /// Goroutines, channels and sync objects held, ended goroutines among them.
    #[must_use]
    pub fn held(&self) -> usize {
        self.goroutines.len() + self.channels.len() + self.sync.len()
    }
}

/// From when on an event knows better than a snapshot.
#[derive(Clone, Copy)]
struct Precedence {
    /// One that announces a change.
    settling: MonotonicNs,
    /// Any.
    began: MonotonicNs,
}

impl Precedence {
    /// Of whether the goroutine exists.
    fn is_of_event(self, goroutine: &Goroutine) -> bool {
        goroutine
            .last_event
            .is_some_and(|(last, cause)| last >= self.began || cause.is_announced() && last >= self.settling)
    }

    /// Of what a goroutine does that is in the snapshot, in which it waits or not. It was read after it was created, so a park
    /// that no event told of (of level `lifecycle` none does) came after that. A change that the snapshot has as well is not
    /// under way any more, unless others were lost since: then the snapshot may have come before one of those.
    fn is_of_event_about_state(self, goroutine: &Goroutine, waits: bool, is_sure: bool) -> bool {
        let Some((last, cause)) = goroutine.last_event.filter(|_| self.is_of_event(goroutine)) else {
            return false;
        };
        let is_done = match cause {
            Cause::Parked => waits,
            Cause::Readied => !waits,
            Cause::Exited
            | Cause::Created
            | Cause::Acted
            | Cause::SeenAwake
            | Cause::SeenWaiting
            | Cause::Missed => false,
        };
        cause != Cause::Created && !(is_done && is_sure && last < self.began)
    }
}

fn channel_wait(chan: Option<ChanAddr>, direction: Direction) -> Blocked {
    Blocked {
        on: BlockedOn::Channel,
        address: chan.map(|chan| RuntimeAddr(chan.0)),
        direction: Some(direction),
        until: None,
    }
}

/// Which of the sync objects just called a park in the semaphore is about: the one that the semaphore lies in. A
/// condition variable has no semaphore.
fn sync_object_of(called: &[Blocked]) -> Option<Blocked> {
    let last = called.iter().rev().find(|called| called.on != BlockedOn::Channel)?;
    let (BlockedOn::Sync(SyncPrimitive::Semaphore), Some(semaphore)) = (last.on, last.address) else {
        return Some(*last);
    };
    let owner = called.iter().rev().find(|called| {
        let within = called.address.and_then(|address| semaphore.0.checked_sub(address.0));
        called.on != BlockedOn::Channel
            && called.on != BlockedOn::Sync(SyncPrimitive::Semaphore)
            && within.is_some_and(|within| within < SEMAPHORE_WITHIN)
    });
    Some(*owner.unwrap_or(last))
}

/// The goroutine whose wait could not be read.
fn about(entity: &Entity) -> Option<Goid> {
    match entity {
        Entity::WaitOf(goid) => Some(*goid),
        Entity::Goroutine(..)
        | Entity::StackOf(_)
        | Entity::LabelsOf(_)
        | Entity::Channel(_)
        | Entity::SemaphoreTable
        | Entity::Threads
        | Entity::Rest => None,
    }
}
