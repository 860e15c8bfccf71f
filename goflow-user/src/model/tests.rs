//! The model against small stories, and against a simulated process whose true state is known.

use super::*;
use crate::binary::addr::RuntimeAddr;
use crate::ingest::event::{ChanOp, EndedPark, EventKind, GroupState};
use crate::target::Tid;
use crate::target::id::{ChanAddr, Goid, SyncPrimitive, WaitReason};
use crate::target::snapshot::{self as seen, Blocked, BlockedOn, Direction, Stack};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

const PID: Pid = Pid(7);
const HCHAN_LOCK: u64 = 88;
const COND_NOTIFY: u64 = 16;
const REASONS: [&str; 9] = [
    "",
    "IO wait",
    "chan receive",
    "select",
    "sync.RWMutex.Lock",
    "semacquire",
    "select (no cases)",
    "sync.Cond.Wait",
    "chan send",
];
const SEND: u8 = 8;
const RECEIVE: WaitReason = WaitReason(2);

/// Of a session that sees everything, and of a process in which nothing is the runtime's.
const ALL: Outlook<fn(RuntimeAddr) -> bool> = Outlook { waits: Waits::Watched, is_system: |_| false };

/// Changes take no time unless a test says so.
fn limits() -> Limits {
    Limits { settle_ns: 0, news_ns: 0, ..Limits::default() }
}

fn runtime() -> Runtime {
    Runtime::new(REASONS, Fields { hchan_lock: HCHAN_LOCK, cond_notify: COND_NOTIFY })
}

fn model() -> Model {
    let mut model = Model::new(limits());
    model.started(PID, runtime());
    model
}

fn event(t: u64, goid: u64, kind: EventKind) -> Event {
    Event { t: MonotonicNs(t), pid: PID, tid: Tid(7), goid: Some(Goid(goid)), kind }
}

fn create(child: u64) -> EventKind {
    EventKind::GoroutineCreate { child: Some(Goid(child)), created_at: None, start: None }
}

fn park(reason: u8, lock: Option<u64>) -> EventKind {
    EventKind::Park { reason: WaitReason(reason), lock: lock.map(RuntimeAddr), stack: Box::new([]) }
}

fn park_on(chan: u64) -> EventKind {
    park(RECEIVE.0, Some(chan + HCHAN_LOCK))
}

fn ready(target: u64) -> EventKind {
    EventKind::Ready { target: Some(Goid(target)), ended: None }
}

fn op(chan: u64) -> ChanOp {
    ChanOp { chan: Some(ChanAddr(chan)), blocking: true, site: None }
}

fn sync_wait(primitive: SyncPrimitive, addr: u64) -> EventKind {
    EventKind::SyncWait { primitive, addr: RuntimeAddr(addr), reason: None, site: None }
}

fn receiving(chan: u64) -> Blocked {
    Blocked {
        on: BlockedOn::Channel,
        address: Some(RuntimeAddr(chan)),
        direction: Some(Direction::Receive),
        until: None,
    }
}

fn seen_goroutine(goid: u64, state: seen::State, on: Option<u64>) -> seen::Goroutine {
    let waits = state == seen::State::Waiting;
    seen::Goroutine {
        addr: RuntimeAddr(goid << 12),
        goid: Goid(goid),
        state,
        scanned: false,
        tracking_seq: 0,
        interrupted: false,
        wait_reason: waits.then_some(RECEIVE),
        wait_since: None,
        parent: None,
        created: None,
        start: None,
        system: false,
        locked: false,
        m: None,
        tid: None,
        p: None,
        blocked_on: on.map(receiving).into_iter().collect(),
        labels: Vec::new(),
        stack: Stack::default(),
    }
}

fn snapshot(started: u64, ended: u64, goroutines: Vec<seen::Goroutine>) -> Snapshot {
    Snapshot { started: MonotonicNs(started), ended: MonotonicNs(ended), goroutines, ..Snapshot::default() }
}

fn after(events: impl IntoIterator<Item = Event>) -> Model {
    let mut model = model();
    events.into_iter().for_each(|event| model.apply(&event));
    model
}

fn process(model: &Model) -> &Process {
    model.process(PID).unwrap()
}

fn goroutine(model: &Model, goid: u64) -> &Goroutine {
    process(model).goroutine(Goid(goid)).unwrap()
}

fn waits_for(model: &Model, goid: u64) -> Vec<(BlockedOn, u64)> {
    let wait = goroutine(model, goid).wait.as_ref().unwrap();
    wait.on.iter().map(|blocked| (blocked.on, blocked.address.unwrap().0)).collect()
}

#[test]
fn a_wait_that_is_told_when_it_ends_is_one_from_its_park_on() {
    let EventKind::Park { reason, lock, stack } = park_on(0xc0) else { panic!("no park") };
    let ended = EndedPark { since: MonotonicNs(21), reason, lock, stack };
    let ready = EventKind::Ready { target: Some(Goid(5)), ended: Some(Box::new(ended)) };
    let model = after([event(10, 1, create(5)), event(50, 1, ready)]);
    let woken = goroutine(&model, 5);
    assert_eq!((woken.state, woken.waited_ns, woken.parks), (State::Awake, 29, 1));
    assert_eq!(woken.woken, Some(Woken { by: Some(Goid(1)), at: MonotonicNs(50) }));
}

#[test]
fn a_life_from_the_go_statement_to_the_end() {
    let model = after([
        event(10, 1, create(5)),
        event(20, 5, EventKind::ChanRecv(op(0xc0))),
        event(21, 5, park_on(0xc0)),
        event(50, 1, ready(5)),
        event(60, 5, EventKind::GoroutineExit),
    ]);
    let life = goroutine(&model, 5);
    assert_eq!((life.parent, life.created, life.state), (Some(Goid(1)), Some(MonotonicNs(10)), State::Dead));
    assert_eq!(life.woken, Some(Woken { by: Some(Goid(1)), at: MonotonicNs(50) }));
    assert_eq!(life.waited_ns, 29);
    let steps: Vec<_> =
        life.history.steps().map(|step| (step.at.0, step.state, step.by.map(|by| by.0))).collect();
    let expected = [
        (10, State::Awake, Some(1)),
        (21, State::Waiting, None),
        (50, State::Awake, Some(1)),
        (60, State::Dead, None),
    ];
    assert_eq!(steps, expected);
    assert_eq!(process(&model).tally(), Tally { created: 1, exited: 1, ..Tally::default() });
    assert_eq!(goroutine(&model, 1).children, 1);
}

