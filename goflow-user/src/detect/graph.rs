//! The wait-for graph as detectors see it: who waits for whom, through what, and why that is believed.
//!
//! In: the model. Out: links from each waiting goroutine to those that could end its wait, and the cycles among them. A lock
//! is given back by who holds it; a channel, a wait group or a condition is served by whoever has it, so of those only the
//! goroutines count that nobody can wake either: any other would come.

use crate::model::{Goroutine, Object, Process, State};
use crate::target::id::{Goid, SyncPrimitive};
use crate::target::reach::Hold;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

/// How many looks have to find the same.
pub(super) const LOOKS: u32 = 2;

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
#[derive(Clone, Debug, Default)]
pub struct Graph {
    links: BTreeMap<Goid, Vec<Link>>,
}

impl Graph {
    /// The graph of `process`.
    #[must_use]
    pub fn of(process: &Process) -> Self {
        let served = Served::of(process);
        let mut links: BTreeMap<Goid, Vec<Link>> = BTreeMap::new();
        for goroutine in process.goroutines().filter(|goroutine| goroutine.state == State::Waiting) {
            let found: Vec<Link> =
                objects(goroutine).into_iter().flat_map(|object| served.links(goroutine, object)).collect();
            if !found.is_empty() {
                links.insert(goroutine.goid, found);
            }
        }
        Self { links }
    }

    /// Whom a goroutine waits for.
    #[must_use]
    pub fn links(&self, goid: Goid) -> &[Link] {
        self.links.get(&goid).map_or(&[], Vec::as_slice)
    }

    /// A shortest cycle of each set of goroutines that all wait for each other: each waits for the next, the last for the first.
    #[must_use]
    pub fn cycles(&self) -> Vec<Vec<(Goid, Link)>> {
        let mut told = BTreeSet::new();
        let mut cycles = Vec::new();
        for &goid in self.links.keys() {
            if told.contains(&goid) {
                continue;
            }
            if let Some(cycle) = self.cycle_through(goid) {
                // Others of the same knot are told by whoever waits for it.
                told.extend(cycle.iter().map(|(goid, _)| *goid));
                cycles.push(cycle);
            }
        }
        cycles
    }

    /// The shortest way from a goroutine back to itself.
    fn cycle_through(&self, start: Goid) -> Option<Vec<(Goid, Link)>> {
        let mut came: HashMap<Goid, (Goid, Link)> = HashMap::new();
        let mut todo = VecDeque::from([start]);
        while let Some(goid) = todo.pop_front() {
            for &link in self.links(goid) {
                if link.to == start {
                    let mut way = vec![(goid, link)];
                    let mut at = goid;
                    while at != start {
                        let &(before, link) = came.get(&at)?;
                        way.push((before, link));
                        at = before;
                    }
                    way.reverse();
                    return Some(way);
                }
                if let std::collections::hash_map::Entry::Vacant(place) = came.entry(link.to) {
                    place.insert((goid, link));
                    todo.push_back(link.to);
                }
            }
        }
        None
    }

    /// Who waits, directly or through others, for one of `members`, and is none of them.
    #[must_use]
    pub fn behind(&self, members: &BTreeSet<Goid>) -> BTreeSet<Goid> {
        let mut behind = BTreeSet::new();
        loop {
            let waits = |links: &[Link]| {
                // Whoever has another one who may come is not stuck behind these.
                !links.is_empty()
                    && links.iter().all(|link| members.contains(&link.to) || behind.contains(&link.to))
            };
            let more: Vec<Goid> = self
                .links
                .iter()
                .filter(|(goid, links)| !members.contains(goid) && !behind.contains(*goid) && waits(links))
                .map(|(goid, _)| *goid)
                .collect();
            if more.is_empty() {
                return behind;
            }
            behind.extend(more);
        }
    }
}

/// What a goroutine waits for.
pub(super) fn objects(goroutine: &Goroutine) -> Vec<Object> {
    let on = goroutine.wait.iter().flat_map(|wait| &wait.on);
    let mut objects: Vec<Object> = on.filter_map(Object::of).collect();
    objects.sort_unstable();
    objects.dedup();
    objects
}

/// Whether the looks agree that nobody can wake it.
pub(super) fn is_stranded(goroutine: &Goroutine) -> bool {
    let unreachable = goroutine.wait.as_ref().and_then(|wait| wait.unreachable.as_ref());
    unreachable.is_some_and(|one| one.looks >= LOOKS || one.is_proven)
}

/// Who could end waits, by address.
#[derive(Default)]
struct Served {
    holders: HashMap<u64, Vec<Hold>>,
    /// Stranded goroutines that lead there, with what they wait for themselves.
    reach: HashMap<u64, Vec<(Goid, Vec<Object>)>>,
    /// Who alone is seen to lead there, although others may come through a package variable.
    seen: HashMap<u64, Vec<Goid>>,
}

impl Served {
    fn of(process: &Process) -> Self {
        let mut served = Self::default();
        for goroutine in process.goroutines() {
            for hold in &goroutine.holds {
                served.holders.entry(hold.address.0).or_default().push(*hold);
            }
            for address in &goroutine.serves {
                served.seen.entry(address.0).or_default().push(goroutine.goid);
            }
            if is_stranded(goroutine) {
                let own = objects(goroutine);
                let leads_to = goroutine.wait.iter().filter_map(|wait| wait.unreachable.as_ref());
                for address in leads_to.flat_map(|one| &one.leads_to) {
                    served.reach.entry(address.0).or_default().push((goroutine.goid, own.clone()));
                }
            }
        }
        served
    }

    /// Those through which `goroutine` waits for others at `object`.
    fn links(&self, goroutine: &Goroutine, object: Object) -> Vec<Link> {
        let address = match object {
            Object::Channel(chan) => chan.0,
            Object::Sync(_, address) => address.0,
        };
        if let Object::Sync(SyncPrimitive::Mutex | SyncPrimitive::RwMutex, _) = object {
            let holders = self.holders.get(&address).map_or(&[][..], Vec::as_slice);
            return holders.iter().map(|hold| Link { object, to: hold.goid, hold: Some(*hold) }).collect();
        }
        if !is_stranded(goroutine) {
            let seen = self.seen.get(&address).map_or(&[][..], Vec::as_slice);
            return seen.iter().map(|goid| Link { object, to: *goid, hold: None }).collect();
        }
        let reach = self.reach.get(&address).map_or(&[][..], Vec::as_slice);
        // Who waits for the same thing, alone or beside others, wants of it what this one wants, or they would have met.
        let others = reach.iter().filter(|(goid, own)| *goid != goroutine.goid && !own.contains(&object));
        others.map(|(goid, _)| Link { object, to: *goid, hold: None }).collect()
    }
}
