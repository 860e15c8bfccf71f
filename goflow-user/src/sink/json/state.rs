//! What the `summary` line tells of the state of processes: few objects, so serde writes them. The structs are the schema.

use crate::binary::addr::RuntimeAddr;
use crate::ingest::event::{Pid, WaitReason};
use crate::model::LongWait;
use crate::sink::record::{Frame, Names, ProcessState, Summary};
use crate::sink::words;
use crate::target::snapshot::Blocked;
use serde::ser::{Serialize, Serializer};

#[derive(serde::Serialize)]
pub(super) struct StateObject<'a> {
    pid: u32,
    t_ns: u64,
    complete: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    incomplete_because: Option<String>,
    snapshot_ns: Option<u64>,
    snapshots: u64,
    snapshots_ns: u64,
    goroutines: u64,
    system: u64,
    states: States,
    wait_reasons: Vec<ReasonCount<'a>>,
    longest_waits: Vec<WaitObject<'a>>,
    channels: u64,
}

#[derive(serde::Serialize)]
struct States {
    awake: u64,
    syscall: u64,
    waiting: u64,
    unknown: u64,
}

/// A wait reason: its text, else its number; both are `None` where it is not known.
#[derive(serde::Serialize)]
struct Reason<'a> {
    wait_reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    wait_reason_number: Option<u8>,
}

#[derive(serde::Serialize)]
struct ReasonCount<'a> {
    #[serde(flatten)]
    reason: Reason<'a>,
    count: u64,
}

#[derive(serde::Serialize)]
struct WaitObject<'a> {
    goid: u64,
    since_ns: u64,
    exact: bool,
    #[serde(flatten)]
    reason: Reason<'a>,
    blocked_on: Vec<BlockedObject>,
    created_at: Option<Position<'a>>,
}

/// One thing that a goroutine waits for.
#[derive(serde::Serialize)]
pub(in crate::sink) struct BlockedObject {
    kind: &'static str,
    address: Option<Hex>,
    direction: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fd: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    until_ns: Option<u64>,
}

/// An address as text, as everywhere in goflow's JSON.
pub(in crate::sink) struct Hex(pub(in crate::sink) u64);

impl Serialize for Hex {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:#x}", self.0))
    }
}

impl From<RuntimeAddr> for Hex {
    fn from(address: RuntimeAddr) -> Self {
        Self(address.0)
    }
}

impl From<&Blocked> for BlockedObject {
    fn from(blocked: &Blocked) -> Self {
        let (kind, fd) = words::blocked_on(blocked.on);
        Self {
            kind,
            address: blocked.address.map(Hex::from),
            direction: blocked.direction.map(words::direction),
            fd,
            until_ns: blocked.until.map(|until| until.0),
        }
    }
}

/// A place in the source; the address only where nothing names it.
#[derive(serde::Serialize)]
pub(super) struct Position<'a> {
    function: Option<&'a str>,
    file: Option<&'a str>,
    line: Option<u32>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    inlined: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<Hex>,
}

impl<'a> Position<'a> {
    pub(super) fn of(pid: Pid, pc: RuntimeAddr, names: &'a dyn Names) -> Self {
        let frame: Option<Frame<'a>> = names.frames(pid, pc).first().copied();
        Self {
            function: frame.map(|frame| frame.function),
            file: frame.and_then(|frame| frame.file),
            line: frame.and_then(|frame| frame.line),
            inlined: frame.is_some_and(|frame| frame.inlined),
            address: if frame.is_none() { Some(pc.into()) } else { None },
        }
    }
}

/// What the summary tells of each process that lives.
pub(super) fn objects<'a>(summary: &'a Summary, names: &'a dyn Names) -> Vec<StateObject<'a>> {
    summary.state.iter().map(|state| object(state, summary.end.0, names)).collect()
}

fn object<'a>(state: &'a ProcessState, t_ns: u64, names: &'a dyn Names) -> StateObject<'a> {
    let overview = &state.overview;
    let pid = overview.pid;
    let count = |(reason, count): &(Option<WaitReason>, u64)| ReasonCount {
        reason: wait_reason(pid, *reason, names),
        count: *count,
    };
    StateObject {
        pid: pid.0,
        t_ns,
        complete: overview.missing.is_none(),
        incomplete_because: words::incomplete(state),
        snapshot_ns: overview.snapshot.map(|began| began.0),
        snapshots: state.snapshots,
        snapshots_ns: state.snapshots_ns,
        goroutines: overview.goroutines,
        system: overview.system,
        states: States {
            awake: overview.awake,
            syscall: overview.syscall,
            waiting: overview.waiting,
            unknown: overview.unknown,
        },
        wait_reasons: overview.reasons.iter().map(count).collect(),
        longest_waits: overview.longest.iter().map(|wait| long_wait(pid, wait, names)).collect(),
        channels: overview.channels,
    }
}

fn long_wait<'a>(pid: Pid, wait: &'a LongWait, names: &'a dyn Names) -> WaitObject<'a> {
    WaitObject {
        goid: wait.goid.0,
        since_ns: wait.since.0,
        exact: wait.exact,
        reason: wait_reason(pid, wait.reason, names),
        blocked_on: wait.on.iter().map(BlockedObject::from).collect(),
        created_at: wait
            .created_at
            .filter(|pc| words::is_go_statement(&names.frames(pid, *pc)))
            .map(|pc| Position::of(pid, pc, names)),
    }
}

fn wait_reason(pid: Pid, reason: Option<WaitReason>, names: &dyn Names) -> Reason<'_> {
    let text = reason.and_then(|reason| names.wait_reason(pid, reason));
    let number = reason.filter(|_| text.is_none()).map(|reason| reason.0);
    Reason { wait_reason: text, wait_reason_number: number }
}
