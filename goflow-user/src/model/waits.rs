//! The wait-for graph: who waits for what, and who could end the wait.

use super::process::Process;
use crate::binary::addr::RuntimeAddr;
use crate::target::id::{ChanAddr, Goid, SyncPrimitive};
use crate::target::snapshot::{Blocked, BlockedOn, Direction};
use std::collections::BTreeMap;

/// What goroutines meet at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Object {
    /// A channel.
    Channel(ChanAddr),
    /// A sync object.
    Sync(SyncPrimitive, RuntimeAddr),
}

impl Object {
    /// What a goroutine is blocked on, where other goroutines could end that.
    #[must_use]
    pub fn of(blocked: &Blocked) -> Option<Self> {
        let address = blocked.address?;
        match blocked.on {
            BlockedOn::Channel => Some(Self::Channel(ChanAddr(address.0))),
            BlockedOn::Sync(kind) => Some(Self::Sync(kind, address)),
            BlockedOn::Timer | BlockedOn::Descriptor(_) => None,
        }
    }

    /// Where it is.
    #[must_use]
    pub fn address(self) -> RuntimeAddr {
        match self {
            Self::Channel(ChanAddr(address)) => RuntimeAddr(address),
            Self::Sync(_, address) => address,
        }
    }
}

/// A goroutine waits for an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Edge {
    /// The goroutine.
    pub goid: Goid,
    /// What it wants of it.
    pub direction: Option<Direction>,
}

/// Who waits for what in one process, at the moment it was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WaitGraph {
    /// By object, who waits for it, by goid. A goroutine in a `select` stands at each of its channels.
    pub waiters: BTreeMap<Object, Vec<Edge>>,
    /// By channel, the live goroutines that have used its other side so far, so might end the wait. Absence proves
    /// nothing: a goroutine that holds the channel and has not used it yet is not seen.
    pub users: BTreeMap<Object, Vec<Edge>>,
}

impl WaitGraph {
    /// The graph of `process`. Goroutines whose state is not certain are left out.
    #[must_use]
    pub fn of(process: &Process) -> Self {
        let mut graph = Self::default();
        for goroutine in process.goroutines().filter(|goroutine| process.is_certain(goroutine)) {
            for blocked in goroutine.wait.iter().flat_map(|wait| &wait.on) {
                if let Some(object) = Object::of(blocked) {
                    let edge = Edge { goid: goroutine.goid, direction: blocked.direction };
                    graph.waiters.entry(object).or_default().push(edge);
                }
            }
        }
        for edges in graph.waiters.values_mut() {
            edges.sort_unstable();
            edges.dedup();
        }
        for object in graph.waiters.keys() {
            if let Object::Channel(address) = object {
                graph.users.insert(*object, users(process, *address));
            }
        }
        graph
    }
}

fn users(process: &Process, address: ChanAddr) -> Vec<Edge> {
    let Some(channel) = process.channel(address) else { return Vec::new() };
    let lives = |goid: &Goid| process.goroutine(*goid).is_some_and(super::Goroutine::is_live);
    let side = |users: &[(Goid, u64)], direction| -> Vec<Edge> {
        let of_side = users.iter().filter(|(goid, _)| lives(goid));
        of_side.map(|(goid, _)| Edge { goid: *goid, direction: Some(direction) }).collect()
    };
    let mut edges = side(&channel.sends.users, Direction::Send);
    edges.extend(side(&channel.receives.users, Direction::Receive));
    edges.sort_unstable();
    edges
}
