//! Each rule where it holds, where it only seems to, and where something is not known.

use super::*;
use crate::ingest::event::{ChanOp, Event, EventKind, GroupState};
use crate::model::{Fields, Limits, Model, Runtime};
use crate::target::id::{ChanAddr, SyncPrimitive, WaitReason};
use crate::target::reach::{Backlog, Foreign, Reach, Serves, Timers, Unreachable};
use crate::target::snapshot::{self as seen, Blocked, BlockedOn, Direction, Snapshot, Stack, State};
use crate::target::{Pid, Tid};

const PID: Pid = Pid(7);
const REASONS: [&str; 5] = ["", "chan receive", "chan send", "sync.Mutex.Lock", "sleep"];
const PC: u64 = 0x4000;

/// A process that is looked at, a tenth of a second between two.
struct Watched {
    model: Model,
    detection: Detection,
    now: u64,
    goroutines: Vec<seen::Goroutine>,
    reach: Reach,
    is_still: bool,
    /// It cannot be found out whom nobody can wake.
    is_blind: bool,
}

impl Watched {
    fn new(goroutines: Vec<seen::Goroutine>) -> Self {
        let mut model = Model::new(Limits { settle_ns: 0, news_ns: 0, ..Limits::default() });
        model.started(PID, Runtime::new(REASONS, Fields::default()));
        let (detection, reach) = (Detection::default(), Reach::default());
        Self { model, detection, now: 0, goroutines, reach, is_still: false, is_blind: false }
    }

    fn unreachable(mut self, of: &[(u64, &[u64])]) -> Self {
        let one = |&(goid, leads_to): &(u64, &[u64])| Unreachable {
            goid: Goid(goid),
            leads_to: leads_to.iter().copied().map(RuntimeAddr).collect(),
            by_lock: false,
            awaits_close: false,
        };
        self.reach.unreachable = of.iter().map(one).collect();
        self
    }

    fn holding(mut self, of: &[(u64, u64)]) -> Self {
        let one = |&(goid, lock): &(u64, u64)| Hold {
            goid: Goid(goid),
            kind: SyncPrimitive::Mutex,
            address: RuntimeAddr(lock),
            is_shared: false,
            is_certain: true,
            taken_at: RuntimeAddr(PC),
        };
        self.reach.holds = of.iter().map(one).collect();
        self
    }

    fn look(&mut self) -> Vec<Change> {
        self.now += 100_000_000;
        let (started, ended) = (MonotonicNs(self.now), MonotonicNs(self.now + 1));
        let snapshot =
            Snapshot { started, ended, goroutines: self.goroutines.clone(), ..Snapshot::default() };
        self.model.reconcile(PID, &snapshot);
        if self.is_blind {
            self.model.learn_nothing(PID, started);
        } else {
            self.model.learn(PID, &self.reach, started, self.is_still);
        }
        self.detection.look(self.model.process(PID).unwrap())
    }

    /// All of these have run since the look before.
    fn ran(&mut self, goids: &[u64]) {
        for goroutine in &mut self.goroutines {
            if goids.contains(&goroutine.goid.0) {
                goroutine.tracking_seq = goroutine.tracking_seq.wrapping_add(1);
            }
        }
    }

    /// What is wrong after so many looks between which these run.
    fn running(&mut self, goids: &[u64], looks: usize) -> Vec<(&'static str, Vec<u64>)> {
        for _ in 0..looks {
            self.ran(goids);
            self.look();
        }
        self.after(0)
    }

    /// What is wrong after so many looks: rules with the goroutines of each finding.
    fn after(&mut self, looks: usize) -> Vec<(&'static str, Vec<u64>)> {
        for _ in 0..looks {
            self.look();
        }
        let goids = |finding: &Finding| finding.goroutines.iter().map(|one| one.goid.0).collect();
        self.detection.open().map(|finding| (finding.rule.id, goids(finding))).collect()
    }
}

fn goroutine(goid: u64, state: State, reason: u8, on: Vec<Blocked>) -> seen::Goroutine {
    seen::Goroutine {
        addr: RuntimeAddr(0x1000 * goid),
        goid: Goid(goid),
        state,
        scanned: false,
        tracking_seq: 0,
        interrupted: false,
        wait_reason: (state == State::Waiting).then_some(WaitReason(reason)),
        wait_since: None,
        parent: None,
        created: Some(RuntimeAddr(PC + goid)),
        start: None,
        system: false,
        locked: false,
        m: None,
        tid: None,
        p: None,
        blocked_on: on.into(),
        labels: Vec::new(),
        stack: Stack { frames: vec![RuntimeAddr(PC + goid)], ..Stack::default() },
    }
}

