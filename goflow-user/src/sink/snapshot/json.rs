//! A snapshot as one JSON object. The structs are the schema, docs/snapshot.md explains them; keys are a contract.

use super::View;
use super::group::Group;
use crate::binary::addr::RuntimeAddr;
use crate::binary::frame::Frame;
use crate::sink::json::{BlockedObject, Hex};
use crate::sink::words;
use crate::target::snapshot::{Channel, Goroutine, StackEnd, SyncObject, Waiter};
use std::collections::BTreeMap;
use std::io::{self, Write};

/// Version of the schema.
const SCHEMA: u32 = 1;

#[derive(serde::Serialize)]
struct Document<'a> {
    meta: Meta<'a>,
    goroutines: Vec<GoroutineObject<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    groups: Option<Vec<GroupObject<'a>>>,
    channels: Vec<ChannelObject>,
    sync: Vec<SyncObjectObject>,
    unknown: Vec<UnknownObject<'a>>,
}

#[derive(serde::Serialize)]
struct Meta<'a> {
    schema: u32,
    goflow: &'a str,
    pid: Option<u32>,
    core: Option<&'a str>,
    binary: &'a str,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    binary_deleted: bool,
    build_id: Option<&'a str>,
    go_version: Option<&'a str>,
    started_ns: u64,
    ended_ns: u64,
    wall_clock_offset_ns: Option<i64>,
    goroutine_count: usize,
    dead: u64,
}

#[derive(serde::Serialize)]
struct GoroutineObject<'a> {
    goid: u64,
    state: &'static str,
    wait_reason: Option<String>,
    wait_since_ns: Option<u64>,
    parent_goid: Option<u64>,
    system: bool,
    created_at: Option<Position<'a>>,
    start: Option<Position<'a>>,
    blocked_on: Vec<BlockedObject>,
    stack: Vec<FrameObject<'a>>,
    stack_end: &'static str,
    labels: BTreeMap<&'a str, &'a str>,
    addr: Hex,
    locked_to_thread: bool,
    m: Option<i64>,
    tid: Option<u64>,
    p: Option<i32>,
}

#[derive(serde::Serialize)]
struct Position<'a> {
    function: Option<&'a str>,
    file: Option<&'a str>,
    line: Option<u32>,
    address: Hex,
}

impl<'a> Position<'a> {
    fn of(address: RuntimeAddr, frame: Option<Frame<'a>>) -> Self {
        Self {
            function: frame.map(|frame| frame.function),
            file: frame.and_then(|frame| frame.file),
            line: frame.and_then(|frame| frame.line),
            address: address.into(),
        }
    }
}

#[derive(serde::Serialize)]
struct FrameObject<'a> {
    function: Option<&'a str>,
    file: Option<&'a str>,
    line: Option<u32>,
    inlined: bool,
    wrapper: bool,
    address: Hex,
}

#[derive(serde::Serialize)]
struct ChannelObject {
    address: Hex,
    len: u64,
    cap: u64,
    elem_size: u16,
    elem_type: Option<String>,
    closed: bool,
    senders: Vec<u64>,
    receivers: Vec<u64>,
    sendx: u64,
    recvx: u64,
    timer: Option<TimerObject>,
}

#[derive(serde::Serialize)]
struct TimerObject {
    address: Hex,
    when_ns: Option<u64>,
    period_ns: Option<u64>,
}

#[derive(serde::Serialize)]
struct SyncObjectObject {
    kind: &'static str,
    address: Hex,
    waiters: Vec<u64>,
}

#[derive(serde::Serialize)]
struct UnknownObject<'a> {
    what: String,
    why: &'a str,
}

#[derive(serde::Serialize)]
struct GroupObject<'a> {
    count: usize,
    key: &'a [String],
    goids: Vec<u64>,
}

/// Writes the object and a line feed.
///
/// # Errors
/// The output fails.
pub fn write(view: &View<'_>, groups: Option<&[Group<'_>]>, out: &mut impl Write) -> io::Result<()> {
    let document = Document {
        meta: meta(view),
        goroutines: view.chosen.iter().map(|goroutine| object(view, goroutine)).collect(),
        groups: groups.map(|groups| groups.iter().map(group).collect()),
        channels: view.snapshot.channels.iter().map(|channel| channel_object(view, channel)).collect(),
        sync: view.snapshot.sync.iter().map(sync_object).collect(),
        unknown: view
            .snapshot
            .unknown
            .iter()
            .map(|unknown| UnknownObject { what: unknown.what.to_string(), why: &unknown.why })
            .collect(),
    };
    serde_json::to_writer(&mut *out, &document)?;
    out.write_all(b"\n")
}

