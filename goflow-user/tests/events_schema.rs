//! The sink, `docs/events.schema.json` and `docs/events.md` say the same: every line the sink can write is valid, every
//! property of the schema is written by the sink and explained on the page, and the page explains no others.
#![expect(clippy::unwrap_used, reason = "a step that fails is a failed test")]

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use goflow_common::aggregate::{ChannelTotals, SiteTotals, Waits};
use goflow_common::probe::ProbeId;
use goflow_user::binary::addr::{LinkAddr, RuntimeAddr};
use goflow_user::detect::{Confidence, Finding, RULES};
use goflow_user::ingest::event::{
    ChanAddr, ChanOp, EndedPark, Event, EventKind, Goid, GroupState, LossPoint, Lost, MonotonicNs,
    SyncPrimitive, WaitReason,
};
use goflow_user::model::{Change, Inferred, LongWait, Missing, Object, Overview};
use goflow_user::probe::budget::Mode;
use goflow_user::probe::catalog::Level;
use goflow_user::probe::estimate::Estimate;
use goflow_user::probe::filter::{Filter, Sample};
use goflow_user::probe::totals::{Of, ProcessTotals};
use goflow_user::sink::findings::{Described, Named, Place};
use goflow_user::sink::json::Json;
use goflow_user::sink::record::{
    BinaryName, Control, Coverage, FindingChange, Frame, LevelCoverage, Meta, Names, OwnUse, ProbeHits,
    ProbeMeta, ProcessState, Progress, Record, Setting, Sink as _, Summary, Totals, Unavailable,
};
use goflow_user::sink::words::KINDS;
use goflow_user::target::host::OwnMemory;
use goflow_user::target::snapshot::{Blocked, BlockedOn, Direction, Snapshot};
use goflow_user::target::{Pid, Tid};
use serde_json::Value;

const SCHEMA: &str = include_str!("../../docs/events.schema.json");
const PAGE: &str = include_str!("../../docs/events.md");

/// Addresses that are known in full, in part, and not at all.
const NAMED: RuntimeAddr = RuntimeAddr(0x10);
const INLINED: RuntimeAddr = RuntimeAddr(0x20);
const UNNAMED: RuntimeAddr = RuntimeAddr(0x30);

const MODES: [Mode; 4] = [Mode::Continuous, Mode::Sampled, Mode::Removed, Mode::Off];

struct Fake;

impl Names for Fake {
    fn frames(&self, _: Pid, pc: RuntimeAddr) -> Vec<Frame<'_>> {
        let named = Frame {
            function: "main.f",
            file: Some("/src/main.go"),
            line: Some(7),
            inlined: false,
            wrapper: false,
        };
        match pc {
            NAMED => vec![named],
            INLINED => vec![
                Frame { function: "main.g", file: None, line: None, inlined: true, wrapper: false },
                named,
            ],
            _ => Vec::new(),
        }
    }
    fn function_at(&self, pid: Pid, entry: RuntimeAddr) -> Option<Frame<'_>> {
        self.frames(pid, entry).first().copied()
    }
    fn wait_reason(&self, _: Pid, reason: WaitReason) -> Option<&str> {
        (reason.0 < 100).then_some("chan receive")
    }
    fn type_name(&self, _: Pid, addr: RuntimeAddr) -> Option<String> {
        (addr == NAMED).then(|| "map[string]int".to_owned())
    }
}

/// Every value a position can have.
const SITES: [Option<RuntimeAddr>; 4] = [None, Some(NAMED), Some(INLINED), Some(UNNAMED)];

fn channel_operations() -> Vec<ChanOp> {
    let mut operations = Vec::new();
    for chan in [None, Some(ChanAddr(0xc000_0010)), Some(ChanAddr(u64::MAX))] {
        for blocking in [true, false] {
            operations.extend(SITES.map(|site| ChanOp { chan, blocking, site }));
        }
    }
    operations
}

