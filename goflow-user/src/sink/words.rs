//! The words of the output contract: one name for each kind, place and object, the same in JSON, on screen and in the
//! documentation. In: a typed value; out: a static text.

use goflow_common::probe::ProbeId;
use std::borrow::Cow;

use super::record::ProcessState;
use crate::binary::frame::Frame;
use crate::ingest::event::{EventKind, LossPoint, SyncPrimitive};
use crate::model::{Change, Missing};
use crate::target::snapshot::{Blocked, BlockedOn, Direction};

/// Every event kind, in the order in which counts are shown.
pub const KINDS: [&str; 11] = [
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
    "waitgroup_add",
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
        EventKind::WaitGroupAdd { .. } => 10,
    }
}

/// Position in [`KINDS`] of what two snapshots differ by: it has the name of the event that a probe would have seen.
#[must_use]
pub fn change_index(change: &Change) -> usize {
    match change {
        Change::Created { .. } => 0,
        Change::Exited => 1,
        Change::Parked { .. } => 2,
        Change::Readied => 3,
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

/// The contract's name of what a goroutine waits for, and the number of a file descriptor.
#[must_use]
pub fn blocked_on(on: BlockedOn) -> (&'static str, Option<u32>) {
    match on {
        BlockedOn::Channel => ("channel", None),
        BlockedOn::Sync(kind) => (primitive(kind), None),
        BlockedOn::Timer => ("timer", None),
        BlockedOn::Descriptor(fd) => ("fd", Some(fd)),
    }
}

/// The contract's name of what a goroutine wants of what it waits for.
#[must_use]
pub fn direction(direction: Direction) -> &'static str {
    match direction {
        Direction::Send => "send",
        Direction::Receive => "receive",
        Direction::Read => "read",
        Direction::Write => "write",
    }
}

/// What a goroutine waits for, behind its wait reason on screen.
#[must_use]
pub fn object(blocked: &Blocked) -> String {
    match (blocked_on(blocked.on), blocked.address) {
        ((_, Some(fd)), _) => format!(" of fd {fd}"),
        ((_, None), None) => String::new(),
        ((kind, None), Some(address)) => format!(" ({kind} {address})"),
    }
}

/// Whether a goroutine that was created where `frames` are was made by a `go` statement, of which there is source. The first one
/// was not, nor are some of the runtime's.
#[must_use]
pub fn is_go_statement(frames: &[Frame<'_>]) -> bool {
    frames.is_empty() || !frames.iter().all(Frame::is_generated)
}

/// `noun` for `count` of them: 1 event, 2 events, 2 processes.
#[must_use]
pub fn plural(count: u64, noun: &'static str) -> Cow<'static, str> {
    match count {
        1 => Cow::Borrowed(noun),
        _ if noun.ends_with('s') => Cow::Owned(format!("{noun}es")),
        _ => Cow::Owned(format!("{noun}s")),
    }
}

/// What is missing from the state of a process, in a sentence without a full stop.
#[must_use]
pub fn incomplete(state: &ProcessState) -> Option<String> {
    Some(match (state.overview.missing?, &state.failure) {
        (Missing::NoSnapshot, Some(why)) => format!("there is no snapshot: {why}"),
        (Missing::NoSnapshot, None) => "there is no snapshot yet".to_owned(),
        (Missing::Lost, _) => "events were lost and no snapshot has followed".to_owned(),
        (Missing::Unread(count), _) => {
            format!("{count} {} could not be read in the last snapshot", plural(count, "goroutine"))
        }
        (Missing::Forgotten(count), _) => {
            format!("{count} goroutines, channels or locks had to be forgotten to bound memory")
        }
        (Missing::Unwatched, _) => "probes were out, and no snapshot has followed".to_owned(),
        (Missing::WaitsUnwatched, _) => {
            "the probes that see who parks and who is woken were out in the end: what goroutines do is of the last snapshot"
                .to_owned()
        }
        (Missing::WaitsThinned, _) => {
            "not every park and wake-up is recorded: what goroutines do is of the last snapshot".to_owned()
        }
        (Missing::WaitsUnseen, _) => {
            "this level does not see who parks and who is woken: what goroutines do is of the last snapshot"
                .to_owned()
        }
    })
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
        ProbeId::WaitGroupAdd => "waitgroup_add",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_the_compiler_wrote_is_no_go_statement() {
        let frame =
            |file| Frame { function: "f", file: Some(file), line: Some(1), inlined: false, wrapper: false };
        let (generated, source) = (frame("<autogenerated>"), frame("main.go"));
        assert!(!is_go_statement(&[generated]) && is_go_statement(&[generated, source]));
        assert!(is_go_statement(&[]));
    }

    #[test]
    fn one_is_not_several() {
        let said = |count, noun| format!("{count} {}", plural(count, noun));
        assert_eq!(
            [said(0, "event"), said(1, "event"), said(2, "event")],
            ["0 events", "1 event", "2 events"]
        );
        assert_eq!([said(1, "process"), said(2, "process")], ["1 process", "2 processes"]);
    }
}
