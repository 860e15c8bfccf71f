//! The channels and sync objects of a snapshot, from the goroutines that wait for them.
//!
//! In: the goroutines that are part of the snapshot. Out: each object once, with who waits in the order in which they will
//! be served, and the timers behind channels.

use super::{Reader, Session, SnapshotError};
use crate::binary::addr::RuntimeAddr;
use crate::binary::read::u64_at;
use crate::target::id::{ChanAddr, Goid, MonotonicNs, SyncPrimitive};
use crate::target::memory::{Memory, read_each};
use crate::target::snapshot::room;
use crate::target::snapshot::waits::Own;
use crate::target::snapshot::{
    BlockedOn, ChanTimer, Channel, Direction, Entity, Few, Snapshot, SyncObject, SyncWaiter, Unknown, Waiter,
};
use std::collections::BTreeMap;

impl Reader<'_> {
    /// The channels that goroutines of the snapshot stand at.
    pub(super) fn channels(
        &self,
        session: &Session<'_>,
        snapshot: &mut Snapshot,
    ) -> Result<(), SnapshotError> {
        let mut timers: Vec<(usize, u64)> = Vec::new();
        room::reserve(&mut snapshot.channels, session.waits.channels_of_first());
        session.waits.each_channel(|address, hchan, group| {
            let what = Entity::Channel(ChanAddr(address));
            let Some(hchan) = hchan else {
                let why = "it is not mapped, or what is there is no channel".to_owned();
                snapshot.unknown.push(Unknown { what, why });
                return;
            };
            if group.iter().any(|own| own.side.is_none()) {
                let why = "a goroutine waits on it that is in neither of its queues".to_owned();
                snapshot.unknown.push(Unknown { what, why });
            }
            if hchan.timer != 0 {
                timers.push((snapshot.channels.len(), hchan.timer));
            }
            group.sort_by_key(|own| (own.place, own.goid));
            snapshot.channels.push(Channel {
                address: ChanAddr(address),
                len: hchan.len,
                cap: hchan.cap,
                elem_size: hchan.elem_size,
                elem_type: (hchan.elem_type != 0).then_some(RuntimeAddr(hchan.elem_type)),
                closed: hchan.closed != 0,
                sendx: hchan.sendx,
                recvx: hchan.recvx,
                senders: side(group, Direction::Send),
                receivers: side(group, Direction::Receive),
                timer: None,
            });
        });
        self.timers(session.memory, snapshot, &timers)
    }

    /// The timers behind channels.
    fn timers(
        &self,
        memory: &dyn Memory,
        snapshot: &mut Snapshot,
        timers: &[(usize, u64)],
    ) -> Result<(), SnapshotError> {
        let addresses: Vec<u64> = timers.iter().map(|&(_, address)| address).collect();
        let layout = self.offsets.timer;
        read_each(memory, &addresses, layout.size as usize, |index, bytes| {
            let Some(bytes) = bytes else { return };
            let word = |offset: u32| u64_at(bytes, offset as usize).unwrap_or(0);
            // The runtime sets it to 0 when the timer is stopped or has fired.
            let when = word(layout.when);
            let period = word(layout.period);
            snapshot.channels[timers[index].0].timer = Some(ChanTimer {
                address: RuntimeAddr(addresses[index]),
                when: (when != 0).then_some(MonotonicNs(when)),
                period_ns: (period != 0).then_some(period),
            });
        })?;
        Ok(())
    }
}

/// The waiters of one direction, of all in the order of the queue.
fn side(group: &[&Own], direction: Direction) -> Few<Waiter> {
    let of_side = group.iter().filter(|own| own.side == Some(direction));
    of_side.map(|own| Waiter { goid: Goid(own.goid), select: own.select }).collect()
}

/// Sync objects, from what the goroutines wait for.
pub(super) fn sync_objects(session: &Session<'_>, snapshot: &mut Snapshot) {
    if !session.has_sync {
        return;
    }
    let mut objects: BTreeMap<(SyncPrimitive, RuntimeAddr), Vec<(u32, SyncWaiter)>> = BTreeMap::new();
    for goroutine in &snapshot.goroutines {
        for blocked in &goroutine.blocked_on {
            let (BlockedOn::Sync(kind), Some(address)) = (blocked.on, blocked.address) else { continue };
            let place = session.places.get(&goroutine.addr.0).copied().unwrap_or(u32::MAX);
            let waiter = SyncWaiter { goid: goroutine.goid, direction: blocked.direction };
            objects.entry((kind, address)).or_default().push((place, waiter));
        }
    }
    for ((kind, address), mut waiters) in objects {
        waiters.sort_by_key(|(place, waiter)| (*place, waiter.goid));
        let waiters = waiters.into_iter().map(|(_, waiter)| waiter).collect();
        snapshot.sync.push(SyncObject { kind, address, waiters });
    }
}