fn kinds() -> Vec<EventKind> {
    let mut kinds = vec![EventKind::GoroutineExit, EventKind::Ready { target: None, ended: None }];
    kinds.push(EventKind::Ready { target: Some(Goid(u64::MAX - 1)), ended: None });
    for site in SITES {
        kinds.push(EventKind::GoroutineCreate {
            child: site.map(|_| Goid(9)),
            created_at: site,
            start: site,
        });
        for elem_type in SITES {
            let elem_size = elem_type.map(|_| 8);
            let chan = site.map(|_| ChanAddr(0xc000_0010));
            kinds.push(EventKind::ChanMake {
                chan,
                cap: elem_size.map(u64::from),
                elem_size,
                elem_type,
                site,
            });
        }
        for (reason, primitive) in [
            (None, SyncPrimitive::Mutex),
            (None, SyncPrimitive::RwMutex),
            (None, SyncPrimitive::WaitGroup),
            (None, SyncPrimitive::Cond),
            (Some(WaitReason(7)), SyncPrimitive::Semaphore),
            (Some(WaitReason(200)), SyncPrimitive::Semaphore),
        ] {
            kinds.push(EventKind::SyncWait { primitive, addr: RuntimeAddr(0xc000_0008), reason, site });
        }
        for delta in [1, -1] {
            let state = (delta > 0).then_some(GroupState { counter: -2, waiters: 1 });
            for state in [None, state] {
                kinds.push(EventKind::WaitGroupAdd { addr: RuntimeAddr(0xc000_0008), delta, state, site });
            }
        }
        for chans in [None, Some(Box::default()), Some([None, Some(ChanAddr(5))].into())] {
            kinds.push(EventKind::Select { sends: 1, receives: 20, blocking: site.is_none(), chans, site });
        }
    }
    for operation in channel_operations() {
        kinds.extend([
            EventKind::ChanSend(operation),
            EventKind::ChanRecv(operation),
            EventKind::ChanClose(operation),
        ]);
    }
    for reason in [WaitReason(7), WaitReason(255)] {
        for stack in [vec![], vec![NAMED], vec![INLINED, UNNAMED, NAMED]] {
            let since = MonotonicNs(3);
            let ended = EndedPark { since, reason, lock: None, stack: stack.clone().into() };
            kinds.push(EventKind::Ready { target: Some(Goid(5)), ended: Some(Box::new(ended)) });
            kinds.push(EventKind::Park { reason, lock: None, stack: stack.into() });
        }
    }
    kinds
}

fn event(goid: Option<Goid>, kind: EventKind) -> Record {
    Record::Event(Event { t: MonotonicNs(u64::MAX), pid: Pid(1), tid: Tid(u32::MAX), goid, kind })
}

fn meta(full: bool) -> Record {
    let text = |text: &str| full.then(|| text.to_owned());
    Record::Meta(Box::new(Meta {
        goflow: "0.1.0",
        kernel: "6.18.0".to_owned(),
        binary: BinaryName { path: "/srv/\"app\"".into(), is_deleted: true },
        build_id: text("abc/def"),
        go_version: text("go1.26.6"),
        module: text("example.org/app"),
        pie: full,
        symbol_source: "pclntab",
        offset_source: "table",
        level: "channels",
        attach_method: "uprobe_multi",
        interval_ns: (!full).then_some(9),
        start: MonotonicNs(5),
        attach_ns: 8,
        wall_clock_offset_ns: -3,
        filter: full.then(|| Filter {
            sample: Sample::new(100),
            created_at: vec!["net/http".parse().unwrap()],
            channels: vec![ChanAddr(0xc000_0010)],
            min_block: Some(Duration::from_millis(1)),
            aggregate: true,
        }),
        probes: ProbeId::ALL.map(probe_meta).to_vec(),
        unavailable: vec![Unavailable {
            what: "sync.Cond".to_owned(),
            why: "not in the binary".to_owned(),
            is_unused: false,
        }],
    }))
}

fn probe_meta(probe: ProbeId) -> ProbeMeta {
    ProbeMeta {
        probe,
        function: "runtime.f".to_owned(),
        address: LinkAddr(0x40_1000),
        instruction: "push %rbp".to_owned(),
        class: "emulated",
        at: "entry",
    }
}

fn summary(target_cpu_ns: Result<u64, String>) -> Record {
    let hits = |probe| ProbeHits {
        binary: BinaryName { path: "/srv/app".into(), is_deleted: true },
        probe,
        function: "runtime.f".to_owned(),
        hits: 5,
        eventless: 2,
        filtered: 1,
        cost_ns: 7,
        estimate: match probe {
            ProbeId::Chansend => Some(Estimate { total: Some(90), error: Some(4) }),
            ProbeId::Chanrecv => Some(Estimate { total: Some(90), error: None }),
            ProbeId::Gopark => Some(Estimate { total: None, error: None }),
            _ => None,
        },
    };
    Record::Summary(Box::new(Summary {
        duration_ns: 1,
        detach_ns: 2,
        counts: KINDS.map(|kind| (kind, 3)).to_vec(),
        lost: vec![(LossPoint::Ring, 1)],
        gaps: 1,
        hits: ProbeId::ALL.map(hits).to_vec(),
        level: "snapshot",
        budget: target_cpu_ns.is_ok().then_some(0.02),
        changes: 1,
        coverage: MODES
            .map(|mode| LevelCoverage { level: "channels", mode, watched_ns: 3, off_ns: 1, windows: 2 })
            .to_vec(),
        cost_ns: 4,
        is_cost_measured: target_cpu_ns.is_ok(),
        target_cpu_ns,
        own: OwnUse { cpu_ns: 6, displaced_ns: 1_000_000, memory: Some(OwnMemory { resident: 8, peak: 9 }) },
        processes: vec![Pid(1), Pid(2)],
        end: MonotonicNs(9),
        state: states(),
        findings: vec![(Pid(1), described())],
        ended: "interrupted".to_owned(),
        silence: None,
    }))
}

