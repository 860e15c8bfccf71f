//! Goroutines that count themselves in a `sync.WaitGroup` when somebody waits for it already.
//!
//! In: what is added to wait groups, waits for them, creations and sends, in the order of their time. Out: each [`LateAdd`] by
//! the two places that make it, with how often.
//!
//! The hard thing is that an `Add` does not tell for whom it is. So each count is followed to the `Done` that takes it back: it is
//! of whoever added it, or of the goroutine that was created right after. A round (from 0 to 0) in which somebody calls `Done`
//! that has no count hands counts on in other ways, such as with values through a channel, and nothing is told of it.
//!
//! A wait group has no making that could be seen. What is known of one ends with its round, because nothing says that the next one
//! at that address is the same; of a wait that is over, only who waited keeps where that was.

use crate::binary::addr::RuntimeAddr;
use crate::ingest::event::GroupState;
use crate::target::id::{Goid, MonotonicNs};
use foldhash::HashMap;

/// Pairs of places that are kept, and late counts of a round; more are not, as nobody would read of them.
const KEPT: usize = 256;

/// Counts that are followed, some 20 MB; where there are more, all are forgotten.
const MOST: usize = 1 << 18;

/// A wait for a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupWait {
    /// By whom.
    pub by: Goid,
    /// Return address in the function that waits.
    pub site: Option<RuntimeAddr>,
    /// Since when.
    pub at: MonotonicNs,
}

/// A goroutine counted itself in a group, and took the count back itself, that another one had called `Wait` of when it already
/// existed and was not counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LateAdd {
    /// The group, the last time.
    pub group: RuntimeAddr,
    /// The wait that it came too late for.
    pub wait: GroupWait,
    /// That was over by then; else it was waited for the late one as well, because others were still counted.
    pub is_over: bool,
    /// Who came late.
    pub by: Goid,
    /// Return address in the function that added.
    pub site: Option<RuntimeAddr>,
    /// When it did, the last time.
    pub at: MonotonicNs,
    /// When it first happened.
    pub first: MonotonicNs,
    /// How often it has happened between these two places.
    pub times: u64,
}

/// Whoever adds to a group, as far as it is known.
#[derive(Clone, Copy, Debug)]
pub(super) struct Adder {
    pub(super) goid: Goid,
    /// It existed by then.
    pub(super) known_since: MonotonicNs,
    /// By whom it was created, where it has done nothing since.
    pub(super) newborn_of: Option<Goid>,
}

/// What is known of the wait groups of a process.
#[derive(Clone, Debug, Default)]
pub(super) struct WaitGroups {
    /// Those that count somebody.
    rounds: HashMap<RuntimeAddr, Round>,
    /// Counts in all of them.
    counts: usize,
    /// What each goroutine added last, and may give to those that it creates.
    giving: HashMap<Goid, Giving>,
    /// Of whom nobody can say whether they were given a count, and in which group.
    perhaps: HashMap<Goid, RuntimeAddr>,
    /// The last wait of each goroutine that is over.
    over: HashMap<Goid, (RuntimeAddr, GroupWait)>,
    /// Events may be missing up to here.
    unsure_before: MonotonicNs,
    late: Vec<LateAdd>,
}

/// A group from when it counts somebody until it counts nobody.
#[derive(Clone, Debug)]
struct Round {
    since: MonotonicNs,
    /// When something was last added to it, or taken.
    last: MonotonicNs,
    count: i64,
    /// Whose the counts are cannot be told.
    is_mixed: bool,
    /// How many counts a goroutine has.
    members: HashMap<Goid, Member>,
    wait: Option<GroupWait>,
    /// Who came late and is done.
    late: Vec<LateAdd>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Member {
    counts: i64,
    late: Option<LateAdd>,
}

#[derive(Clone, Copy, Debug)]
struct Giving {
    group: RuntimeAddr,
    left: i64,
    /// What the last goroutine runs that was given one.
    start: Option<RuntimeAddr>,
}

impl WaitGroups {
    pub(super) fn late(&self) -> &[LateAdd] {
        &self.late
    }

