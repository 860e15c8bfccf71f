//! The words of the output contract: one name for each kind, place and object, the same in JSON, on screen and in the
//! documentation. In: a typed value; out: a static text.

use goflow_common::probe::ProbeId;

use crate::ingest::event::{EventKind, LossPoint, SyncPrimitive};

/// Every event kind, in the order in which counts are shown.
pub const KINDS: [&str; 10] = [
    "goroutine_create",
    "goroutine_exit",
    "park",
    "ready",
    "chan_make",
    "chan_send",
    "chan_recv",
    "chan_close",
    "select",
    "sync_wait",
];

/// Position of an event's kind in [`KINDS`], for counting without hashing.
#[must_use]
pub fn kind_index(kind: &EventKind) -> usize {
    match kind {
        EventKind::GoroutineCreate { .. } => 0,
        EventKind::GoroutineExit => 1,
        EventKind::Park { .. } => 2,
        EventKind::Ready { .. } => 3,
        EventKind::ChanMake { .. } => 4,
        EventKind::ChanSend(_) => 5,
        EventKind::ChanRecv(_) => 6,
        EventKind::ChanClose(_) => 7,
        EventKind::Select { .. } => 8,
        EventKind::SyncWait { .. } => 9,
    }
}

/// The contract's name of an event's kind.
#[must_use]
pub fn kind(kind: &EventKind) -> &'static str {
    KINDS[kind_index(kind)]
}

/// The contract's name of a place where events are lost.
#[must_use]
pub fn loss_point(at: LossPoint) -> &'static str {
    match at {
        LossPoint::Ring => "ring",
        LossPoint::Sink => "sink",
        LossPoint::Decode => "decode",
    }
}

/// The contract's name of a kind of sync object.
#[must_use]
pub fn primitive(primitive: SyncPrimitive) -> &'static str {
    match primitive {
        SyncPrimitive::Semaphore => "semaphore",
        SyncPrimitive::Mutex => "mutex",
        SyncPrimitive::RwMutex => "rwmutex",
        SyncPrimitive::WaitGroup => "waitgroup",
        SyncPrimitive::Cond => "cond",
    }
}

/// The contract's name of a probe. It stays the same where Go moves or renames the function.
#[must_use]
pub fn probe(probe: ProbeId) -> &'static str {
    match probe {
        ProbeId::Newproc1 => "newproc1",
        ProbeId::Goexit0 => "goexit0",
        ProbeId::Gopark => "gopark",
        ProbeId::Ready => "ready",
        ProbeId::Makechan => "makechan",
        ProbeId::Chansend => "chansend",
        ProbeId::Chanrecv => "chanrecv",
        ProbeId::Closechan => "closechan",
        ProbeId::Selectgo => "selectgo",
        ProbeId::Semacquire1 => "semacquire1",
        ProbeId::MutexLockSlow => "mutex_lock_slow",
        ProbeId::RwMutexLock => "rwmutex_lock",
        ProbeId::WaitGroupWait => "waitgroup_wait",
        ProbeId::NotifyListWait => "notify_list_wait",
        ProbeId::NetpollReady => "netpollready",
    }
}