/// With and without what may be unknown.
fn progress(known: Option<u64>) -> Record {
    Record::Progress(Progress {
        t: MonotonicNs(4),
        elapsed_ns: 1,
        events: 2,
        lost: 3,
        cost_ns: 4,
        is_cost_measured: known.is_some(),
        target_cpu_ns: known,
        sampled: vec!["lifecycle", "blocking", "channels"],
        own: OwnUse {
            cpu_ns: 5,
            displaced_ns: 1_000_000,
            memory: known.map(|resident| OwnMemory { resident, peak: 9 }),
        },
    })
}

/// What is counted in the kernel, with and without what may be missing.
fn totals() -> Record {
    let mut waits = Waits { count: 2, total_ns: u64::MAX, ..Waits::default() };
    (waits.buckets[0], waits.buckets[23]) = (1, 1);
    let channel = |made_at| ChannelTotals {
        made_at,
        sends: 1,
        receives: 2,
        closes: 3,
        senders: waits,
        ..Default::default()
    };
    let channels = vec![(Of::Channel(ChanAddr(0xc000_0010)), channel(0)), (Of::Gone, channel(NAMED.0))];
    let sites = SITES.map(|site| (site, SiteTotals { created: 1, exited: 1, waits })).to_vec();
    let totals = ProcessTotals { channels, sites };
    Record::Totals(Box::new(Totals {
        pid: Pid(1),
        t: MonotonicNs(9),
        is_last: true,
        totals,
        left_out: 3,
        uncounted: 4,
    }))
}

/// What two snapshots can differ by, with and without what may be missing.
fn changes() -> Vec<Change> {
    let mut changes = vec![Change::Exited, Change::Readied];
    for site in SITES {
        changes.push(Change::Created { parent: site.map(|_| Goid(1)), created_at: site, start: site });
    }
    for reason in [None, Some(WaitReason(7)), Some(WaitReason(200))] {
        changes.push(Change::Parked { reason, on: blocked_on(), stack: vec![INLINED, UNNAMED] });
        changes.push(Change::Parked { reason, on: Vec::new(), stack: Vec::new() });
    }
    changes
}

fn inferred(change: Change) -> Record {
    let (since, until) = (MonotonicNs(1), MonotonicNs(2));
    Record::Inferred(Inferred { pid: Pid(1), since, until, goid: Goid(5), change })
}

/// Everything that a goroutine can wait for.
fn blocked_on() -> Vec<Blocked> {
    let blocked = |on, address, direction, until| Blocked { on, address, direction, until };
    let address = Some(RuntimeAddr(0xc000_0010));
    vec![
        blocked(BlockedOn::Channel, None, Some(Direction::Send), None),
        blocked(BlockedOn::Channel, address, Some(Direction::Receive), None),
        blocked(BlockedOn::Sync(SyncPrimitive::RwMutex), address, Some(Direction::Write), None),
        blocked(BlockedOn::Timer, address, None, Some(MonotonicNs(7))),
        blocked(BlockedOn::Descriptor(3), address, Some(Direction::Read), None),
    ]
}

/// A finding in words, with and without everything that may be missing.
fn described() -> Described<'static> {
    let finding = Finding {
        rule: RULES[0],
        confidence: Confidence::Likely,
        since: MonotonicNs(3),
        opened: MonotonicNs(4),
        goroutines: Vec::new(),
        more: 1,
        functions: Vec::new(),
        objects: vec![Object::Channel(ChanAddr(0xc0)), Object::Sync(SyncPrimitive::Mutex, RuntimeAddr(0xd0))],
        evidence: Vec::new(),
        identity: Vec::new(),
    };
    let place = Place { function: "main.f".to_owned(), file: Some("/src/main.go".to_owned()), line: Some(7) };
    let unknown = Named {
        goid: Goid(5),
        place: None,
        created: None,
        wait_reason: None,
        state: None,
        since: None,
        stack: Vec::new(),
    };
    let known = Named {
        place: Some(place.clone()),
        created: Some(Place { file: None, line: None, ..place.clone() }),
        wait_reason: Some("chan send".to_owned()),
        state: Some("waiting"),
        since: Some(MonotonicNs(3)),
        stack: vec![place.clone()],
        ..unknown
    };
    Described {
        finding: Cow::Owned(finding),
        fingerprint: "0123456789abcdef".to_owned(),
        goroutines: vec![known, unknown],
        functions: vec![place],
        evidence: vec!["goroutine 5 waits".to_owned()],
    }
}