    /// Up to here events may be missing: what they would have told of a count or a wait is not known.
    pub(super) fn forget(&mut self, until: MonotonicNs) {
        self.rounds.clear();
        self.counts = 0;
        self.giving.clear();
        self.perhaps.clear();
        self.over.clear();
        self.unsure_before = self.unsure_before.max(until);
    }

    /// A goroutine waits, unless the group counts nobody.
    pub(super) fn wait(&mut self, group: RuntimeAddr, wait: GroupWait) {
        self.giving.remove(&wait.by);
        if let Some(round) = self.rounds.get_mut(&group) {
            // All who wait go on together, so who comes late does for the first of them.
            round.wait.get_or_insert(wait);
        }
    }

    /// Something is added that is above 0. `state` is from before that, and changes of which the events are told already may
    /// take up to `settle_ns` to be in it.
    pub(super) fn add(
        &mut self,
        group: RuntimeAddr,
        (delta, site, at): (i64, Option<RuntimeAddr>, MonotonicNs),
        by: Adder,
        state: Option<GroupState>,
        settle_ns: u64,
    ) {
        if at < self.unsure_before {
            return;
        }
        if self.counts + self.giving.len() + self.perhaps.len() + self.over.len() + self.rounds.len() >= MOST
        {
            self.forget(at);
        }
        let Some(state) = state else { return self.end(group) };
        // The next round, which whoever comes late for the last one is not told from.
        if self.over.get(&by.goid).is_some_and(|(waited_for, _)| *waited_for == group) {
            self.over.remove(&by.goid);
        }
        self.begin(group, at, state, settle_ns);
        let is_member = self.perhaps.get(&by.goid) == Some(&group);
        let Some(round) = self.rounds.get_mut(&group) else { return };
        let wait = if is_member || round.is_mixed || round.members.contains_key(&by.goid) {
            None
        } else if state.counter == 0 {
            too_late(&self.over, group, by).filter(|_| round.count == 0).map(|wait| (wait, true))
        } else {
            let before = |wait: &GroupWait| wait.by != by.goid && by.known_since < wait.at;
            round.wait.filter(|wait| state.waiters > 0 && before(wait)).map(|wait| (wait, false))
        };
        round.last = at;
        round.count = round.count.saturating_add(delta);
        let known = round.members.len();
        let member = round.members.entry(by.goid).or_default();
        member.counts = member.counts.saturating_add(delta);
        if let Some((wait, is_over)) = wait {
            let goid = by.goid;
            member.late = Some(LateAdd { group, wait, is_over, by: goid, site, at, first: at, times: 1 });
        }
        self.counts += round.members.len() - known;
        let giving = self.giving.entry(by.goid).or_insert(Giving { group, left: 0, start: None });
        let left = if giving.group == group { giving.left } else { 0 };
        *giving = Giving { group, left: left.saturating_add(delta), start: None };
    }

    /// There is a round of the group from here on.
    fn begin(&mut self, group: RuntimeAddr, at: MonotonicNs, state: GroupState, settle_ns: u64) {
        // A round that is mixed, or of which nothing was heard for longer than an `Add` takes to be done, is over or was of another
        // group at that address if nobody is counted.
        let is_stale = |round: &Round| {
            round.is_mixed || at.0.saturating_sub(round.last.0) > settle_ns && round.count > 0
        };
        if state.counter == 0 && self.rounds.get(&group).is_some_and(is_stale) {
            self.end(group);
        }
        self.rounds.entry(group).or_insert_with(|| Round {
            since: at,
            last: at,
            count: state.counter.into(),
            // Of those that are counted already nobody knows who they are.
            is_mixed: state.counter != 0,
            members: HashMap::default(),
            wait: None,
            late: Vec::new(),
        });
    }

    fn end(&mut self, group: RuntimeAddr) {
        if let Some(round) = self.rounds.remove(&group) {
            self.counts -= round.members.len();
        }
    }

