//! One record of the ring buffer becomes one [`Event`].
//!
//! In: bytes, from the kernel or from a file, trusted for nothing; out: a typed event and the address of the probed
//! instruction. It refuses unknown probes and wrong lengths, and allocates only by counts that it has compared with
//! the record's real length.

use super::event::{
    ChanAddr, ChanOp, EndedPark, Event, EventKind, Goid, GroupState, MonotonicNs, Pid, SyncPrimitive, Tid,
    WaitReason,
};
use crate::binary::addr::RuntimeAddr;
use bytemuck::{Pod, bytes_of_mut};
use goflow_common::event::{FLAG_NONBLOCKING, FLAG_UNREADABLE, GOID_UNKNOWN, Header};
use goflow_common::event::{channel, goroutine, park, select, sync};
use goflow_common::probe::ProbeId;
use goflow_common::{MAX_SELECT_CASES, MAX_STACK_DEPTH};
use thiserror::Error;

/// Why bytes are not a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// Shorter than a header.
    #[error("a record of {0} bytes is shorter than a record header")]
    NoHeader(usize),
    /// A probe number that this version does not know.
    #[error("a record names probe {0}, which this version does not know")]
    UnknownProbe(u32),
    /// The length is not that of the probe's record.
    #[error("a record of {probe:?} has {found} bytes instead of {expected}")]
    Length {
        /// The probe it names.
        probe: ProbeId,
        /// Its length in bytes.
        found: usize,
        /// The length such a record has.
        expected: usize,
    },
    /// A wait reason is a byte.
    #[error("a record of {probe:?} has wait reason {found}, which is no byte")]
    WaitReason {
        /// The probe it names.
        probe: ProbeId,
        /// What it has.
        found: u32,
    },
    /// The stack or case count is above what a record can hold.
    #[error("a record of {probe:?} claims {count} entries")]
    Count {
        /// The probe it names.
        probe: ProbeId,
        /// The count it claims.
        count: u64,
    },
}

/// A decoded record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decoded {
    /// The event.
    pub event: Event,
    /// Which probe was hit.
    pub probe: ProbeId,
    /// Where the probed instruction is in the process, which tells where its binary is loaded.
    pub ip: RuntimeAddr,
}

/// Decodes one record.
///
/// # Errors
/// See [`DecodeError`].
pub fn decode(bytes: &[u8]) -> Result<Decoded, DecodeError> {
    let header: Header = prefix(bytes).ok_or(DecodeError::NoHeader(bytes.len()))?;
    let probe = known_probe(header.probe)?;
    let record = Record { bytes, probe, header };
    let kind = match probe {
        ProbeId::Newproc1 => record.goroutine_create()?,
        ProbeId::Goexit0 => record.goroutine_exit()?,
        ProbeId::Gopark => record.park()?,
        ProbeId::Ready | ProbeId::NetpollReady => record.ready()?,
        ProbeId::Makechan => record.chan_make()?,
        ProbeId::Chansend => EventKind::ChanSend(record.chan_op()?),
        ProbeId::Chanrecv => EventKind::ChanRecv(record.chan_op()?),
        ProbeId::Closechan => EventKind::ChanClose(record.chan_op()?),
        ProbeId::Selectgo => record.select()?,
        ProbeId::Semacquire1 => record.sync_wait(SyncPrimitive::Semaphore)?,
        ProbeId::MutexLockSlow => record.sync_wait(SyncPrimitive::Mutex)?,
        ProbeId::RwMutexLock => record.sync_wait(SyncPrimitive::RwMutex)?,
        ProbeId::WaitGroupWait => record.sync_wait(SyncPrimitive::WaitGroup)?,
        ProbeId::NotifyListWait => record.sync_wait(SyncPrimitive::Cond)?,
        ProbeId::WaitGroupAdd => record.waitgroup_add()?,
    };
    let event = Event {
        t: MonotonicNs(header.t_ns),
        pid: Pid(header.pid),
        tid: Tid(header.tid),
        goid: known_goid(header.goid),
        kind,
    };
    Ok(Decoded { event, probe, ip: RuntimeAddr(header.ip) })
}

struct Record<'a> {
    bytes: &'a [u8],
    probe: ProbeId,
    header: Header,
}