#[test]
fn a_park_on_a_channel_is_known_by_the_lock_even_when_the_operation_was_not_probed() {
    let model = after([event(1, 5, park_on(0xc0))]);
    assert_eq!(waits_for(&model, 5), [(BlockedOn::Channel, 0xc0)]);
}

#[test]
fn a_select_waits_for_each_of_its_channels_but_nil_ones() {
    let chans = [Some(ChanAddr(0xa0)), None, Some(ChanAddr(0xb0))];
    let select =
        EventKind::Select { sends: 1, receives: 2, blocking: true, chans: Some(Box::new(chans)), site: None };
    let model = after([event(1, 5, select), event(2, 5, park(3, None))]);
    assert_eq!(waits_for(&model, 5), [(BlockedOn::Channel, 0xa0), (BlockedOn::Channel, 0xb0)]);
    let wait = goroutine(&model, 5).wait.as_ref().unwrap();
    assert_eq!(wait.on[0].direction, Some(Direction::Send));
    assert_eq!(wait.on[1].direction, Some(Direction::Receive));
}

#[test]
fn a_select_without_a_case_does_not_wait_for_the_channels_of_the_one_before() {
    let mut model = model();
    let chans = [Some(ChanAddr(0x100)), Some(ChanAddr(0x200))];
    let select = EventKind::Select {
        sends: 1,
        receives: 1,
        blocking: false,
        chans: Some(Box::new(chans)),
        site: None,
    };
    model.apply(&event(1, 5, select));
    model.apply(&event(2, 5, park(6, None)));
    let wait = model.process(PID).unwrap().goroutine(Goid(5)).unwrap().wait.as_deref().unwrap();
    assert_eq!((wait.reason, wait.on.as_slice()), (Some(WaitReason(6)), &[][..]));
}

#[test]
fn a_wait_for_a_condition_is_told_by_the_address_of_the_cond() {
    let mut model = model();
    model.apply(&event(1, 5, sync_wait(SyncPrimitive::Cond, 0x700 + COND_NOTIFY)));
    model.apply(&event(2, 5, park(7, None)));
    let process = model.process(PID).unwrap();
    let wait = process.goroutine(Goid(5)).unwrap().wait.as_deref().unwrap();
    assert_eq!(
        (wait.on[0].on, wait.on[0].address),
        (BlockedOn::Sync(SyncPrimitive::Cond), Some(RuntimeAddr(0x700)))
    );
    assert!(process.sync_object(SyncPrimitive::Cond, RuntimeAddr(0x700)).is_some());
}

/// A writer gets the inner mutex at once and then waits for the readers: `writerSem` is 8 bytes into the `RWMutex`.
#[test]
fn a_semaphore_is_told_as_the_object_it_lies_in() {
    let model = after([
        event(1, 5, sync_wait(SyncPrimitive::RwMutex, 0x100)),
        event(2, 5, sync_wait(SyncPrimitive::RwMutex, 0x200)),
        event(3, 5, sync_wait(SyncPrimitive::Semaphore, 0x208)),
        event(4, 5, park(4, Some(0x999))),
    ]);
    let rwmutex = BlockedOn::Sync(SyncPrimitive::RwMutex);
    assert_eq!(waits_for(&model, 5), [(rwmutex, 0x200)]);
    assert_eq!(process(&model).sync_object(SyncPrimitive::RwMutex, RuntimeAddr(0x200)).unwrap().waits, 1);
}

#[test]
fn a_semaphore_far_from_everything_that_was_called_is_itself() {
    let model = after([
        event(1, 5, sync_wait(SyncPrimitive::RwMutex, 0x100)),
        event(2, 5, sync_wait(SyncPrimitive::Semaphore, 0x900)),
        event(3, 5, park(5, None)),
    ]);
    assert_eq!(waits_for(&model, 5), [(BlockedOn::Sync(SyncPrimitive::Semaphore), 0x900)]);
}

#[test]
fn what_was_called_before_says_nothing_of_a_wait_of_another_kind() {
    let model = after([event(1, 5, sync_wait(SyncPrimitive::RwMutex, 0x100)), event(2, 5, park(1, None))]);
    assert_eq!(waits_for(&model, 5), []);
}

#[test]
fn blocked_time_counts_on_the_side_that_waited() {
    let model = after([
        event(10, 5, EventKind::ChanRecv(op(0xc0))),
        event(10, 5, park_on(0xc0)),
        event(40, 6, EventKind::ChanSend(op(0xc0))),
        event(41, 6, ready(5)),
    ]);
    let channel = process(&model).channel(ChanAddr(0xc0)).unwrap();
    assert_eq!((channel.receives.count, channel.receives.blocked, channel.receives.blocked_ns), (1, 1, 31));
    assert_eq!((channel.sends.count, channel.sends.blocked_ns), (1, 0));
    assert_eq!(channel.sends.users, [(Goid(6), 1)]);
}

#[test]
fn a_channel_at_an_address_that_was_used_before_is_another_channel() {
    let make = EventKind::ChanMake {
        chan: Some(ChanAddr(0xc0)),
        cap: Some(3),
        elem_size: None,
        elem_type: None,
        site: None,
    };
    let model = after([
        event(1, 5, EventKind::ChanSend(op(0xc0))),
        event(2, 5, EventKind::ChanClose(op(0xc0))),
        event(3, 6, make),
    ]);
    let channel = process(&model).channel(ChanAddr(0xc0)).unwrap();
    assert_eq!((channel.sends.count, channel.closed, channel.cap), (0, None, Some(3)));
    assert_eq!(channel.made.unwrap().by, Some(Goid(6)));
}

fn made(chan: u64) -> EventKind {
    let chan = Some(ChanAddr(chan));
    EventKind::ChanMake { chan, cap: Some(3), elem_size: None, elem_type: None, site: None }
}

fn misused(model: &Model) -> Vec<(MisuseKind, Option<Goid>, Option<Goid>, u64)> {
    let misuses = process(model).misuses().iter();
    misuses.map(|one| (one.kind, one.closed.by, one.by, one.times)).collect()
}