fn blocked(on: BlockedOn, address: u64, direction: Option<Direction>) -> Blocked {
    Blocked { on, address: Some(RuntimeAddr(address)), direction, until: None }
}

fn receives(goid: u64, chan: u64) -> seen::Goroutine {
    let on = blocked(BlockedOn::Channel, chan, Some(Direction::Receive));
    goroutine(goid, State::Waiting, 1, vec![on])
}

fn sends(goid: u64, chan: u64) -> seen::Goroutine {
    goroutine(goid, State::Waiting, 2, vec![blocked(BlockedOn::Channel, chan, Some(Direction::Send))])
}

fn locks(goid: u64, mutex: u64) -> seen::Goroutine {
    let on = blocked(BlockedOn::Sync(SyncPrimitive::Mutex), mutex, None);
    goroutine(goid, State::Waiting, 3, vec![on])
}

const NOTHING: [(&str, Vec<u64>); 0] = [];

#[test]
fn one_look_is_no_finding_and_two_are_unless_nothing_can_have_moved() {
    let mut leaking = Watched::new(vec![receives(5, 0xc0)]).unreachable(&[(5, &[])]);
    assert_eq!(leaking.after(1), NOTHING);
    assert_eq!(leaking.after(1), [("goroutine-leak", vec![5])]);
    let mut core =
        Watched { is_still: true, ..Watched::new(vec![receives(5, 0xc0)]).unreachable(&[(5, &[])]) };
    assert_eq!(core.after(1), [("goroutine-leak", vec![5])]);
    assert!(core.detection.open().all(|finding| finding.confidence == Confidence::Proven));
}

#[test]
fn who_waits_for_something_else_in_between_is_not_found() {
    let mut busy = Watched::new(vec![receives(5, 0xc0)]).unreachable(&[(5, &[])]);
    for chan in [0xd0, 0xe0, 0xf0] {
        assert_eq!(busy.after(1), NOTHING);
        busy.goroutines = vec![receives(5, chan)];
    }
}

/// What a program moves about is missed by a look now and then, so two that agree may both be wrong.
#[test]
fn looks_that_contradict_each_other_are_trusted_less() {
    let all: Vec<_> = (5..45).map(|goid| receives(goid, 0xc0 + goid)).collect();
    let mut moving = Watched::new(all);
    let mut miss = |missed: std::ops::Range<u64>| {
        let missed: Vec<(u64, &[u64])> = missed.map(|goid| (goid, &[][..])).collect();
        moving.reach = Reach::default();
        moving = std::mem::replace(&mut moving, Watched::new(Vec::new())).unreachable(&missed);
        moving.after(1)
    };
    assert_eq!(miss(5..25), NOTHING);
    // Ten of twenty were wrong, and ten are missed again.
    assert_eq!(miss(15..35), NOTHING);
    assert_eq!(miss(15..20), NOTHING);
    // One who stays so for many looks is none of those.
    let found: Vec<_> = (0..30).map(|_| miss(15..16)).collect();
    assert_eq!(found.last().unwrap(), &[("goroutine-leak", vec![15])]);
    assert!(found[..5].iter().all(|found| found.is_empty()), "{found:?}");
}

#[test]
fn a_finding_opens_once_and_resolves_when_its_goroutines_go_on() {
    let mut leaking = Watched::new(vec![receives(5, 0xc0)]).unreachable(&[(5, &[])]);
    leaking.look();
    let opened = leaking.look();
    assert!(
        matches!(opened.as_slice(), [Change::Opened(finding)] if finding.opened == MonotonicNs(leaking.now))
    );
    assert_eq!(leaking.look(), []);
    let since = leaking.detection.open().next().map(|finding| finding.opened);
    assert_eq!(since, Some(MonotonicNs(leaking.now - 100_000_000)));
    leaking.goroutines = vec![goroutine(5, State::Runnable, 0, Vec::new())];
    leaking.reach = Reach::default();
    assert!(matches!(leaking.look().as_slice(), [Change::Resolved(_)]));
}

#[test]
fn two_that_lock_in_opposite_order_are_a_circle_whoever_else_there_is() {
    let all = vec![locks(5, 0xa0), locks(6, 0xb0), locks(7, 0xa0), receives(8, 0xc0)];
    let mut crossed = Watched::new(all).holding(&[(5, 0xb0), (6, 0xa0)]);
    assert_eq!(crossed.after(1), NOTHING);
    // The third waits for one of them, and the fourth for somebody else.
    assert_eq!(crossed.after(1), [("circular-wait", vec![5, 6, 7])]);
    let finding = crossed.detection.open().next().unwrap();
    let holds = finding.evidence.iter().filter(|one| matches!(one, Evidence::Holds(_))).count();
    assert_eq!((finding.confidence, holds), (Confidence::Likely, 2));
}