fn meta<'v>(view: &'v View<'_>) -> Meta<'v> {
    let (origin, snapshot) = (&view.origin, view.snapshot);
    Meta {
        schema: SCHEMA,
        goflow: env!("CARGO_PKG_VERSION"),
        pid: origin.pid.map(|pid| pid.0),
        core: origin.core.as_deref(),
        binary: &origin.binary,
        binary_deleted: origin.binary_deleted,
        build_id: view.binary().go_build_id(),
        go_version: view.binary().go_version().map(|version| version.as_str()),
        started_ns: snapshot.started.0,
        ended_ns: snapshot.ended.0,
        wall_clock_offset_ns: origin.wall_clock_offset_ns,
        goroutine_count: snapshot.goroutines.len(),
        dead: snapshot.dead,
    }
}

fn object<'v>(view: &'v View<'_>, goroutine: &'v Goroutine) -> GoroutineObject<'v> {
    let created = |pc| Position::of(pc, view.place(pc).frames.first().copied());
    let stack = view.stack(goroutine);
    GoroutineObject {
        goid: goroutine.goid.0,
        state: goroutine.state.name(),
        wait_reason: view.wait_reason(goroutine),
        wait_since_ns: goroutine.wait_since.map(|since| since.0),
        parent_goid: goroutine.parent.map(|parent| parent.0),
        system: goroutine.system,
        created_at: goroutine.creation().map(created),
        start: goroutine.start.map(|entry| Position::of(entry, view.declared(entry))),
        blocked_on: goroutine.blocked_on.iter().map(BlockedObject::from).collect(),
        stack: stack
            .into_iter()
            .map(|named| FrameObject {
                function: named.frame.map(|frame| frame.function),
                file: named.frame.and_then(|frame| frame.file),
                line: named.frame.and_then(|frame| frame.line),
                inlined: named.is_inlined(),
                wrapper: named.frame.is_some_and(|frame| frame.wrapper),
                address: named.pc.into(),
            })
            .collect(),
        stack_end: stack_end(goroutine.stack.end),
        labels: goroutine.labels.iter().map(|label| (label.key.as_str(), label.value.as_str())).collect(),
        addr: goroutine.addr.into(),
        locked_to_thread: goroutine.locked,
        m: goroutine.m,
        tid: goroutine.tid,
        p: goroutine.p,
    }
}

fn stack_end(end: StackEnd) -> &'static str {
    match end {
        StackEnd::NotRead => "not_read",
        StackEnd::Running => "running",
        StackEnd::Complete => "complete",
        StackEnd::Cut => "cut",
        StackEnd::Broken => "broken",
    }
}

fn channel_object(view: &View<'_>, channel: &Channel) -> ChannelObject {
    let goids = |waiters: &[Waiter]| waiters.iter().map(|waiter| waiter.goid.0).collect();
    ChannelObject {
        address: Hex(channel.address.0),
        len: channel.len,
        cap: channel.cap,
        elem_size: channel.elem_size,
        elem_type: channel.elem_type.and_then(|address| view.type_name(address)),
        closed: channel.closed,
        senders: goids(&channel.senders),
        receivers: goids(&channel.receivers),
        sendx: channel.sendx,
        recvx: channel.recvx,
        timer: channel.timer.map(|timer| TimerObject {
            address: timer.address.into(),
            when_ns: timer.when.map(|when| when.0),
            period_ns: timer.period_ns,
        }),
    }
}

fn sync_object(object: &SyncObject) -> SyncObjectObject {
    SyncObjectObject {
        kind: words::primitive(object.kind),
        address: object.address.into(),
        waiters: object.waiters.iter().map(|waiter| waiter.goid.0).collect(),
    }
}

fn group<'g>(group: &'g Group<'_>) -> GroupObject<'g> {
    GroupObject {
        count: group.goroutines.len(),
        key: &group.key,
        goids: group.goroutines.iter().map(|goroutine| goroutine.goid.0).collect(),
    }
}