#[test]
fn a_send_or_a_close_after_the_close_is_a_misuse_and_one_before_it_is_none() {
    let model = after([
        event(1, 5, EventKind::ChanSend(op(0xc0))),
        event(2, 6, EventKind::ChanRecv(op(0xc0))),
        event(3, 5, EventKind::ChanClose(op(0xc0))),
        event(4, 6, EventKind::ChanRecv(op(0xc0))),
    ]);
    assert_eq!(misused(&model), []);
    let model = after([
        event(1, 5, EventKind::ChanClose(op(0xc0))),
        event(2, 6, EventKind::ChanSend(op(0xc0))),
        event(3, 7, EventKind::ChanClose(op(0xc0))),
        event(4, 8, EventKind::ChanSend(op(0xc0))),
    ]);
    let (five, eight) = (Some(Goid(5)), Some(Goid(8)));
    // The first close is the one that counts, and of what happens again at the same place the last.
    let expected =
        [(MisuseKind::SendAfterClose, five, eight, 2), (MisuseKind::DoubleClose, five, Some(Goid(7)), 1)];
    assert_eq!(misused(&model), expected);
}

#[test]
fn a_select_with_a_case_that_sends_on_a_closed_channel_is_a_misuse_and_one_that_receives_is_none() {
    let select = |sends| EventKind::Select {
        sends,
        receives: 2 - sends,
        blocking: true,
        chans: Some([0xc0, 0xd0].map(|chan| Some(ChanAddr(chan))).into()),
        site: None,
    };
    let close = || event(1, 5, EventKind::ChanClose(op(0xc0)));
    assert_eq!(misused(&after([close(), event(2, 6, select(0))])), []);
    let expected = [(MisuseKind::SendAfterClose, Some(Goid(5)), Some(Goid(6)), 1)];
    assert_eq!(misused(&after([close(), event(2, 6, select(1))])), expected);
}

#[test]
fn a_close_that_wakes_a_sender_is_a_misuse_and_a_receive_that_does_is_none() {
    let park = |t| event(t, 6, park(SEND, Some(0xc0 + HCHAN_LOCK)));
    let ready = |t| event(t, 5, ready(6));
    let received = [
        event(1, 6, EventKind::ChanSend(op(0xc0))),
        park(2),
        event(3, 5, EventKind::ChanRecv(op(0xc0))),
        ready(4),
        event(5, 5, EventKind::ChanClose(op(0xc0))),
    ];
    assert_eq!(misused(&after(received)), []);
    let closed = [
        event(1, 6, EventKind::ChanSend(op(0xc0))),
        park(2),
        event(3, 5, EventKind::ChanClose(op(0xc0))),
        ready(4),
    ];
    let expected = [(MisuseKind::CloseUnderSender, Some(Goid(5)), Some(Goid(6)), 1)];
    assert_eq!(misused(&after(closed)), expected);
}

#[test]
fn of_a_channel_made_anew_or_after_a_loss_or_a_time_without_probes_the_close_is_not_known_any_more() {
    let close = || event(2, 5, EventKind::ChanClose(op(0xc0)));
    let send = || event(9, 6, EventKind::ChanSend(op(0xc0)));
    assert_eq!(misused(&after([close(), event(3, 7, made(0xc0)), send()])), []);
    let mut lossy = after([close()]);
    lossy.lose(&Lost { from: MonotonicNs(3), to: MonotonicNs(4), at: LossPoint::Ring, count: 1 });
    lossy.apply(&send());
    assert_eq!(misused(&lossy), []);
    let mut blind = after([close()]);
    blind.channels_watched(MonotonicNs(5), false);
    blind.apply(&send());
    assert_eq!(misused(&blind), []);
}

const GROUP: u64 = 0xa0;

fn add(delta: i64, counter: i32, waiters: u32) -> EventKind {
    let state = (delta > 0).then_some(GroupState { counter, waiters });
    EventKind::WaitGroupAdd { addr: RuntimeAddr(GROUP), delta, state, site: None }
}

fn done() -> EventKind {
    add(-1, 0, 0)
}

fn group_wait() -> EventKind {
    sync_wait(SyncPrimitive::WaitGroup, GROUP)
}

/// Who came late for whose wait, whether that was over, and how often.
fn late(model: &Model) -> Vec<(u64, u64, bool, u64)> {
    let late = process(model).late_adds().iter();
    late.map(|late| (late.by.0, late.wait.by.0, late.is_over, late.times)).collect()
}

/// Goroutine 1 creates 2, counts 3 and creates it, and waits.
fn a_round_of_one(t: u64) -> Vec<Event> {
    let steps = [create(2), add(1, 0, 0), create(3), group_wait()];
    (t..).zip(steps).map(|(t, kind)| event(t, 1, kind)).collect()
}

fn then(before: Vec<Event>, after: impl IntoIterator<Item = Event>) -> Vec<Event> {
    before.into_iter().chain(after).collect()
}

#[test]
fn who_counts_itself_while_another_waits_came_late_and_is_told_once_nobody_is_counted() {
    let mut model = after(then(a_round_of_one(10), [event(20, 2, add(1, 1, 1)), event(21, 2, done())]));
    assert_eq!(late(&model), []);
    model.apply(&event(22, 3, done()));
    assert_eq!(late(&model), [(2, 1, false, 1)]);
    let found = process(&model).late_adds()[0];
    assert_eq!((found.wait.at, found.at), (MonotonicNs(13), MonotonicNs(20)));
    // And again, by others at the same places.
    for step in [event(30, 2, add(1, 0, 0)), event(31, 2, create(5)), event(32, 1, group_wait())] {
        model.apply(&step);
    }
    for step in [event(33, 3, add(1, 1, 1)), event(34, 5, done()), event(35, 3, done())] {
        model.apply(&step);
    }
    assert_eq!(late(&model), [(3, 1, false, 2)]);
    assert_eq!(process(&model).last_misuse(), Some(MonotonicNs(33)));
}