#[test]
fn workers_that_wait_for_one_are_one_circle_with_it_and_not_one_each() {
    // Each sends its result to the collector, which hands out another job first.
    let all: Vec<_> = (5..9).map(|goid| sends(goid, 0xa0)).chain([sends(9, 0xb0)]).collect();
    let leads: Vec<(u64, &[u64])> =
        vec![(5, &[0xb0]), (6, &[0xb0]), (7, &[0xb0]), (8, &[0xb0]), (9, &[0xa0])];
    let mut pool = Watched::new(all).unreachable(&leads);
    assert_eq!(pool.after(2), [("circular-wait", vec![5, 9, 6, 7, 8])]);
    assert!(pool.detection.open().any(|one| one.evidence.contains(&Evidence::Behind(3))));
}

#[test]
fn who_has_another_one_that_may_come_is_not_behind_a_circle() {
    // The third waits for a lock that somebody holds as well who is in no circle.
    let mut crossed = Watched::new(vec![locks(5, 0xa0), locks(6, 0xb0), locks(7, 0xa0), receives(8, 0xc0)])
        .holding(&[(5, 0xb0), (6, 0xa0), (8, 0xa0)]);
    assert_eq!(crossed.after(2), [("circular-wait", vec![5, 6])]);
}

#[test]
fn who_locks_twice_waits_for_itself() {
    let mut again = Watched::new(vec![locks(5, 0xa0)]).holding(&[(5, 0xa0)]);
    assert_eq!(again.after(2), [("circular-wait", vec![5])]);
}

#[test]
fn a_lock_whose_holder_goes_on_is_no_circle() {
    let sleeper = goroutine(6, State::Waiting, 4, vec![blocked(BlockedOn::Timer, 0xe0, None)]);
    let mut held = Watched::new(vec![locks(5, 0xa0), sleeper]).holding(&[(6, 0xa0)]);
    assert_eq!(held.after(10), NOTHING);
}

#[test]
fn of_channels_only_those_nobody_can_wake_are_a_circle() {
    let all = || vec![sends(5, 0xa0), sends(6, 0xb0)];
    let leads: [(u64, &[u64]); 2] = [(5, &[0xb0]), (6, &[0xa0])];
    assert_eq!(Watched::new(all()).unreachable(&leads).after(2), [("circular-wait", vec![5, 6])]);
    // Where it is not known who can be woken, nothing is sure.
    assert_eq!(Watched::new(all()).after(3), NOTHING);
}

#[test]
fn those_that_wait_at_one_channel_are_a_leak_and_no_circle() {
    let workers: Vec<_> = (5..9)
        .map(|goid| seen::Goroutine {
            created: Some(RuntimeAddr(PC)),
            stack: Stack::default(),
            ..receives(goid, 0xc0)
        })
        .collect();
    let leads: [(u64, &[u64]); 4] = [(5, &[0xc0]), (6, &[0xc0]), (7, &[0xc0]), (8, &[0xc0])];
    assert_eq!(Watched::new(workers).unreachable(&leads).after(2), [("goroutine-leak", vec![5, 6, 7, 8])]);
}

#[test]
fn the_first_goroutine_may_wait_for_nothing_for_ever() {
    let parked = |goid| goroutine(goid, State::Waiting, 0, Vec::new());
    let mut kept = Watched::new(vec![parked(1)]).unreachable(&[(1, &[])]);
    assert_eq!(kept.after(3), NOTHING);
    let mut lost = Watched::new(vec![parked(2)]).unreachable(&[(2, &[])]);
    assert_eq!(lost.after(2), [("goroutine-leak", vec![2])]);
}

#[test]
fn where_all_are_asleep_it_is_one_deadlock() {
    let mut asleep =
        Watched::new(vec![receives(1, 0xa0), receives(5, 0xb0)]).unreachable(&[(1, &[]), (5, &[])]);
    asleep.reach.is_asleep = true;
    assert_eq!(asleep.after(2), [("deadlock", vec![1, 5])]);
}

#[test]
fn a_sender_nobody_comes_for_and_a_lock_nobody_is_seen_to_hold_are_suspected_after_five_looks() {
    let mut stuck = Watched::new(vec![sends(5, 0xa0), locks(6, 0xb0), receives(7, 0xc0)]);
    assert_eq!(stuck.after(4), NOTHING);
    assert_eq!(stuck.after(1), [("goroutine-leak", vec![5]), ("goroutine-leak", vec![6])]);
    assert!(stuck.detection.open().all(|finding| finding.confidence == Confidence::Suspected));
}