    /// So many counts are taken back: `Done`, which is one. Returns who had come late, once the group counts nobody any more.
    pub(super) fn done(
        &mut self,
        group: RuntimeAddr,
        by: Goid,
        counts: i64,
        at: MonotonicNs,
    ) -> Vec<LateAdd> {
        let Some(round) = self.rounds.get_mut(&group) else { return Vec::new() };
        round.last = at;
        round.count = round.count.saturating_sub(counts);
        let member = round.members.get(&by).copied().unwrap_or_default();
        round.is_mixed |= member.counts < counts;
        if member.counts <= counts {
            self.counts -= usize::from(round.members.remove(&by).is_some());
            round.late.extend(member.late.filter(|_| round.late.len() < KEPT));
        } else if let Some(member) = round.members.get_mut(&by) {
            member.counts -= counts;
        }
        if self.giving.get(&by).is_some_and(|giving| giving.group == group) {
            self.giving.remove(&by);
        }
        if round.count <= 0 { self.complete(group) } else { Vec::new() }
    }

    /// Nobody is counted any more: now it is known whose the counts were.
    fn complete(&mut self, group: RuntimeAddr) -> Vec<LateAdd> {
        let Some(round) = self.rounds.remove(&group) else { return Vec::new() };
        self.counts -= round.members.len();
        if round.is_mixed || !round.members.is_empty() || round.since < self.unsure_before {
            return Vec::new();
        }
        // Whoever was late for the last wait may have been early for this one.
        let has_wait = round.wait.is_some();
        if let Some(wait) = round.wait {
            self.over.insert(wait.by, (group, wait));
        }
        round.late.into_iter().filter(|late| !(late.is_over && has_wait)).collect()
    }

    /// It has happened, perhaps again.
    pub(super) fn tell(&mut self, late: LateAdd) {
        let places = |late: &LateAdd| (late.is_over, late.site, late.wait.site);
        if let Some(known) = self.late.iter_mut().find(|known| places(known) == places(&late)) {
            let (first, times) = (known.first, known.times.saturating_add(1));
            *known = LateAdd { first, times, ..late };
        } else if self.late.len() < KEPT {
            self.late.push(late);
        }
    }

    /// A goroutine creates another: what it has just added is that one's.
    pub(super) fn create(&mut self, parent: Goid, child: Goid, start: Option<RuntimeAddr>) {
        let Some(giving) = self.giving.get_mut(&parent) else { return };
        let group = giving.group;
        if giving.left <= 0 {
            // One more of the same, such as workers of whom any one may do what was counted.
            if giving.start == start {
                self.perhaps.insert(child, group);
            }
            return;
        }
        giving.left -= 1;
        giving.start = start;
        let Some(round) = self.rounds.get_mut(&group) else { return };
        let known = round.members.len();
        if let Some(member) = round.members.get_mut(&parent) {
            member.counts -= 1;
            member.late = None;
            if member.counts <= 0 {
                round.members.remove(&parent);
            }
        }
        round.members.entry(child).or_default().counts += 1;
        self.counts = self.counts + round.members.len() - known;
    }

    /// A goroutine sends, perhaps what it has counted, so it is not for those that it creates.
    pub(super) fn send(&mut self, by: Goid) {
        self.giving.remove(&by);
    }

    pub(super) fn exit(&mut self, goid: Goid) {
        self.giving.remove(&goid);
        self.perhaps.remove(&goid);
        self.over.remove(&goid);
    }
}

/// The wait, which is over, that a goroutine comes too late for when it counts itself in a group that counts nobody.
///
/// One that has waited for something in between may have been held back until the wait was over, which is right; so may one that
/// others created, of which who waits need not know.
fn too_late(
    over: &HashMap<Goid, (RuntimeAddr, GroupWait)>,
    group: RuntimeAddr,
    by: Adder,
) -> Option<GroupWait> {
    let (waited_for, wait) = over.get(&by.newborn_of?)?;
    (*waited_for == group && by.known_since < wait.at).then_some(*wait)
}