#[test]
fn who_is_counted_before_it_runs_or_counts_others_or_came_later_is_not_late() {
    let rest = |steps: Vec<Event>| late(&after(then(a_round_of_one(10), steps)));
    let three = |t| event(t, 3, done());
    // A member counts another one and creates it.
    let grows = vec![event(20, 3, add(1, 1, 1)), event(21, 3, create(4)), three(22), event(23, 4, done())];
    assert_eq!(rest(grows), []);
    // One that is not counted does.
    let helper = vec![event(20, 2, add(1, 1, 1)), event(21, 2, create(4)), three(22), event(23, 4, done())];
    assert_eq!(rest(helper), []);
    // A member counts itself once more.
    let twice = vec![event(20, 3, add(1, 1, 1)), event(21, 3, done()), three(22)];
    assert_eq!(rest(twice), []);
    // It was created when the wait had begun: whoever did that may be counted.
    let newer = vec![event(20, 3, create(4)), event(21, 4, add(1, 1, 1)), event(22, 4, done()), three(23)];
    assert_eq!(rest(newer), []);
    // Nobody is in `Wait` yet.
    assert_eq!(rest(vec![event(20, 2, add(1, 1, 0)), event(21, 2, done()), three(22)]), []);
    // It was not known of before.
    assert_eq!(rest(vec![event(20, 8, add(1, 1, 1)), event(21, 8, done()), three(22)]), []);
    // Who waits counts in the next round.
    let next = vec![three(20), event(21, 1, add(1, 0, 0)), event(22, 1, done())];
    assert_eq!(rest(next), []);
}

#[test]
fn counts_that_are_handed_on_with_values_make_a_round_of_which_nothing_is_told() {
    // Workers 2 and 3 take what was counted by whoever sent it.
    let chan = || EventKind::ChanSend(op(0xc0));
    let workers = [create(2), create(3), add(1, 0, 0), chan(), group_wait()];
    let start: Vec<Event> = (10..).zip(workers).map(|(t, kind)| event(t, 1, kind)).collect();
    let tasks = [(2, add(1, 1, 1)), (2, done()), (3, add(1, 1, 1)), (3, done()), (2, done())];
    let tasks = || (20..).zip(tasks.clone()).map(|(t, (goid, kind))| event(t, goid, kind));
    assert_eq!(late(&after(then(start, tasks()))), []);
    // Or that are created once the first task is in the queue: any of them may do it.
    let go = |child, start| EventKind::GoroutineCreate {
        child: Some(Goid(child)),
        created_at: None,
        start: Some(RuntimeAddr(start)),
    };
    let pool = |other| {
        let steps = [add(1, 0, 0), go(2, 0x10), go(3, other), group_wait()];
        (10..).zip(steps).map(|(t, kind)| event(t, 1, kind)).collect::<Vec<_>>()
    };
    let steps = || (20..).zip([(3, add(1, 1, 1)), (3, done()), (2, done())]);
    let steps = || steps().map(|(t, (goid, kind))| event(t, goid, kind));
    assert_eq!(late(&after(then(pool(0x10), steps()))), []);
    // One that runs something else has nothing to do with it.
    assert_eq!(late(&after(then(pool(0x20), steps()))), [(3, 1, false, 1)]);
}

#[test]
fn who_first_runs_when_the_wait_for_it_is_over_came_late_unless_it_was_held_back() {
    let go = |steps: Vec<Event>| late(&after(then(a_round_of_one(10), steps)));
    let over = || vec![event(20, 3, done()), event(21, 1, ready(3))];
    let alone = || [event(30, 2, add(1, 0, 0)), event(31, 2, done())];
    assert_eq!(go(then(over(), alone())), [(2, 1, true, 1)]);
    // At a gate that opens then, or whatever else it has done.
    assert_eq!(go(then(vec![event(19, 2, park_on(0xc0))], then(over(), alone()))), []);
    assert_eq!(go(then(vec![event(19, 2, EventKind::ChanRecv(op(0xc0)))], then(over(), alone()))), []);
    // It is early for the next.
    let [added, taken] = alone();
    assert_eq!(go(then(over(), [added, event(31, 1, group_wait()), taken])), []);
    // Another one has created it.
    let others =
        vec![event(9, 3, create(8)), event(20, 3, done()), event(30, 8, add(1, 0, 0)), event(31, 8, done())];
    assert_eq!(go(others), []);
}

#[test]
fn after_a_loss_or_a_time_without_probes_or_from_the_midst_of_a_round_nothing_is_known_of_counts() {
    let lost = Lost { from: MonotonicNs(15), to: MonotonicNs(16), at: LossPoint::Ring, count: 1 };
    let missing: [fn(&mut Model, &Lost); 4] = [
        |model, lost| model.lose(lost),
        |model, lost| model.unwatched(lost.to),
        |model, lost| model.channels_watched(lost.to, true),
        |model, lost| model.miss(Gap { pid: PID, from: lost.from, to: lost.to }),
    ];
    let rest = [event(20, 2, add(1, 1, 1)), event(21, 2, done()), event(22, 3, done())];
    for miss in missing {
        let mut model = after(a_round_of_one(10));
        miss(&mut model, &lost);
        rest.iter().for_each(|event| model.apply(event));
        assert_eq!(late(&model), []);
        // From the next round on it is.
        a_round_of_one(30).iter().chain(&rest).for_each(|event| model.apply(event));
        assert_eq!(late(&model).len(), 1);
    }
    let mut unknown = after([event(9, 1, create(2)), event(10, 1, group_wait())]);
    rest.iter().for_each(|event| unknown.apply(event));
    assert_eq!(late(&unknown), []);
    // What the group had could not be read.
    let unreadable = EventKind::WaitGroupAdd { addr: RuntimeAddr(GROUP), delta: 1, state: None, site: None };
    let steps = [event(20, 2, unreadable), event(21, 2, done()), event(22, 3, done())];
    assert_eq!(late(&after(then(a_round_of_one(10), steps))), []);
}

#[test]
fn a_round_that_never_ended_is_not_that_of_a_group_which_counts_nobody() {
    let mut model = after(then(a_round_of_one(10), a_round_of_one(30)));
    for step in [event(40, 2, add(1, 1, 1)), event(41, 2, done()), event(42, 3, done())] {
        model.apply(&step);
    }
    assert_eq!(process(&model).late_adds()[0].wait.at, MonotonicNs(33));
}