#[test]
fn what_is_on_a_cpu_or_not_let_on_one_at_five_looks_is_suspected() {
    let mut busy = Watched::new(vec![
        goroutine(5, State::Running, 0, Vec::new()),
        goroutine(6, State::Runnable, 0, Vec::new()),
    ]);
    assert_eq!(busy.after(4), NOTHING);
    assert_eq!(busy.after(1), [("long-running", vec![5]), ("starvation", vec![6])]);
    busy.goroutines.rotate_left(1);
    busy.goroutines[0].state = State::Running;
    busy.goroutines[1].state = State::Waiting;
    busy.goroutines[1].wait_reason = Some(WaitReason(4));
    assert_eq!(busy.after(1), NOTHING);
}

#[test]
fn who_is_ready_at_each_look_and_ran_in_between_has_its_turns() {
    let mut fair = Watched::new(vec![goroutine(5, State::Runnable, 0, Vec::new())]);
    assert_eq!(fair.running(&[5], 10), NOTHING);
    // It does not any more.
    assert_eq!(fair.after(4), [("starvation", vec![5])]);
}

#[test]
fn who_loses_its_cpu_again_and_again_computes_all_the_time() {
    let hog =
        |goid, state, interrupted| seen::Goroutine { interrupted, ..goroutine(goid, state, 0, Vec::new()) };
    let mut hogs = Watched::new(vec![hog(5, State::Running, false), hog(6, State::Runnable, true)]);
    for turn in 0..5 {
        for (place, one) in hogs.goroutines.iter_mut().enumerate() {
            let runs = turn % 2 == place;
            one.state = if runs { State::Running } else { State::Runnable };
            one.interrupted = !runs;
        }
        hogs.ran(&[5, 6]);
        hogs.look();
    }
    assert_eq!(hogs.after(0), [("long-running", vec![5]), ("long-running", vec![6])]);
    let is_named = |finding: &Finding| !finding.goroutines[0].stack.is_empty();
    assert!(hogs.detection.open().all(is_named), "where they last lost their CPU is known");
    // One whose wait is over is in a run queue, too, and does not compute.
    let mut woken = Watched::new(vec![hog(5, State::Runnable, false)]);
    assert_eq!(woken.running(&[5], 10), NOTHING);
}

#[test]
fn growth_is_more_at_each_of_five_looks_and_never_fewer() {
    let from = |count: u64| -> Vec<seen::Goroutine> {
        let one = |goid| seen::Goroutine { created: Some(RuntimeAddr(PC)), ..receives(goid, 0x10 * goid) };
        (10..10 + count).map(one).collect()
    };
    let mut growing = Watched::new(Vec::new());
    for count in [2, 4, 6, 8, 10] {
        growing.goroutines = from(count);
        growing.look();
    }
    assert_eq!(
        growing.detection.open().map(|one| (one.rule.id, one.more)).collect::<Vec<_>>(),
        [("unbounded-growth", 0)]
    );
    let mut sawing = Watched::new(Vec::new());
    for count in [2, 4, 6, 3, 5, 7, 4, 6, 8, 2] {
        sawing.goroutines = from(count);
        sawing.look();
    }
    assert_eq!(sawing.after(0), NOTHING);
}

#[test]
fn values_that_become_more_at_each_look_are_a_backlog() {
    let queue = |len: u64| Backlog { channel: channel(0xc0, len), by: vec![Goid(5)] };
    let sleeper = || goroutine(5, State::Waiting, 4, vec![blocked(BlockedOn::Timer, 0xe0, None)]);
    let after = |lens: &[Option<u64>]| {
        let mut watched = Watched::new(vec![sleeper()]);
        for len in lens {
            watched.is_blind = len.is_none();
            watched.reach.backlogs = len.map(queue).into_iter().collect();
            watched.look();
        }
        watched.after(0)
    };
    let found = [("unbounded-growth", vec![5])];
    assert_eq!(after(&[10, 20, 30, 40, 50, 60].map(Some)), found);
    // A look that could not tell is no look at which there were fewer.
    assert_eq!(after(&[Some(10), Some(20), None, Some(30), Some(40), Some(50), Some(60)]), found);
    assert_eq!(after(&[10, 20, 30, 40, 50].map(Some)), NOTHING);
    assert_eq!(after(&[10, 20, 30, 5, 15, 25, 35].map(Some)), NOTHING);
    assert_eq!(after(&[1, 2, 3, 4, 5, 6, 7, 8].map(Some)), NOTHING);
}