/// States of processes: with and without everything that may be missing.
fn states() -> Vec<ProcessState> {
    let on = blocked_on();
    let reasons = [None, Some(WaitReason(7)), Some(WaitReason(200))];
    let wait = |(created_at, reason): (Option<RuntimeAddr>, Option<WaitReason>)| LongWait {
        goid: Goid(5),
        since: MonotonicNs(3),
        exact: true,
        reason,
        on: on.clone(),
        stack: Vec::new(),
        created_at,
    };
    let overview = |missing| Overview {
        pid: Pid(1),
        snapshot: (missing != Some(Missing::NoSnapshot)).then_some(MonotonicNs(4)),
        goroutines: 5,
        system: 4,
        awake: 1,
        syscall: 1,
        waiting: 3,
        unknown: 1,
        reasons: reasons.map(|reason| (reason, 1)).to_vec(),
        longest: SITES.into_iter().zip(reasons).map(wait).collect(),
        alike: Vec::new(),
        channels: 2,
        missing,
    };
    let state = |missing, failure: Option<&str>| ProcessState {
        overview: overview(missing),
        snapshots: 1,
        snapshots_ns: 2,
        failure: failure.map(str::to_owned),
    };
    vec![
        state(None, None),
        state(Some(Missing::NoSnapshot), Some("not allowed")),
        state(Some(Missing::NoSnapshot), None),
        state(Some(Missing::Lost), None),
        state(Some(Missing::Unread(1)), None),
        state(Some(Missing::Forgotten(1)), None),
    ]
}

/// One record of every shape.
fn records() -> Vec<Record> {
    let mut records = vec![meta(true), meta(false)];
    records.push(Record::ProcessStart {
        pid: Pid(1),
        binary: BinaryName { path: "/srv/\"app\"".into(), is_deleted: true },
    });
    records.push(Record::ProcessExit { pid: Pid(1), t: MonotonicNs(u64::MAX) });
    records.extend(changes().into_iter().map(inferred));
    let snapshot =
        Arc::new(Snapshot { started: MonotonicNs(1), ended: MonotonicNs(3), ..Snapshot::default() });
    records.push(Record::Snapshot { pid: Pid(1), snapshot });
    records.extend([None, Some(Goid(0))].map(|goid| event(goid, EventKind::GoroutineExit)));
    records.extend(kinds().into_iter().map(|kind| event(Some(Goid(1)), kind)));
    for at in [LossPoint::Ring, LossPoint::Sink, LossPoint::Decode] {
        records.push(Record::Lost(Lost { from: MonotonicNs(0), to: MonotonicNs(1), at, count: 1 }));
    }
    for (mode, is_watched) in MODES.into_iter().flat_map(|mode| [(mode, true), (mode, false)]) {
        let cover = |level| Coverage { level, t: MonotonicNs(3), is_watched, mode };
        records.push(Record::Coverage(vec![cover(Level::Channels), cover(Level::Lifecycle)]));
    }
    records.extend([None, Some(1)].map(progress));
    records.push(totals());
    for change in [
        Setting::Level { from: "channels", to: "snapshot" },
        Setting::Budget { from: None, to: Some(0.02) },
        Setting::Budget { from: Some(1.0), to: None },
    ] {
        records.push(Record::Control(Control { t: MonotonicNs(3), change }));
    }
    for is_open in [true, false] {
        let change = FindingChange { pid: Pid(1), t: MonotonicNs(3), is_open, described: described() };
        records.push(Record::Finding(Box::new(change)));
    }
    records.extend([summary(Err("nobody could read it".to_owned())), summary(Ok(1))]);
    records
}

fn lines() -> Vec<Value> {
    let mut out = Vec::new();
    let mut sink = Json::new(&mut out);
    for record in records() {
        sink.write(&record, &Fake).unwrap();
    }
    sink.flush(MonotonicNs(0)).unwrap();
    drop(sink);
    let text = String::from_utf8(out).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect()
}