#[test]
fn what_the_runtime_never_does_is_counted_and_changes_nothing() {
    let model = after([event(1, 5, EventKind::GoroutineExit), event(2, 5, EventKind::ChanSend(op(0xc0)))]);
    assert_eq!(process(&model).tally().impossible, 1);
    assert_eq!(process(&model).impossible()[0].cause, Cause::Acted);
    assert_eq!(goroutine(&model, 5).state, State::Dead);
}

#[test]
fn a_snapshot_tells_of_what_was_there_before_the_probes() {
    let mut model = model();
    let parked = seen::Goroutine {
        parent: Some(Goid(1)),
        wait_since: Some(MonotonicNs(40)),
        ..seen_goroutine(5, seen::State::Waiting, Some(0xc0))
    };
    model.reconcile(PID, &snapshot(100, 101, vec![parked]));
    assert_eq!(waits_for(&model, 5), [(BlockedOn::Channel, 0xc0)]);
    let wait = goroutine(&model, 5).wait.as_ref().unwrap();
    assert_eq!((wait.since, wait.exact), (MonotonicNs(40), false));
    assert_eq!(goroutine(&model, 5).parent, Some(Goid(1)));
}

#[test]
fn an_event_during_the_snapshot_knows_better_than_the_snapshot() {
    let mut model = after([event(105, 1, ready(5)), event(106, 6, EventKind::GoroutineExit)]);
    let goroutines = vec![
        seen_goroutine(1, seen::State::Running, None),
        seen_goroutine(5, seen::State::Waiting, Some(0xc0)),
        seen_goroutine(6, seen::State::Running, None),
    ];
    model.reconcile(PID, &snapshot(100, 110, goroutines));
    assert_eq!(goroutine(&model, 5).state, State::Awake);
    assert_eq!(goroutine(&model, 6).state, State::Dead);
    assert_eq!(process(&model).tally().impossible, 0);
}

#[test]
fn a_change_that_was_announced_just_before_the_snapshot_is_not_taken_back_by_it() {
    let mut model = Model::new(Limits { settle_ns: 10, ..limits() });
    model.started(PID, runtime());
    for event in [
        event(95, 5, park_on(0xc0)),
        event(96, 1, ready(6)),
        event(97, 7, EventKind::GoroutineExit),
        event(80, 8, park_on(0xc0)),
    ] {
        model.apply(&event);
    }
    // None of the changes has reached the runtime's own words yet, and that of 8 is over.
    let goroutines = vec![
        seen_goroutine(5, seen::State::Running, None),
        seen_goroutine(6, seen::State::Waiting, Some(0xc0)),
        seen_goroutine(7, seen::State::Running, None),
        seen_goroutine(8, seen::State::Running, None),
    ];
    model.reconcile(PID, &snapshot(100, 101, goroutines));
    let states = [5, 6, 7, 8].map(|goid| goroutine(&model, goid).state);
    assert_eq!(states, [State::Waiting, State::Awake, State::Dead, State::Awake]);
    assert_eq!(process(&model).tally().impossible, 0);
}

#[test]
fn a_park_that_no_probe_sees_is_known_from_the_snapshot_however_new_the_goroutine_is() {
    let mut model = Model::new(Limits { settle_ns: 10, ..limits() });
    model.started(PID, runtime());
    // 1 is the creator; both are in the snapshot after that.
    model.apply(&event(95, 1, create(5)));
    model.apply(&event(100, 2, create(6)));
    let parked = [1, 5, 6].map(|goid| seen_goroutine(goid, seen::State::Waiting, Some(0xc0)));
    model.reconcile(PID, &snapshot(100, 105, parked.to_vec()));
    assert_eq!([1, 5, 6].map(|goid| goroutine(&model, goid).state), [State::Waiting; 3]);
}

#[test]
fn what_a_snapshot_sees_just_after_an_event_and_a_loss_is_not_certain() {
    let mut model = Model::new(Limits { settle_ns: 10, ..limits() });
    model.started(PID, runtime());
    model.apply(&event(95, 5, park_on(0xc0)));
    model.lose(&Lost { from: MonotonicNs(94), to: MonotonicNs(97), at: LossPoint::Ring, count: 1 });
    // Either it is still about to park, or the wake-up was lost.
    let awake = || vec![seen_goroutine(5, seen::State::Running, None)];
    model.reconcile(PID, &snapshot(100, 101, awake()));
    assert!(!process(&model).is_certain(goroutine(&model, 5)));
    model.reconcile(PID, &snapshot(106, 107, awake()));
    assert_eq!(goroutine(&model, 5).state, State::Awake);
    assert!(process(&model).is_certain(goroutine(&model, 5)));
    // Who was about to end when its end was lost may be in both.
    assert_eq!(Overview::of(process(&model), 9, &ALL).missing, Some(Missing::Lost));
    model.reconcile(PID, &snapshot(107, 108, awake()));
    assert_eq!(Overview::of(process(&model), 9, &ALL).missing, None);
}