#[test]
fn timers_that_become_more_at_each_look_are_a_leak_of_what_they_call() {
    let after = |counts: &[Option<u64>]| {
        let mut watched = Watched::new(vec![receives(5, 0xc0)]);
        for count in counts {
            watched.is_blind = count.is_none();
            let timers = |count| Timers { calls: RuntimeAddr(0x7000), is_periodic: false, count };
            watched.reach.timers = count.map(timers).into_iter().collect();
            watched.look();
        }
        let functions = |finding: &Finding| (finding.rule.id, finding.functions.clone());
        watched.detection.open().map(functions).collect::<Vec<_>>()
    };
    let found = [("timer-leak", vec![RuntimeAddr(0x7000)])];
    assert_eq!(after(&[10, 20, 30, 40, 50].map(Some)), found);
    assert_eq!(after(&[Some(10), Some(20), None, Some(30), Some(40), Some(50)]), found);
    // As many as there are keys, and a burst that is over.
    assert_eq!(after(&[10, 30, 50, 50, 50, 50].map(Some)), []);
    assert_eq!(after(&[10, 20, 30, 40, 0].map(Some)), []);
}

#[test]
fn a_lock_that_three_wait_for_at_five_looks_is_crowded() {
    let mut crowd = Watched::new(vec![locks(5, 0xa0), locks(6, 0xa0), locks(7, 0xa0)]).holding(&[(8, 0xa0)]);
    crowd.goroutines.push(goroutine(8, State::Waiting, 4, vec![blocked(BlockedOn::Timer, 0xe0, None)]));
    assert_eq!(crowd.after(4), NOTHING);
    assert_eq!(crowd.after(1), [("lock-contention", vec![5, 6, 7])]);
    let finding = crowd.detection.open().next().unwrap();
    assert!(finding.evidence.iter().any(|one| matches!(one, Evidence::Held(hold) if hold.goid == Goid(8))));
}

#[test]
fn a_lock_that_is_free_at_a_lucky_look_is_crowded_all_the_same() {
    let crowd = || vec![locks(5, 0xa0), locks(6, 0xa0), locks(7, 0xa0)];
    let after = |looks: &str| {
        let mut watched = Watched::new(Vec::new());
        watched.detection = Detection::new(|rule| rule.id == "lock-contention");
        for look in looks.chars() {
            watched.goroutines = if look == '.' { vec![locks(5, 0xa0)] } else { crowd() };
            watched.is_blind = look == '?';
            watched.look();
        }
        watched.after(0)
    };
    let found = [("lock-contention", vec![5, 6, 7])];
    for looks in ["xx..xx.", "..xx..x", ".xx..xx", "x..xx.."] {
        assert_eq!(after(looks), found, "{looks}");
    }
    for looks in ["x......", "xx.....", "xxxx", "x...x...x..."] {
        assert_eq!(after(looks), NOTHING, "{looks}");
    }
    // Who waits is known where nothing else is.
    assert_eq!(after("x?x?x"), found);
}

fn channel(address: u64, len: u64) -> seen::Channel {
    seen::Channel {
        address: ChanAddr(address),
        len,
        cap: 1000,
        elem_size: 8,
        elem_type: None,
        closed: false,
        sendx: len,
        recvx: 0,
        senders: seen::Few::default(),
        receivers: seen::Few::default(),
        timer: None,
    }
}

#[test]
fn senders_that_wait_at_each_look_and_are_served_have_a_slow_consumer() {
    let senders = || vec![sends(5, 0xa0), sends(6, 0xa0)];
    let mut slow = Watched::new(senders());
    assert_eq!(slow.running(&[5], 4), NOTHING);
    assert_eq!(slow.running(&[6], 1), [("slow-consumer", vec![5, 6])]);
    // Nothing is known of what can be reached: it is still seen.
    slow.is_blind = true;
    assert_eq!(slow.running(&[5, 6], 1), [("slow-consumer", vec![5, 6])]);
    // Nobody is served: that is another fault.
    assert_eq!(Watched::new(senders()).after(6), [("goroutine-leak", vec![5]), ("goroutine-leak", vec![6])]);
    // One that hands out what is asked for.
    assert_eq!(Watched::new(vec![sends(5, 0xa0)]).running(&[5], 10), NOTHING);
    // A burst.
    let mut burst = Watched::new(senders());
    burst.running(&[5, 6], 2);
    burst.goroutines.clear();
    assert_eq!(burst.after(4), NOTHING);
}