impl Record<'_> {
    /// The whole record as its type, if the length is exactly right.
    fn whole<T: Pod>(&self) -> Result<T, DecodeError> {
        if self.bytes.len() != size_of::<T>() {
            return Err(self.wrong_length(size_of::<T>()));
        }
        prefix(self.bytes).ok_or_else(|| self.wrong_length(size_of::<T>()))
    }

    fn wrong_length(&self, expected: usize) -> DecodeError {
        DecodeError::Length { probe: self.probe, found: self.bytes.len(), expected }
    }

    fn reason(&self, raw: u32) -> Result<WaitReason, DecodeError> {
        u8::try_from(raw)
            .map(WaitReason)
            .map_err(|_| DecodeError::WaitReason { probe: self.probe, found: raw })
    }

    fn readable(&self) -> bool {
        self.header.flags & FLAG_UNREADABLE == 0
    }

    fn blocking(&self) -> bool {
        self.header.flags & FLAG_NONBLOCKING == 0
    }

    fn goroutine_create(&self) -> Result<EventKind, DecodeError> {
        let record: goroutine::GoroutineCreate = self.whole()?;
        Ok(EventKind::GoroutineCreate {
            child: known_goid(record.child),
            created_at: address(record.created_pc),
            start: address(record.start_pc),
        })
    }

    fn goroutine_exit(&self) -> Result<EventKind, DecodeError> {
        let _: goroutine::GoroutineExit = self.whole()?;
        Ok(EventKind::GoroutineExit)
    }

    fn park(&self) -> Result<EventKind, DecodeError> {
        let fixed: park::Park =
            prefix(self.bytes).ok_or_else(|| self.wrong_length(size_of::<park::Park>()))?;
        let slots = [0, park::SHORT_STACK, MAX_STACK_DEPTH];
        Ok(EventKind::Park {
            reason: self.reason(fixed.wait_reason)?,
            lock: address(fixed.lock),
            stack: self.stack(size_of::<park::Park>(), fixed.depth, &slots)?,
        })
    }

    /// The stack behind the fixed part of a record, which has room for one of `slots` frames.
    fn stack(&self, fixed: usize, depth: u32, slots: &[usize]) -> Result<Box<[RuntimeAddr]>, DecodeError> {
        let stack = self.bytes.get(fixed..).unwrap_or_default();
        let room = stack.len() / 8;
        if !stack.len().is_multiple_of(8) || !slots.contains(&room) {
            return Err(self.wrong_length(fixed + park::SHORT_STACK * 8));
        }
        let depth = depth as usize;
        if depth > room {
            return Err(DecodeError::Count { probe: self.probe, count: depth as u64 });
        }
        let word = |bytes: &[u8]| prefix(bytes).map_or(0, |pc: u64| pc);
        Ok(stack.chunks_exact(8).take(depth).map(word).map(RuntimeAddr).collect())
    }

    fn ready(&self) -> Result<EventKind, DecodeError> {
        if self.bytes.len() <= size_of::<park::Ready>() {
            let record: park::Ready = self.whole()?;
            return Ok(EventKind::Ready { target: known_goid(record.target), ended: None });
        }
        let fixed: park::ParkThatEnded =
            prefix(self.bytes).ok_or_else(|| self.wrong_length(size_of::<park::Ready>()))?;
        let slots = [park::SHORT_STACK, MAX_STACK_DEPTH];
        let ended = EndedPark {
            since: MonotonicNs(fixed.parked_ns),
            reason: self.reason(fixed.wait_reason)?,
            lock: address(fixed.lock),
            stack: self.stack(size_of::<park::ParkThatEnded>(), fixed.depth, &slots)?,
        };
        Ok(EventKind::Ready { target: known_goid(fixed.ready.target), ended: Some(Box::new(ended)) })
    }

    fn chan_make(&self) -> Result<EventKind, DecodeError> {
        let record: channel::ChanMake = self.whole()?;
        let readable = self.readable();
        Ok(EventKind::ChanMake {
            chan: channel_at(record.chan),
            cap: readable.then_some(record.cap),
            elem_size: readable.then_some(record.elem_size),
            elem_type: address(record.elem_type),
            site: address(record.site_pc),
        })
    }

    fn chan_op(&self) -> Result<ChanOp, DecodeError> {
        let record: channel::ChanOp = self.whole()?;
        Ok(ChanOp { chan: channel_at(record.chan), blocking: self.blocking(), site: address(record.site_pc) })
    }

    fn select(&self) -> Result<EventKind, DecodeError> {
        let record: select::Select = self.whole()?;
        // A select statement cannot have more (cmd/compile refuses above 65536 cases).
        const MOST: u64 = 1 << 16;
        let cases = u64::from(record.sends) + u64::from(record.receives);
        if cases > MOST {
            return Err(DecodeError::Count { probe: self.probe, count: cases });
        }
        let shown = (cases as usize).min(MAX_SELECT_CASES);
        Ok(EventKind::Select {
            sends: record.sends,
            receives: record.receives,
            blocking: self.blocking(),
            chans: self.readable().then(|| record.chans[..shown].iter().copied().map(channel_at).collect()),
            site: address(record.site_pc),
        })
    }

    fn sync_wait(&self, primitive: SyncPrimitive) -> Result<EventKind, DecodeError> {
        let record: sync::SyncWait = self.whole()?;
        Ok(EventKind::SyncWait {
            primitive,
            addr: RuntimeAddr(record.addr),
            reason: if record.has_reason == 1 { Some(self.reason(record.wait_reason)?) } else { None },
            site: address(record.site_pc),
        })
    }

    fn waitgroup_add(&self) -> Result<EventKind, DecodeError> {
        let record: sync::WaitGroupAdd = self.whole()?;
        // sync/waitgroup.go: the counter is the upper half; bit 31 is a flag from Go 1.25 on, and 0 before.
        let state =
            GroupState { counter: (record.state >> 32) as i32, waiters: record.state as u32 & 0x7fff_ffff };
        Ok(EventKind::WaitGroupAdd {
            addr: RuntimeAddr(record.addr),
            delta: record.delta,
            state: (record.has_state == 1).then_some(state),
            site: address(record.site_pc),
        })
    }
}