#[test]
fn an_overview_counts_everybody_once_and_shows_the_longest_waits() {
    let mut model = after([event(50, 6, park_on(0xc0)), event(60, 7, EventKind::ChanSend(op(0xc0)))]);
    assert_eq!(Overview::of(process(&model), 9, &ALL).missing, Some(Missing::NoSnapshot));
    let parked = |goid, since| seen::Goroutine {
        wait_since: Some(MonotonicNs(since)),
        created: Some(RuntimeAddr(0x40)),
        ..seen_goroutine(goid, seen::State::Waiting, Some(0xd0))
    };
    let system = seen::Goroutine { system: true, ..parked(2, 1) };
    let seen = vec![system, parked(5, 40), parked(6, 50), seen_goroutine(7, seen::State::Running, None)];
    model.reconcile(PID, &snapshot(100, 101, seen));
    let overview = Overview::of(process(&model), 1, &ALL);
    assert_eq!((overview.goroutines, overview.system), (3, 1));
    assert_eq!((overview.awake, overview.waiting, overview.unknown), (1, 2, 0));
    assert_eq!(overview.reasons, [(Some(RECEIVE), 2)]);
    assert_eq!((overview.snapshot, overview.missing), (Some(MonotonicNs(100)), None));
    let [longest] = overview.longest.as_slice() else { panic!("{overview:?}") };
    assert_eq!((longest.goid, longest.since, longest.exact), (Goid(5), MonotonicNs(40), false));
    assert_eq!(
        (longest.on.as_slice(), longest.created_at),
        ([receiving(0xd0)].as_slice(), Some(RuntimeAddr(0x40)))
    );

    // 8 differs from 5 in its id, 9 in its channel too, 10 in where it was created.
    let elsewhere =
        |goid| seen::Goroutine { blocked_on: seen::Few::from_buf([receiving(0xe0)]), ..parked(goid, 60) };
    let seen =
        vec![parked(5, 40), parked(8, 45), elsewhere(9), seen::Goroutine { created: None, ..parked(10, 70) }];
    model.reconcile(PID, &snapshot(101, 102, seen));
    let overview = Overview::of(process(&model), 9, &ALL);
    let alike = |n: usize| {
        let alike = &overview.alike[n];
        (alike.longest.goid, alike.count, alike.same_object)
    };
    assert_eq!((overview.longest.len(), overview.alike.len()), (4, 2), "{overview:?}");
    assert_eq!((alike(0), alike(1)), ((Goid(5), 3, false), (Goid(10), 1, true)));

    model.lose(&Lost { from: MonotonicNs(103), to: MonotonicNs(110), at: LossPoint::Ring, count: 1 });
    let overview = Overview::of(process(&model), 9, &ALL);
    assert_eq!((overview.goroutines, overview.unknown, overview.waiting), (4, 4, 0));
    assert_eq!((overview.missing, overview.longest), (Some(Missing::Lost), Vec::new()));
}

#[test]
fn who_was_found_in_a_system_call_is_told_apart_until_something_is_heard_of_it() {
    let mut model = model();
    let calls = |goid| seen_goroutine(goid, seen::State::Syscall, None);
    let seen = vec![calls(5), calls(6), seen_goroutine(7, seen::State::Running, None)];
    model.reconcile(PID, &snapshot(100, 101, seen));
    let counts = |model: &Model| {
        let overview = Overview::of(process(model), 9, &ALL);
        (overview.awake, overview.syscall)
    };
    assert_eq!(counts(&model), (3, 2));
    model.apply(&event(110, 6, EventKind::ChanSend(op(0xc0))));
    assert_eq!(counts(&model), (3, 1));
    model.lose(&Lost { from: MonotonicNs(111), to: MonotonicNs(112), at: LossPoint::Ring, count: 1 });
    assert_eq!(counts(&model), (0, 0));
}

#[test]
fn a_goroutine_that_waits_on_its_thread_is_not_parked() {
    // The runtime calls it waiting while its own thread works for it, as in an assist of the collector.
    let assists = seen::Goroutine { m: Some(3), ..seen_goroutine(5, seen::State::Waiting, None) };
    let mut model = model();
    model.reconcile(PID, &snapshot(100, 101, vec![assists, seen_goroutine(6, seen::State::Waiting, None)]));
    let overview = Overview::of(process(&model), 9, &ALL);
    assert_eq!((overview.awake, overview.waiting), (1, 1));
}

#[test]
fn who_has_run_in_between_waits_anew_for_the_same_thing() {
    let waits = |tracking_seq, since| seen::Goroutine {
        tracking_seq,
        wait_since: Some(MonotonicNs(since)),
        ..seen_goroutine(5, seen::State::Waiting, Some(0xc0))
    };
    let mut model = model();
    // Where only the goroutines are known, and where it is known what they reach.
    model.reconcile(PID, &snapshot(100, 101, vec![waits(255, 50)]));
    model.learn_nothing(PID, MonotonicNs(100));
    model.reconcile(PID, &snapshot(200, 201, vec![waits(255, 50)]));
    model.learn(PID, &Reach::default(), MonotonicNs(200), false);
    let wait = |model: &Model| goroutine(model, 5).wait.as_deref().map(|wait| (wait.looks, wait.since.0));
    assert_eq!(wait(&model), Some((2, 50)));
    model.reconcile(PID, &snapshot(300, 301, vec![waits(0, 250)]));
    model.learn(PID, &Reach::default(), MonotonicNs(300), false);
    assert_eq!(wait(&model), Some((1, 250)));
}

#[test]
fn where_no_probe_sees_who_parks_a_snapshot_is_the_last_word_and_nothing_is_certain() {
    let mut model = model();
    model.reconcile(PID, &snapshot(100, 101, vec![seen_goroutine(5, seen::State::Running, None)]));
    model.apply(&event(150, 5, create(6)));
    let overview = Overview::of(process(&model), 9, &Outlook { waits: Waits::Unseen, ..ALL });
    assert_eq!((overview.awake, overview.unknown), (1, 1));
    assert_eq!(overview.missing, Some(Missing::WaitsUnseen));
    assert_eq!(Overview::of(process(&model), 9, &ALL).missing, None);
}

#[test]
fn what_nobody_watched_is_told_from_what_was_lost() {
    let mut model = model();
    let seen = || vec![seen_goroutine(5, seen::State::Running, None)];
    let missing = |model: &Model, waits| Overview::of(process(model), 9, &Outlook { waits, ..ALL }).missing;
    model.reconcile(PID, &snapshot(100, 101, seen()));
    assert_eq!(missing(&model, Waits::Unwatched), Some(Missing::WaitsUnwatched));
    model.unwatched(MonotonicNs(110));
    let overview = Overview::of(process(&model), 9, &ALL);
    assert_eq!((overview.missing, overview.unknown), (Some(Missing::Unwatched), 1));
    // While waits are not watched, what a goroutine did at the last snapshot is what is known.
    let overview = Overview::of(process(&model), 9, &Outlook { waits: Waits::Unwatched, ..ALL });
    assert_eq!((overview.missing, overview.unknown), (Some(Missing::WaitsUnwatched), 0));
    model.reconcile(PID, &snapshot(120, 121, seen()));
    assert_eq!(missing(&model, Waits::Watched), None);
    // Where both is so, the worse is told.
    model.lose(&Lost { from: MonotonicNs(130), to: MonotonicNs(131), at: LossPoint::Ring, count: 1 });
    model.unwatched(MonotonicNs(132));
    assert_eq!(missing(&model, Waits::Watched), Some(Missing::Lost));
}