#[test]
fn receivers_none_of_whom_is_ever_at_work_have_a_slow_producer() {
    let receivers = || vec![receives(5, 0xa0), receives(6, 0xa0), receives(7, 0xa0)];
    let mut slow = Watched::new(receivers());
    assert_eq!(slow.running(&[5], 4), NOTHING);
    assert_eq!(slow.running(&[6], 1), [("slow-producer", vec![5, 6, 7])]);
    // They are idle: nothing comes, or not any more.
    assert_eq!(Watched::new(receivers()).after(10), NOTHING);
    assert_eq!(slow.after(1), NOTHING);
    // One of them is seen at work now and then.
    let mut pool = Watched::new(receivers());
    for at_work in [0, 3, 1, 3, 2, 3, 0, 3, 1] {
        pool.goroutines = receivers();
        pool.goroutines.iter_mut().for_each(|one| one.tracking_seq = at_work as u8);
        pool.goroutines.drain(at_work.min(2)..at_work.min(2) + usize::from(at_work < 3));
        pool.look();
    }
    assert_eq!(pool.after(0), NOTHING);
}

#[test]
fn who_waits_for_a_lock_for_a_minute_whose_holder_goes_on_is_told() {
    let holder = goroutine(8, State::Waiting, 4, vec![blocked(BlockedOn::Timer, 0xe0, None)]);
    let of = |since: u64, others: Vec<seen::Goroutine>| {
        let waiter = seen::Goroutine { wait_since: Some(MonotonicNs(since)), ..locks(5, 0xa0) };
        let mut watched = Watched::new([vec![waiter, holder.clone()], others].concat()).holding(&[(8, 0xa0)]);
        watched.now = 100_000_000_000;
        watched
    };
    assert_eq!(of(30_000_000_000, Vec::new()).after(5), [("long-blocked", vec![5])]);
    assert_eq!(of(50_000_000_000, Vec::new()).after(5), NOTHING);
    // It was served in between.
    assert_eq!(of(30_000_000_000, Vec::new()).running(&[5], 10), NOTHING);
    // An idle worker.
    let idle = seen::Goroutine { wait_since: Some(MonotonicNs(1)), ..receives(6, 0xc0) };
    assert_eq!(of(50_000_000_000, vec![idle]).after(5), NOTHING);
}

#[test]
fn a_look_that_cannot_tell_who_is_reached_leaves_what_was_found() {
    let mut leaking = Watched::new(vec![receives(5, 0xc0)]).unreachable(&[(5, &[])]);
    assert_eq!(leaking.after(2), [("goroutine-leak", vec![5])]);
    leaking.is_blind = true;
    assert_eq!(leaking.look(), []);
    assert_eq!(leaking.after(0), [("goroutine-leak", vec![5])]);
    // And finds what it can see.
    let mut blind = Watched::new(vec![goroutine(6, State::Running, 0, Vec::new()), receives(5, 0xc0)]);
    blind.is_blind = true;
    assert_eq!(blind.after(5), [("long-running", vec![6])]);
}

#[test]
fn who_waits_for_what_no_code_names_is_suspected_after_two_looks() {
    let mut watched = Watched::new(vec![receives(5, 0xc0), receives(6, 0xc8)]);
    watched.reach.unnamed = vec![Goid(5)];
    assert_eq!(watched.after(1), NOTHING);
    assert_eq!(watched.after(1), [("goroutine-leak", vec![5])]);
    let finding = watched.detection.open().next().unwrap();
    assert_eq!(finding.confidence, Confidence::Suspected);
    assert_eq!(finding.evidence[1], Evidence::NobodyNames(Goid(5)));
    // Somebody names it again.
    watched.reach.unnamed.clear();
    assert_eq!(watched.after(2), NOTHING);
}

#[test]
fn thresholds_decide_from_when_on_something_is_told() {
    let thresholds = Thresholds { looks: 2, waiters: 2, ..Thresholds::default() };
    let mut pair = Watched::new(vec![locks(5, 0xa0), locks(6, 0xa0)]);
    pair.detection = Detection::with(|_| true, thresholds);
    assert_eq!(pair.after(1), NOTHING);
    assert_eq!(pair.after(1), [("lock-contention", vec![5, 6])]);
}