fn schema() -> (Value, jsonschema::Validator) {
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    (schema, validator)
}

fn children(value: &Value) -> Vec<&Value> {
    match value {
        Value::Object(object) => object.values().collect(),
        Value::Array(array) => array.iter().collect(),
        _ => Vec::new(),
    }
}

/// Names under any `properties` of the schema that may be present.
fn schema_properties(value: &Value, found: &mut BTreeSet<String>) {
    if let Some(properties) = value.get("properties").and_then(Value::as_object) {
        let possible = properties.iter().filter(|(_, schema)| **schema != Value::Bool(false));
        found.extend(possible.map(|(name, _)| name.clone()));
    }
    children(value).into_iter().for_each(|child| schema_properties(child, found));
}

/// Names of any field in a line, also inside other fields.
fn written_names(value: &Value, found: &mut BTreeSet<String>) {
    if let Value::Object(object) = value {
        found.extend(object.keys().cloned());
    }
    children(value).into_iter().for_each(|child| written_names(child, found));
}

/// Every text that the schema allows as the value of a field, but for the nil channel, which the page has in quotes.
fn schema_words(value: &Value, found: &mut BTreeSet<String>) {
    let constant = value.get("const").into_iter();
    let choices = value.get("enum").and_then(Value::as_array).into_iter().flatten();
    let texts = constant.chain(choices).filter_map(Value::as_str).filter(|word| *word != "0x0");
    found.extend(texts.map(str::to_owned));
    children(value).into_iter().for_each(|child| schema_words(child, found));
}

#[test]
fn every_line_the_sink_can_write_is_valid() {
    let (_, validator) = schema();
    let lines = lines();
    assert!(lines.len() > 100, "{}", lines.len());
    for line in &lines {
        let errors: Vec<_> = validator.iter_errors(line).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{errors:#?}\n{line:#}");
    }
    for kind in KINDS {
        assert!(lines.iter().any(|line| line["kind"] == kind), "no line of kind {kind}");
    }
}

#[test]
fn the_schema_refuses_lines_that_differ_by_one_field() {
    let (_, validator) = schema();
    for line in lines() {
        let object = line.as_object().unwrap();
        for name in object.keys() {
            // Fields that a line of the same shape may lack.
            let is_optional = name.starts_with("wait_reason") && line["kind"] == "sync_wait"
                || name == "elem_type_addr"
                || name == "wait_reason_number" && line["source"] == "snapshot"
                || name == "interval_ns"
                || name == "filter"
                || name == "binary_deleted";
            let mut without = object.clone();
            without.remove(name);
            assert!(
                is_optional || !validator.is_valid(&Value::Object(without)),
                "valid without {name}: {line:#}"
            );
            let mut wrong = object.clone();
            wrong.insert(name.clone(), serde_json::json!([{ "surprise": 1 }]));
            assert!(!validator.is_valid(&Value::Object(wrong)), "valid with a strange {name}: {line:#}");
        }
        let mut more = object.clone();
        more.insert("surprise".to_owned(), Value::Null);
        assert!(!validator.is_valid(&Value::Object(more)), "valid with one field more: {line:#}");
    }
}

#[test]
fn the_schema_has_no_property_that_the_sink_never_writes() {
    let (mut promised, mut written) = (BTreeSet::new(), BTreeSet::new());
    schema_properties(&schema().0, &mut promised);
    lines().iter().for_each(|line| written_names(line, &mut written));
    assert_eq!(promised, written);
}

#[test]
fn the_page_explains_every_property_and_no_other() {
    let mut properties = BTreeSet::new();
    schema_properties(&schema().0, &mut properties);
    let unexplained: Vec<_> = properties.iter().filter(|name| !PAGE.contains(&format!("`{name}`"))).collect();
    assert!(unexplained.is_empty(), "not on the page: {unexplained:?}");
    let rows =
        PAGE.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`')).map(|(name, _)| name);
    let invented: Vec<_> = rows.filter(|name| !properties.contains(*name)).collect();
    assert!(invented.is_empty(), "not in the schema: {invented:?}");
}

#[test]
fn the_page_explains_every_word_a_field_can_have() {
    let mut words = BTreeSet::new();
    schema_words(&schema().0, &mut words);
    assert!(words.len() > 40, "{words:?}");
    let unexplained: Vec<_> = words.iter().filter(|word| !PAGE.contains(&format!("`{word}`"))).collect();
    assert!(unexplained.is_empty(), "not on the page: {unexplained:?}");
}