#[test]
fn a_goroutine_that_only_events_tell_of_is_the_runtimes_by_its_start() {
    let start = |entry| EventKind::GoroutineCreate {
        child: Some(Goid(entry)),
        created_at: None,
        start: Some(RuntimeAddr(entry)),
    };
    let model = after([event(50, 1, start(0x10)), event(51, 1, start(0x20)), event(52, 1, create(0x30))]);
    let is_system = |entry| entry == RuntimeAddr(0x20);
    let overview = Overview::of(process(&model), 9, &Outlook { waits: Waits::Watched, is_system });
    // The creator, of whom nothing else is known, counts as well.
    assert_eq!((overview.goroutines, overview.system), (3, 1));
}

#[test]
fn a_wait_that_no_event_told_of_is_another_one_when_it_is_for_another_channel() {
    let mut model = model();
    for (at, chan) in [(10, 0xc0), (20, 0xc0), (30, 0xd0)] {
        model
            .reconcile(PID, &snapshot(at, at + 1, vec![seen_goroutine(5, seen::State::Waiting, Some(chan))]));
        let since = goroutine(&model, 5).wait.as_ref().unwrap().since;
        assert_eq!(since, MonotonicNs(if chan == 0xc0 { 10 } else { 30 }));
    }
}

#[test]
fn who_is_missing_from_a_snapshot_is_gone_unless_some_goroutine_could_not_be_read() {
    let mut model = after([event(1, 5, EventKind::ChanSend(op(0xc0)))]);
    let unreadable =
        seen::Unknown { what: seen::Entity::Goroutine(RuntimeAddr(1), None), why: "torn".into() };
    model.reconcile(PID, &Snapshot { unknown: vec![unreadable], ..snapshot(10, 11, Vec::new()) });
    assert_eq!(goroutine(&model, 5).state, State::Awake);
    model.reconcile(PID, &snapshot(20, 21, Vec::new()));
    assert_eq!(goroutine(&model, 5).state, State::Gone);
    model.apply(&event(30, 5, EventKind::ChanSend(op(0xc0))));
    assert_eq!(goroutine(&model, 5).state, State::Awake);
}

#[test]
fn a_loss_makes_everything_before_it_uncertain_until_it_is_heard_of_again() {
    let mut model = after([event(1, 5, park_on(0xc0)), event(2, 6, park_on(0xc0))]);
    let loss = Lost { from: MonotonicNs(3), to: MonotonicNs(9), at: LossPoint::Ring, count: 2 };
    model.lose(&Lost { at: LossPoint::Sink, ..loss });
    assert!(process(&model).is_certain(goroutine(&model, 5)), "the model did not lose that");
    model.lose(&loss);
    assert!(!process(&model).is_certain(goroutine(&model, 5)));
    assert_eq!(WaitGraph::of(process(&model)), WaitGraph::default());
    model.apply(&event(10, 1, ready(5)));
    assert!(process(&model).is_certain(goroutine(&model, 5)));
    model.reconcile(PID, &snapshot(20, 21, vec![seen_goroutine(6, seen::State::Waiting, Some(0xc0))]));
    assert!(process(&model).is_certain(goroutine(&model, 6)));
    assert_eq!(goroutine(&model, 6).wait.as_ref().unwrap().since, MonotonicNs(2));
}

#[test]
fn the_graph_has_who_waits_and_who_could_help() {
    let model = after([
        event(1, 6, EventKind::ChanSend(op(0xc0))),
        event(1, 7, EventKind::ChanSend(op(0xc0))),
        event(2, 7, EventKind::GoroutineExit),
        event(3, 5, EventKind::ChanRecv(op(0xc0))),
        event(4, 5, park_on(0xc0)),
    ]);
    let graph = WaitGraph::of(process(&model));
    let object = Object::Channel(ChanAddr(0xc0));
    let edge = |goid, direction| Edge { goid: Goid(goid), direction: Some(direction) };
    assert_eq!(graph.waiters[&object], [edge(5, Direction::Receive)]);
    assert_eq!(graph.users[&object], [edge(5, Direction::Receive), edge(6, Direction::Send)]);
}

#[test]
fn processes_of_one_binary_are_kept_apart_and_exec_starts_anew() {
    let mut model = after([event(1, 5, park_on(0xc0))]);
    model.started(Pid(8), runtime());
    model.apply(&Event { pid: Pid(8), ..event(2, 5, EventKind::GoroutineExit) });
    model.apply(&Event { pid: Pid(9), ..event(2, 5, EventKind::GoroutineExit) });
    assert_eq!(goroutine(&model, 5).state, State::Waiting);
    assert_eq!(model.processes().count(), 2);
    model.started(PID, runtime());
    assert!(process(&model).goroutine(Goid(5)).is_none());
    model.ended(PID);
    assert!(model.process(PID).is_none());
}

#[test]
fn the_ended_leave_after_the_retention_and_idle_channels_too() {
    let mut model = Model::new(Limits { retention_ns: 100, ..limits() });
    model.started(PID, runtime());
    model.apply(&event(10, 5, EventKind::ChanSend(op(0xc0))));
    model.apply(&event(10, 5, EventKind::GoroutineExit));
    model.apply(&event(10, 6, park_on(0xd0)));
    model.expire(MonotonicNs(109));
    assert!(process(&model).goroutine(Goid(5)).is_some());
    model.expire(MonotonicNs(300));
    assert!(process(&model).goroutine(Goid(5)).is_none());
    assert!(process(&model).channel(ChanAddr(0xc0)).is_none());
    assert_eq!(process(&model).held(), 1, "the parked goroutine stays");
}

#[test]
fn endless_goroutines_and_channels_do_not_fill_the_memory() {
    let mut model = Model::new(Limits { goroutines: 1000, objects: 1000, ..limits() });
    model.started(PID, runtime());
    for number in 1..20_000 {
        model.apply(&event(number, number, EventKind::ChanSend(op(number * 96))));
        assert!(process(&model).held() <= 2000);
    }
    let tally = process(&model).tally();
    assert!(tally.forgotten > 30_000, "{tally:?}");
}