#[test]
fn a_channel_that_nobody_can_close_is_told_beside_the_leak_of_who_waits_for_its_end() {
    let goroutines = vec![receives(5, 0xc0), receives(6, 0xc8), locks(7, 0xa0)];
    let mut watched = Watched::new(goroutines).unreachable(&[(5, &[]), (6, &[])]);
    watched.reach.unreachable[0].awaits_close = true;
    assert_eq!(watched.after(1), NOTHING, "one look");
    let expected =
        [("channel-not-closed", vec![5]), ("goroutine-leak", vec![5]), ("goroutine-leak", vec![6])];
    assert_eq!(watched.after(1), expected);
    // The close came.
    watched.reach.unreachable.clear();
    assert_eq!(watched.after(1), NOTHING);
    // Who is in a circle waits for the others of it first.
    let mut circle =
        Watched::new(vec![receives(5, 0xc0), receives(6, 0xc8)]).unreachable(&[(5, &[0xc8]), (6, &[0xc0])]);
    circle.reach.unreachable[0].awaits_close = true;
    assert_eq!(circle.after(2), [("circular-wait", vec![5, 6])]);
    // What could not be read makes it fewer.
    let mut blind = Watched::new(vec![receives(5, 0xc0)]).unreachable(&[(5, &[])]);
    blind.reach.unreachable[0].awaits_close = true;
    blind.is_blind = true;
    assert_eq!(blind.after(3), NOTHING);
}

#[test]
fn who_unlocks_what_others_lock_is_told_by_where_it_does_so_and_stays_told() {
    let foreign = |goid: u64, address: Option<u64>| Foreign {
        goid: Goid(goid),
        kind: SyncPrimitive::Mutex,
        at: RuntimeAddr(0x77),
        address: address.map(RuntimeAddr),
    };
    let told = |watched: &Watched| {
        let finding = watched.detection.open().next().unwrap();
        (finding.confidence, finding.objects.len(), finding.goroutines[0].stack.clone())
    };
    let goroutines = vec![receives(5, 0xc0), receives(6, 0xc0), receives(7, 0xc8)];
    let mut watched = Watched::new(goroutines);
    assert_eq!(watched.after(2), NOTHING);
    watched.reach.foreign = vec![foreign(5, None)];
    assert_eq!(watched.after(1), [("mutex-unlocked-by-other", vec![5])]);
    assert_eq!(told(&watched), (Confidence::Suspected, 0, vec![RuntimeAddr(0x77)]));
    // Another one is seen at it, with the lock locked.
    watched.reach.foreign = vec![foreign(6, Some(0xb0))];
    assert_eq!(watched.after(1), [("mutex-unlocked-by-other", vec![6])]);
    assert_eq!(told(&watched), (Confidence::Likely, 1, vec![RuntimeAddr(0x77)]));
    // They are gone, or it cannot be seen any more.
    watched.reach.foreign.clear();
    assert_eq!(watched.after(1), [("mutex-unlocked-by-other", vec![6])]);
    watched.is_blind = true;
    assert_eq!(watched.after(1), [("mutex-unlocked-by-other", vec![6])]);
}

fn channel_event(t: u64, goid: u64, site: u64, kind: fn(ChanOp) -> EventKind) -> Event {
    let op = ChanOp { chan: Some(ChanAddr(0xc0)), blocking: true, site: Some(RuntimeAddr(site)) };
    Event { t: MonotonicNs(t), pid: PID, tid: Tid(1), goid: Some(Goid(goid)), kind: kind(op) }
}

#[test]
fn what_is_done_to_a_closed_channel_is_found_with_both_places_and_stays_found() {
    let mut watched = Watched::new(vec![goroutine(1, State::Running, 0, Vec::new())]);
    let (close, send) = (EventKind::ChanClose, EventKind::ChanSend);
    for event in
        [channel_event(1, 5, 0x10, close), channel_event(2, 6, 0x20, send), channel_event(3, 7, 0x30, close)]
    {
        watched.model.apply(&event);
    }
    let process = watched.model.process(PID).unwrap();
    let opened = watched.detection.look_at_events(process, MonotonicNs(9));
    assert_eq!(opened.len(), 2, "{opened:?}");
    let expected = [("double-close-risk", vec![7, 5]), ("send-on-closed-risk", vec![6, 5])];
    assert_eq!(watched.after(3), expected);
    let finding = watched.detection.open().next().unwrap();
    assert_eq!((finding.opened, finding.since), (MonotonicNs(9), MonotonicNs(3)));
    assert_eq!(finding.goroutines[0].stack, [RuntimeAddr(0x30)]);
}