/// Copies a value out of the start of `bytes`; the ring buffer only guarantees eight-byte alignment, a file none.
fn prefix<T: Pod>(bytes: &[u8]) -> Option<T> {
    let mut value = T::zeroed();
    bytes_of_mut(&mut value).copy_from_slice(bytes.get(..size_of::<T>())?);
    Some(value)
}

fn known_probe(raw: u32) -> Result<ProbeId, DecodeError> {
    ProbeId::from_raw(raw).ok_or(DecodeError::UnknownProbe(raw))
}

fn known_goid(raw: u64) -> Option<Goid> {
    (raw != GOID_UNKNOWN).then_some(Goid(raw))
}

fn address(raw: u64) -> Option<RuntimeAddr> {
    (raw != 0).then_some(RuntimeAddr(raw))
}

fn channel_at(raw: u64) -> Option<ChanAddr> {
    (raw != 0).then_some(ChanAddr(raw))
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytemuck::bytes_of;
    use proptest::prelude::*;

    fn header(probe: ProbeId, flags: u32) -> Header {
        Header { t_ns: 7, goid: 18, ip: 0x401000, pid: 3, tid: 4, probe: probe as u32, flags }
    }

    fn chan_op(flags: u32, chan: u64) -> channel::ChanOp {
        channel::ChanOp { header: header(ProbeId::Chansend, flags), chan, site_pc: 0x500 }
    }

    fn kind(bytes: &[u8]) -> EventKind {
        decode(bytes).unwrap().event.kind
    }

    #[test]
    fn a_send_keeps_its_channel_and_its_site() {
        let decoded = decode(bytes_of(&chan_op(0, 0xc000))).unwrap();
        assert_eq!(decoded.ip, RuntimeAddr(0x401000));
        assert_eq!(decoded.event.goid, Some(Goid(18)));
        let expected =
            ChanOp { chan: Some(ChanAddr(0xc000)), blocking: true, site: Some(RuntimeAddr(0x500)) };
        assert_eq!(decoded.event.kind, EventKind::ChanSend(expected));
    }

    #[test]
    fn an_operation_on_a_nil_channel_has_no_channel() {
        let nil = kind(bytes_of(&chan_op(FLAG_NONBLOCKING, 0)));
        assert!(matches!(nil, EventKind::ChanSend(ChanOp { chan: None, blocking: false, .. })));
    }

    fn wake_up_with_park(depth: u32, slots: usize) -> Vec<u8> {
        let ready = park::Ready { header: header(ProbeId::Ready, 0), target: 9 };
        let fixed = park::ParkThatEnded { ready, parked_ns: 5, lock: 0xc058, wait_reason: 14, depth };
        let stack: Vec<u64> = (0x11..).take(slots).collect();
        [bytes_of(&fixed), bytemuck::cast_slice(&stack)].concat()
    }

    #[test]
    fn a_wake_up_may_have_the_park_that_it_ends() {
        for slots in [park::SHORT_STACK, MAX_STACK_DEPTH] {
            let EventKind::Ready { target, ended: Some(ended) } = kind(&wake_up_with_park(2, slots)) else {
                panic!("no park");
            };
            let stack = [RuntimeAddr(0x11), RuntimeAddr(0x12)].into();
            let lock = Some(RuntimeAddr(0xc058));
            let expected = EndedPark { since: MonotonicNs(5), reason: WaitReason(14), lock, stack };
            assert_eq!((target, *ended), (Some(Goid(9)), expected));
        }
        assert!(decode(&wake_up_with_park(9, park::SHORT_STACK)).is_err());
        assert!(decode(&wake_up_with_park(0, 0)).is_err());
        assert!(decode(&wake_up_with_park(0, 9)).is_err());
    }

    fn park(depth: u32, slots: usize) -> Vec<u8> {
        let fixed = park::Park { header: header(ProbeId::Gopark, 0), lock: 0xc058, wait_reason: 14, depth };
        let stack: Vec<u64> = (0x11..).take(slots).collect();
        [bytes_of(&fixed), bytemuck::cast_slice(&stack)].concat()
    }

    #[test]
    fn a_park_has_as_many_frames_as_it_says_and_not_as_many_as_fit() {
        for (depth, slots) in [(0, 0), (2, park::SHORT_STACK), (8, 8), (31, MAX_STACK_DEPTH)] {
            let stack = (0x11..).take(depth).map(RuntimeAddr).collect();
            let expected = EventKind::Park { reason: WaitReason(14), lock: Some(RuntimeAddr(0xc058)), stack };
            assert_eq!(kind(&park(depth as u32, slots)), expected);
        }
    }

    #[test]
    fn a_park_of_a_length_that_no_program_sends_is_refused() {
        for slots in [1, 7, 9, 33] {
            assert!(matches!(decode(&park(1, slots)), Err(DecodeError::Length { .. })), "{slots} slots");
        }
    }

    #[test]
    fn a_park_that_claims_more_frames_than_it_carries_is_refused() {
        let error = DecodeError::Count { probe: ProbeId::Gopark, count: 9 };
        assert_eq!(decode(&park(9, park::SHORT_STACK)), Err(error));
    }

    #[test]
    fn a_wait_group_has_its_state_where_that_was_read_without_the_flag_between_its_halves() {
        let add = |state, has_state| sync::WaitGroupAdd {
            header: header(ProbeId::WaitGroupAdd, 0),
            addr: 0xc000,
            delta: -1,
            state,
            site_pc: 0x500,
            has_state,
        };
        for (record, expected) in [
            (add(0xffff_fffe_8000_0003, 1), Some(GroupState { counter: -2, waiters: 3 })),
            (add(0, 1), Some(GroupState { counter: 0, waiters: 0 })),
            (add(0, 0), None),
        ] {
            let EventKind::WaitGroupAdd { addr, delta, state, site } = kind(bytes_of(&record)) else {
                panic!("no count");
            };
            assert_eq!((addr, delta, site), (RuntimeAddr(0xc000), -1, Some(RuntimeAddr(0x500))));
            assert_eq!(state, expected);
        }
    }

    #[test]
    fn a_wait_reason_that_is_no_byte_is_refused() {
        let mut bytes = park(0, 0);
        bytes[48] = 0xff;
        bytes[49] = 1;
        let error = DecodeError::WaitReason { probe: ProbeId::Gopark, found: 0x1ff };
        assert_eq!(decode(&bytes), Err(error));
    }

    #[test]
    fn a_select_that_claims_absurdly_many_cases_is_refused() {
        let record = select::Select {
            header: header(ProbeId::Selectgo, 0),
            sends: u32::MAX,
            receives: u32::MAX,
            ..select::Select::default()
        };
        assert!(matches!(decode(bytes_of(&record)), Err(DecodeError::Count { .. })));
    }

    #[test]
    fn an_unreadable_goid_is_unknown_and_goid_zero_is_the_runtime() {
        let mut record = chan_op(0, 0xc000);
        record.header.goid = GOID_UNKNOWN;
        assert_eq!(decode(bytes_of(&record)).unwrap().event.goid, None);
        record.header.goid = 0;
        assert_eq!(decode(bytes_of(&record)).unwrap().event.goid, Some(Goid(0)));
    }

    #[test]
    fn short_and_unknown_records_are_refused_with_what_was_found() {
        assert_eq!(decode(&[0; 39]), Err(DecodeError::NoHeader(39)));
        let mut header = header(ProbeId::Ready, 0);
        header.probe = 99;
        assert_eq!(decode(bytes_of(&header)), Err(DecodeError::UnknownProbe(99)));
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_decoder_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..400), probe in 0u8..20) {
            if bytes.len() > 32 {
                bytes[32] = probe;
            }
            let _ = decode(&bytes);
        }
    }
}