/// A process whose true state is known, and what goflow would get to see of it.
#[derive(Default)]
struct World {
    now: u64,
    /// What each goroutine that ever was does; `None` when it has ended.
    truth: BTreeMap<u64, Option<seen::State>>,
    /// Changes that an event has told and that are not in memory yet: what is there until then, and until when.
    settling: BTreeMap<u64, (Option<seen::State>, u64)>,
    /// A change takes less than this.
    settle: u64,
    /// Whose true state no event and no snapshot has told yet.
    behind: BTreeSet<u64>,
    last_event: BTreeMap<u64, u64>,
    /// The events of the future are lost until then.
    reading: Option<Reading>,
}

/// A snapshot that is being taken, one goroutine at a time.
struct Reading {
    started: u64,
    to_read: Vec<u64>,
    read: Vec<seen::Goroutine>,
}

const CHAN: u64 = 0xc000;

impl World {
    fn some(&self, state: seen::State, choice: usize) -> Option<u64> {
        // Whoever is about to park or to wake up does nothing else, and nobody else does it for him.
        let settled = |goid: &u64| self.settling.get(goid).is_none_or(|(_, until)| *until <= self.now);
        let there = self.truth.iter().filter(|(goid, now)| **now == Some(state) && settled(goid));
        let all: Vec<u64> = there.map(|(goid, _)| *goid).collect();
        all.get(choice % all.len().max(1)).copied()
    }

    fn set(&mut self, goid: u64, state: Option<seen::State>) {
        self.truth.insert(goid, state);
    }

    /// A probe is hit before the change that it announces.
    fn announce(&mut self, goid: u64, state: Option<seen::State>, luck: u8) {
        let takes = u64::from(luck) * 10 % self.settle.max(1);
        self.settling.insert(goid, (self.truth[&goid], self.now + takes));
        self.set(goid, state);
    }

    fn in_memory(&self, goid: u64) -> Option<seen::State> {
        match self.settling.get(&goid) {
            Some((before, until)) if *until > self.now => *before,
            _ => self.truth[&goid],
        }
    }

    /// An event of `goid` that also tells of `about`; the model gets it unless it is lost.
    fn tell(&mut self, model: &mut Model, lost: bool, goid: u64, about: u64, kind: EventKind) {
        let event = event(self.now, goid, kind);
        if lost {
            let (from, to) = (MonotonicNs(self.now), MonotonicNs(self.now));
            model.lose(&Lost { from, to: MonotonicNs(to.0 + 1), at: LossPoint::Ring, count: 1 });
            return;
        }
        for told in [goid, about] {
            self.behind.remove(&told);
            self.last_event.insert(told, self.now);
        }
        model.apply(&event);
    }

    fn act(&mut self, model: &mut Model, (what, choice, luck): (u8, usize, u8), lost: bool) {
        use seen::State::{Running, Waiting};
        self.now += 10;
        let (awake, waiting) = (self.some(Running, choice), self.some(Waiting, choice / 7));
        match (what, awake, waiting) {
            (0..2, Some(parent), _) => {
                let child = self.truth.len() as u64 + 1;
                self.set(child, Some(Running));
                self.tell(model, lost, parent, child, create(child));
            }
            (2..4, Some(goid), _) => {
                self.announce(goid, Some(Waiting), luck);
                self.tell(model, lost, goid, goid, park_on(CHAN));
            }
            (4..6, Some(by), Some(goid)) => {
                self.announce(goid, Some(Running), luck);
                self.tell(model, lost, by, goid, ready(goid));
            }
            (6, _, Some(goid)) => {
                self.set(goid, Some(Running));
                self.behind.insert(goid);
            }
            (7, Some(goid), _) if goid != 1 => {
                self.announce(goid, None, luck);
                self.tell(model, lost, goid, goid, EventKind::GoroutineExit);
            }
            (8, Some(goid), _) => self.tell(model, lost, goid, goid, EventKind::ChanSend(op(CHAN))),
            _ => self.begin_to_read(),
        }
        self.read_one(model);
    }

    fn begin_to_read(&mut self) {
        let to_read = self.truth.keys().copied().filter(|&goid| self.in_memory(goid).is_some()).collect();
        self.reading.get_or_insert(Reading { started: self.now + 1, to_read, read: Vec::new() });
    }

    fn read_one(&mut self, model: &mut Model) {
        let Some(mut reading) = self.reading.take() else { return };
        let Some(goid) = reading.to_read.pop() else {
            return model.reconcile(PID, &snapshot(reading.started, self.now, reading.read));
        };
        if let Some(state) = self.in_memory(goid) {
            let on = (state == seen::State::Waiting).then_some(CHAN);
            reading.read.push(seen_goroutine(goid, state, on));
            if self.last_event.get(&goid).is_none_or(|last| *last + self.settle < reading.started) {
                self.behind.remove(&goid);
            }
        }
        self.reading = Some(reading);
    }

    fn check(&self, model: &Model) -> Result<(), TestCaseError> {
        let process = process(model);
        for (goid, truth) in &self.truth {
            let Some(known) = process.goroutine(Goid(*goid)) else { continue };
            let reading = self.reading.is_some();
            if !process.is_certain(known) || self.behind.contains(goid) || reading {
                continue;
            }
            let agrees = match truth {
                Some(seen::State::Waiting) => known.state == State::Waiting,
                Some(_) => known.state == State::Awake,
                None => !known.is_live(),
            };
            prop_assert!(agrees, "goroutine {} is {:?}, the model has {:?}", goid, truth, known);
        }
        Ok(())
    }
}

proptest! {
    /// What is certain is right, whatever happens: unseen wake-ups, losses, snapshots that take their time, changes that
    /// come after the event that announced them.
    #[test]
    fn what_the_model_is_certain_of_is_true(
        acts in proptest::collection::vec((0u8..10, 0usize..1000, 0u8..40), 1..300),
        losses in any::<bool>(),
        settle in prop_oneof![Just(0), Just(40)],
    ) {
        let mut model = Model::new(Limits { settle_ns: settle, ..limits() });
        model.started(PID, runtime());
        let mut world = World { settle, ..World::default() };
        world.set(1, Some(seen::State::Running));
        for act in acts {
            world.act(&mut model, act, losses && act.2 == 0);
            world.check(&model)?;
        }
        if !losses {
            prop_assert_eq!(process(&model).tally().impossible, 0, "{:?}", process(&model).impossible());
        }
    }
}
