//! The wait-for graph as detectors see it: who waits for whom, through what, and why that is believed.
//!
//! In: who waits for what, and who could end that. Out: links from each waiting goroutine to those, and the cycles among them. A lock
//! is given back by who holds it; a channel, a wait group or a condition is served by whoever has it, so of those only the
//! goroutines count that nobody can wake either: any other would come.
//!
//! A thousand may wait for what a thousand others could serve, so links are not kept one by one: those that wait for one object
//! wait for the same ones.

use super::survey::Waiter;
use crate::binary::addr::RuntimeAddr;
use crate::model::{Goroutine, Object, Process};
use crate::target::id::Goid;
use crate::target::reach::Hold;
use foldhash::{HashMap, HashMapExt, HashSet, HashSetExt};
use std::collections::{BTreeSet, VecDeque};

/// How many looks have to find the same.
pub(super) const LOOKS: u32 = 2;

/// How likely it may be that looks agree on some goroutine by chance, where they contradict each other.
const CHANCE: f64 = 0.001;

/// How many looks of this process have to agree that nobody can wake a goroutine: as many as cannot all be wrong about one of them,
/// if a look is wrong about each as often as the last were.
pub(super) fn looks_needed(process: &Process) -> u32 {
    let Some(worst) = process.contradictions() else { return LOOKS };
    let looks = (CHANCE / worst.of as f64).ln() / worst.share().clamp(0.01, 0.99).ln();
    LOOKS.max(looks.ceil() as u32)
}

/// A goroutine waits for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// Through what.
    pub object: Object,
    /// For whom.
    pub to: Goid,
    /// The lock that the other holds, where it is one.
    pub hold: Option<Hold>,
}

/// Who waits for whom in one process.
#[derive(Debug, Default)]
pub struct Graph {
    hubs: Vec<Hub>,
    /// Through which hubs a goroutine waits.
    waits: HashMap<Goid, Vec<usize>>,
    /// At which hubs it is waited for.
    serves: HashMap<Goid, Vec<usize>>,
}

/// Goroutines that wait for the same one of others.
#[derive(Debug)]
struct Hub {
    waiters: Vec<Goid>,
    /// To those that could come; there are some.
    links: Vec<Link>,
}