#[test]
fn who_counts_itself_too_late_is_found_with_both_places_and_stays_found() {
    let kinds = |counts: [(u64, EventKind); 6]| {
        let mut watched = Watched::new(vec![goroutine(1, State::Running, 0, Vec::new())]);
        for (t, (goid, kind)) in (1..).zip(counts) {
            let event = Event { t: MonotonicNs(t), pid: PID, tid: Tid(1), goid: Some(Goid(goid)), kind };
            watched.model.apply(&event);
        }
        watched
    };
    let add = |delta: i64, counter, site| EventKind::WaitGroupAdd {
        addr: RuntimeAddr(0xa0),
        delta,
        state: (delta > 0).then_some(GroupState { counter, waiters: counter.unsigned_abs() }),
        site: Some(RuntimeAddr(site)),
    };
    let create =
        |child| EventKind::GoroutineCreate { child: Some(Goid(child)), created_at: None, start: None };
    let wait = || EventKind::SyncWait {
        primitive: SyncPrimitive::WaitGroup,
        addr: RuntimeAddr(0xa0),
        reason: None,
        site: Some(RuntimeAddr(0x10)),
    };
    let mut late = kinds([
        (1, create(6)),
        (1, add(1, 0, 0x30)),
        (5, wait()),
        (6, add(1, 1, 0x20)),
        (6, add(-1, 0, 0x40)),
        (1, add(-1, 0, 0x40)),
    ]);
    let process = late.model.process(PID).unwrap();
    assert_eq!(late.detection.look_at_events(process, MonotonicNs(9)).len(), 1);
    assert_eq!(late.after(3), [("waitgroup-misuse", vec![6, 5])]);
    let finding = late.detection.open().next().unwrap();
    assert_eq!((finding.confidence, finding.since), (Confidence::Suspected, MonotonicNs(4)));
    assert_eq!(finding.objects, [Object::Sync(SyncPrimitive::WaitGroup, RuntimeAddr(0xa0))]);
    let sites = finding.goroutines.iter().map(|one| one.stack[0].0);
    assert_eq!(sites.collect::<Vec<_>>(), [0x20, 0x10]);
    // It is counted before it runs.
    let mut healthy = kinds([
        (1, add(2, 0, 0x30)),
        (1, create(6)),
        (1, create(7)),
        (1, wait()),
        (6, add(-1, 0, 0x40)),
        (7, add(-1, 0, 0x40)),
    ]);
    assert_eq!(healthy.after(3), NOTHING);
    // Whoever was counted before the first event may be done by whoever.
    let mut from_the_midst = kinds([
        (1, create(6)),
        (1, add(1, 1, 0x30)),
        (5, wait()),
        (6, add(1, 2, 0x20)),
        (6, add(-1, 0, 0x40)),
        (1, add(-1, 0, 0x40)),
    ]);
    assert_eq!(from_the_midst.after(3), NOTHING);
}

#[test]
fn a_rule_that_is_not_wanted_finds_nothing() {
    let mut watched = Watched::new(vec![goroutine(1, State::Running, 0, Vec::new())]);
    watched.detection = Detection::new(|rule| rule.id != "double-close-risk");
    let close = EventKind::ChanClose;
    for event in [channel_event(1, 5, 0x10, close), channel_event(2, 7, 0x30, close)] {
        watched.model.apply(&event);
    }
    assert_eq!(watched.after(2), NOTHING);
}

#[test]
fn who_alone_is_seen_to_lead_to_what_a_variable_has_makes_a_circle_that_is_suspected() {
    let mut closing = Watched::new(vec![receives(5, 0xc0), locks(6, 0xa0)]).holding(&[(5, 0xa0)]);
    assert_eq!(closing.after(2), NOTHING);
    closing.reach.serves = vec![Serves { goid: Goid(6), object: RuntimeAddr(0xc0) }];
    assert_eq!(closing.after(1), [("circular-wait", vec![5, 6])]);
    assert!(closing.detection.open().all(|finding| finding.confidence == Confidence::Suspected));
    // Somebody who does not wait for the lock came.
    closing.reach.serves.clear();
    assert_eq!(closing.after(1), NOTHING);
}

#[test]
fn who_waits_for_a_lock_whose_holder_nobody_wakes_is_stuck_but_that_is_no_proof() {
    let mut stuck =
        Watched::new(vec![receives(5, 0xc0), locks(6, 0xa0)]).holding(&[(5, 0xa0)]).unreachable(&[(6, &[])]);
    stuck.reach.unreachable[0].by_lock = true;
    stuck.is_still = true;
    assert_eq!(stuck.after(2), [("goroutine-leak", vec![6])]);
    let finding = stuck.detection.open().next().unwrap();
    assert_eq!(finding.confidence, Confidence::Likely);
    assert!(finding.evidence.iter().any(|one| matches!(one, Evidence::Holds(hold) if hold.goid == Goid(5))));
}