impl Graph {
    /// Of those that wait for each object.
    pub(super) fn of<'p, 's>(
        by_object: impl Iterator<Item = &'s [Waiter<'p>]>,
        holders: &HashMap<RuntimeAddr, Vec<Hold>>,
        served: &Served<'p>,
    ) -> Self
    where
        'p: 's,
    {
        let mut graph = Self::default();
        for waiters in by_object {
            let [first, ..] = waiters else { continue };
            let (object, address) = (first.object, first.object.address());
            if first.is_at_lock() {
                let holders = holders.get(&address).into_iter().flatten();
                let links = holders.map(|hold| Link { object, to: hold.goid, hold: Some(*hold) });
                graph.add(waiters.iter().map(|one| one.goid), links.collect());
                continue;
            }
            let link = |to| Link { object, to, hold: None };
            let seen = served.seen.get(&address).into_iter().flatten();
            let others = waiters.iter().filter(|one| !one.is_stranded).map(|one| one.goid);
            graph.add(others, seen.map(|goid| link(*goid)).collect());
            let reach = served.reach.get(&address).into_iter().flatten();
            // Who waits for the same thing, alone or beside others, wants of it what these want, or they would have met.
            let reach = reach.filter(|one| !waits_for(one, object)).map(|one| link(one.goid));
            let stranded = waiters.iter().filter(|one| one.is_stranded).map(|one| one.goid);
            graph.add(stranded, reach.collect());
        }
        graph
    }

    fn add(&mut self, waiters: impl Iterator<Item = Goid>, links: Vec<Link>) {
        if links.is_empty() {
            return;
        }
        let (index, waiters) = (self.hubs.len(), waiters.collect::<Vec<Goid>>());
        for waiter in &waiters {
            self.waits.entry(*waiter).or_default().push(index);
        }
        for link in &links {
            self.serves.entry(link.to).or_default().push(index);
        }
        self.hubs.push(Hub { waiters, links });
    }

    /// Whom a goroutine waits for.
    pub fn links(&self, goid: Goid) -> impl Iterator<Item = Link> + Clone {
        self.hubs_of(goid).iter().flat_map(|index| self.hubs[*index].links.iter().copied())
    }

    fn hubs_of(&self, goid: Goid) -> &[usize] {
        self.waits.get(&goid).map_or(&[], Vec::as_slice)
    }

    /// A shortest cycle of each set of goroutines that all wait for each other: each waits for the next, the last for the first.
    #[must_use]
    pub fn cycles(&self) -> Vec<Vec<(Goid, Link)>> {
        let mut told = BTreeSet::new();
        let mut cycles = Vec::new();
        let both: BTreeSet<Goid> =
            self.serves.keys().filter(|goid| self.waits.contains_key(goid)).copied().collect();
        for goid in both {
            if told.contains(&goid) {
                continue;
            }
            if let Some(cycle) = self.cycle_through(goid) {
                let members: BTreeSet<Goid> = cycle.iter().map(|(goid, _)| *goid).collect();
                // Others of the same knot are told as those behind it.
                told.extend(self.behind(&members));
                told.extend(members);
                cycles.push(cycle);
            }
        }
        cycles
    }

    /// The shortest way from a goroutine back to itself.
    fn cycle_through(&self, start: Goid) -> Option<Vec<(Goid, Link)>> {
        let mut came: HashMap<Goid, (Goid, Link)> = HashMap::new();
        let mut been: HashSet<usize> = HashSet::new();
        let mut todo = VecDeque::from([start]);
        while let Some(goid) = todo.pop_front() {
            for &index in self.hubs_of(goid) {
                if !been.insert(index) {
                    continue;
                }
                for &link in &self.hubs[index].links {
                    if link.to == start {
                        return way_back(start, (goid, link), &came);
                    }
                    if let std::collections::hash_map::Entry::Vacant(place) = came.entry(link.to) {
                        place.insert((goid, link));
                        todo.push_back(link.to);
                    }
                }
            }
        }
        None
    }

    /// Who waits, directly or through others, for some of `members` and for nobody else, and is none of them. Whoever has
    /// another one who may come is not stuck behind these.
    #[must_use]
    pub fn behind(&self, members: &BTreeSet<Goid>) -> BTreeSet<Goid> {
        let mut behind = BTreeSet::new();
        // How many are left that may come: of those at a hub, and of the hubs of a goroutine.
        let (mut at_hub, mut of_goroutine) = (HashMap::new(), HashMap::new());
        let mut todo: Vec<Goid> = members.iter().copied().collect();
        while let Some(stuck) = todo.pop() {
            for &index in self.serves.get(&stuck).into_iter().flatten() {
                let hub = &self.hubs[index];
                let left = at_hub.entry(index).or_insert(hub.links.len());
                *left -= 1;
                if *left > 0 {
                    continue;
                }
                for waiter in hub.waiters.iter().filter(|waiter| !members.contains(waiter)) {
                    let left = of_goroutine.entry(*waiter).or_insert(self.hubs_of(*waiter).len());
                    *left -= 1;
                    if *left == 0 && behind.insert(*waiter) {
                        todo.push(*waiter);
                    }
                }
            }
        }
        behind
    }
}

/// The steps by which `last` was come to, from `start` on.
fn way_back(
    start: Goid,
    last: (Goid, Link),
    came: &HashMap<Goid, (Goid, Link)>,
) -> Option<Vec<(Goid, Link)>> {
    let mut way = vec![last];
    let mut at = last.0;
    while at != start {
        let &(before, link) = came.get(&at)?;
        way.push((before, link));
        at = before;
    }
    way.reverse();
    Some(way)
}

fn waits_for(goroutine: &Goroutine, object: Object) -> bool {
    let on = goroutine.wait.iter().flat_map(|wait| &wait.on);
    on.filter_map(Object::of).any(|own| own == object)
}

/// Who could end waits for what is no lock, by address.
#[derive(Debug, Default)]
pub(super) struct Served<'p> {
    /// Whom nobody can wake, and who leads there.
    reach: HashMap<RuntimeAddr, Vec<&'p Goroutine>>,
    /// Who alone is seen to lead there, although others may come through a package variable.
    seen: HashMap<RuntimeAddr, Vec<Goid>>,
}

impl<'p> Served<'p> {
    pub(super) fn take(&mut self, goroutine: &'p Goroutine, is_stranded: bool) {
        for address in &goroutine.serves {
            self.seen.entry(*address).or_default().push(goroutine.goid);
        }
        let leads_to =
            goroutine.wait.iter().filter(|_| is_stranded).filter_map(|wait| wait.unreachable.as_ref());
        for address in leads_to.flat_map(|one| &one.leads_to) {
            self.reach.entry(*address).or_default().push(goroutine);
        }
    }
}
