//! The lines that are not events: few and large, so serde writes them. The structs are the schema; what they borrow is
//! in [`crate::sink::record`].

use std::io;
use std::ops::Not;

use serde::ser::{Serialize, SerializeMap, Serializer};

use super::SCHEMA_VERSION;
use super::state::{self, Hex, StateObject};
use crate::binary::addr::RuntimeAddr;
use crate::ingest::event::{Gap, LossPoint, Lost, MonotonicNs, Pid};
use crate::probe::estimate::Estimate;
use crate::probe::filter::{Filter, Sample};
use crate::sink::findings::{self, json::FindingObject};
use crate::sink::record::{
    BinaryName, Control, Coverage, FindingChange, LevelCoverage, Meta, Names, OwnUse, ProbeHits, ProbeMeta,
    Progress, Setting, Summary, Unavailable,
};
use crate::sink::words;
use crate::target::snapshot::Snapshot;

#[derive(serde::Serialize)]
struct MetaLine<'a> {
    r#type: &'static str,
    schema: u32,
    goflow: &'a str,
    kernel: &'a str,
    binary: &'a str,
    #[serde(skip_serializing_if = "Not::not")]
    binary_deleted: bool,
    build_id: Option<&'a str>,
    go_version: Option<&'a str>,
    module: Option<&'a str>,
    pie: bool,
    symbol_source: &'a str,
    offset_source: &'a str,
    level: &'a str,
    attach_method: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    interval_ns: Option<u64>,
    start_ns: u64,
    attach_ns: u64,
    wall_clock_offset_ns: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    filter: Option<FilterObject>,
    probes: Vec<ProbeLine<'a>>,
    unavailable: Vec<UnavailableLine<'a>>,
}

/// What is recorded; absent fields do not limit it.
#[derive(serde::Serialize)]
struct FilterObject {
    #[serde(skip_serializing_if = "Option::is_none")]
    one_of: Option<u32>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    created_at: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    channels: Vec<Hex>,
    #[serde(skip_serializing_if = "Option::is_none")]
    min_block_ns: Option<u64>,
    aggregate: bool,
    records_nothing: bool,
}

#[derive(serde::Serialize)]
struct ProbeLine<'a> {
    probe: &'static str,
    function: &'a str,
    at: &'a str,
    address: String,
    instruction: &'a str,
    class: &'a str,
}

#[derive(serde::Serialize)]
struct UnavailableLine<'a> {
    what: &'a str,
    why: &'a str,
}

#[derive(serde::Serialize)]
struct ProcessLine<'a> {
    r#type: &'static str,
    pid: u32,
    binary: &'a str,
    #[serde(skip_serializing_if = "Not::not")]
    binary_deleted: bool,
}

#[derive(serde::Serialize)]
struct ProcessExitLine {
    r#type: &'static str,
    t_ns: u64,
    pid: u32,
}

#[derive(serde::Serialize)]
struct SnapshotLine {
    r#type: &'static str,
    t_ns: u64,
    pid: u32,
    duration_ns: u64,
    goroutines: usize,
    unknown: usize,
}

#[derive(serde::Serialize)]
struct LostLine {
    r#type: &'static str,
    from_ns: u64,
    to_ns: u64,
    at: &'static str,
    /// `None` where nobody knows.
    count: Option<u64>,
    /// Whose, where they are all of one process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pid: Option<u32>,
}

#[derive(serde::Serialize)]
struct CoverageLine {
    r#type: &'static str,
    t_ns: u64,
    level: &'static str,
    watched: bool,
    mode: &'static str,
}

#[derive(serde::Serialize)]
struct ProgressLine<'a> {
    r#type: &'static str,
    t_ns: u64,
    elapsed_ns: u64,
    events: u64,
    lost: u64,
    cost_ns: u64,
    cost_source: &'static str,
    target_cpu_ns: Option<u64>,
    sampled: &'a [&'static str],
    #[serde(flatten)]
    own: OwnFields,
}

/// Fields of goflow itself.
#[derive(serde::Serialize)]
struct OwnFields {
    goflow_cpu_ns: u64,
    goflow_displaced_ns: u64,
    goflow_memory_bytes: Option<u64>,
    goflow_memory_peak_bytes: Option<u64>,
}

#[derive(serde::Serialize)]
struct ControlLine {
    r#type: &'static str,
    t_ns: u64,
    #[serde(flatten)]
    change: Change,
}

#[derive(serde::Serialize)]
#[serde(tag = "what", rename_all = "snake_case")]
enum Change {
    Level { from: &'static str, to: &'static str },
    Budget { from: Option<f64>, to: Option<f64> },
}

#[derive(serde::Serialize)]
struct FindingLine<'a> {
    r#type: &'static str,
    t_ns: u64,
    pid: u32,
    change: &'static str,
    #[serde(flatten)]
    finding: FindingObject<'a>,
}

#[derive(serde::Serialize)]
struct OpenFinding<'a> {
    pid: u32,
    #[serde(flatten)]
    finding: FindingObject<'a>,
}

#[derive(serde::Serialize)]
struct SummaryLine<'a> {
    r#type: &'static str,
    ended: &'a str,
    duration_ns: u64,
    detach_ns: u64,
    counts: InOrder<'a>,
    lost: LostByPlace,
    gaps: u64,
    hits: Vec<HitsLine<'a>>,
    level: &'static str,
    budget: Option<f64>,
    changes: u64,
    coverage: Vec<LevelLine>,
    cost_ns: u64,
    cost_source: &'static str,
    target_cpu_ns: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    target_cpu_unknown: Option<&'a str>,
    #[serde(flatten)]
    own: OwnFields,
    processes: Vec<u32>,
    state: Vec<StateObject<'a>>,
    findings: Vec<OpenFinding<'a>>,
}

#[derive(serde::Serialize)]
struct HitsLine<'a> {
    binary: &'a str,
    #[serde(skip_serializing_if = "Not::not")]
    binary_deleted: bool,
    probe: &'static str,
    function: &'a str,
    hits: u64,
    eventless: u64,
    filtered: u64,
    cost_ns: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    estimated: Option<EstimateObject>,
}

#[derive(serde::Serialize)]
struct EstimateObject {
    hits: Option<u64>,
    error: Option<u64>,
}

#[derive(serde::Serialize)]
struct LevelLine {
    level: &'static str,
    mode: &'static str,
    watched_ns: u64,
    off_ns: u64,
    windows: u64,
}

/// Every place, also those where nothing was lost.
#[derive(serde::Serialize)]
struct LostByPlace {
    ring: u64,
    sink: u64,
    decode: u64,
}

/// A map that keeps the order of its pairs.
struct InOrder<'a>(&'a [(&'static str, u64)]);

impl Serialize for InOrder<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (key, value) in self.0 {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

/// Writes a `meta` line, without its line feed.
pub(super) fn meta(out: &mut Vec<u8>, meta: &Meta) -> io::Result<()> {
    let line = MetaLine {
        r#type: "meta",
        schema: SCHEMA_VERSION,
        goflow: meta.goflow,
        kernel: &meta.kernel,
        binary: &meta.binary.path,
        binary_deleted: meta.binary.is_deleted,
        build_id: meta.build_id.as_deref(),
        go_version: meta.go_version.as_deref(),
        module: meta.module.as_deref(),
        pie: meta.pie,
        symbol_source: meta.symbol_source,
        offset_source: meta.offset_source,
        level: meta.level,
        attach_method: meta.attach_method,
        interval_ns: meta.interval_ns,
        start_ns: meta.start.0,
        attach_ns: meta.attach_ns,
        wall_clock_offset_ns: meta.wall_clock_offset_ns,
        filter: meta.filter.as_ref().map(filter_object),
        probes: meta.probes.iter().map(probe_line).collect(),
        unavailable: meta.unavailable.iter().map(unavailable_line).collect(),
    };
    Ok(serde_json::to_writer(out, &line)?)
}

/// Writes a `process` line, without its line feed.
pub(super) fn process(out: &mut Vec<u8>, pid: Pid, binary: &BinaryName) -> io::Result<()> {
    let BinaryName { path, is_deleted } = binary;
    let line = ProcessLine { r#type: "process", pid: pid.0, binary: path, binary_deleted: *is_deleted };
    Ok(serde_json::to_writer(out, &line)?)
}

/// Writes a `process_exit` line, without its line feed.
pub(super) fn process_exit(out: &mut Vec<u8>, pid: Pid, t: MonotonicNs) -> io::Result<()> {
    Ok(serde_json::to_writer(out, &ProcessExitLine { r#type: "process_exit", t_ns: t.0, pid: pid.0 })?)
}

/// Writes a `snapshot` line, without its line feed.
pub(super) fn snapshot(out: &mut Vec<u8>, pid: Pid, snapshot: &Snapshot) -> io::Result<()> {
    let line = SnapshotLine {
        r#type: "snapshot",
        t_ns: snapshot.started.0,
        pid: pid.0,
        duration_ns: snapshot.ended.0.saturating_sub(snapshot.started.0),
        goroutines: snapshot.goroutines.len(),
        unknown: snapshot.unknown.len(),
    };
    Ok(serde_json::to_writer(out, &line)?)
}

/// Writes a `lost` line, without its line feed.
pub(super) fn lost(out: &mut Vec<u8>, lost: &Lost) -> io::Result<()> {
    let line = LostLine {
        r#type: "lost",
        from_ns: lost.from.0,
        to_ns: lost.to.0,
        at: words::loss_point(lost.at),
        count: Some(lost.count),
        pid: None,
    };
    Ok(serde_json::to_writer(out, &line)?)
}

/// Writes a `lost` line for what was not seen of a process, without its line feed.
pub(super) fn gap(out: &mut Vec<u8>, gap: Gap) -> io::Result<()> {
    let line = LostLine {
        r#type: "lost",
        from_ns: gap.from.0,
        to_ns: gap.to.0,
        at: "exec",
        count: None,
        pid: Some(gap.pid.0),
    };
    Ok(serde_json::to_writer(out, &line)?)
}

/// Writes a `coverage` line for each level, without the last line feed.
pub(super) fn coverage(out: &mut Vec<u8>, together: &[Coverage]) -> io::Result<()> {
    for (index, Coverage { level, t, is_watched, mode }) in together.iter().enumerate() {
        if index > 0 {
            out.push(b'\n');
        }
        let (level, mode) = (level.name(), mode.name());
        let line = CoverageLine { r#type: "coverage", t_ns: t.0, level, watched: *is_watched, mode };
        serde_json::to_writer(&mut *out, &line)?;
    }
    Ok(())
}

/// Writes a `progress` line, without its line feed.
pub(super) fn progress(out: &mut Vec<u8>, progress: &Progress) -> io::Result<()> {
    let line = ProgressLine {
        r#type: "progress",
        t_ns: progress.t.0,
        elapsed_ns: progress.elapsed_ns,
        events: progress.events,
        lost: progress.lost,
        cost_ns: progress.cost_ns,
        cost_source: cost_source(progress.is_cost_measured),
        target_cpu_ns: progress.target_cpu_ns,
        sampled: &progress.sampled,
        own: own_fields(&progress.own),
    };
    Ok(serde_json::to_writer(out, &line)?)
}

/// Writes a `control` line, without its line feed.
pub(super) fn control(out: &mut Vec<u8>, Control { t, change }: Control) -> io::Result<()> {
    let change = match change {
        Setting::Level { from, to } => Change::Level { from, to },
        Setting::Budget { from, to } => Change::Budget { from, to },
    };
    let line = ControlLine { r#type: "control", t_ns: t.0, change };
    Ok(serde_json::to_writer(out, &line)?)
}

/// Writes a `finding` line, without its line feed.
pub(super) fn finding(out: &mut Vec<u8>, change: &FindingChange) -> io::Result<()> {
    let FindingChange { pid, t, is_open, described } = change;
    let line = FindingLine {
        r#type: "finding",
        t_ns: t.0,
        pid: pid.0,
        change: if *is_open { "opened" } else { "resolved" },
        finding: findings::json::finding(described),
    };
    Ok(serde_json::to_writer(out, &line)?)
}

fn open_findings(summary: &Summary) -> Vec<OpenFinding<'_>> {
    let open = summary.findings.iter();
    open.map(|(pid, one)| OpenFinding { pid: pid.0, finding: findings::json::finding(one) }).collect()
}

/// Writes a `summary` line, without its line feed.
pub(super) fn summary(out: &mut Vec<u8>, summary: &Summary, names: &dyn Names) -> io::Result<()> {
    let lost_at =
        |place: LossPoint| summary.lost.iter().filter(|(at, _)| *at == place).map(|(_, count)| count).sum();
    let line = SummaryLine {
        r#type: "summary",
        ended: &summary.ended,
        duration_ns: summary.duration_ns,
        detach_ns: summary.detach_ns,
        counts: InOrder(&summary.counts),
        lost: LostByPlace {
            ring: lost_at(LossPoint::Ring),
            sink: lost_at(LossPoint::Sink),
            decode: lost_at(LossPoint::Decode),
        },
        gaps: summary.gaps,
        hits: summary.hits.iter().map(hits_line).collect(),
        level: summary.level,
        budget: summary.budget,
        changes: summary.changes,
        coverage: summary.coverage.iter().map(level_line).collect(),
        cost_ns: summary.cost_ns,
        cost_source: cost_source(summary.is_cost_measured),
        target_cpu_ns: summary.target_cpu_ns.as_ref().ok().copied(),
        target_cpu_unknown: summary.target_cpu_ns.as_ref().err().map(String::as_str),
        own: own_fields(&summary.own),
        processes: summary.processes.iter().map(|pid| pid.0).collect(),
        state: state::objects(summary, names),
        findings: open_findings(summary),
    };
    Ok(serde_json::to_writer(out, &line)?)
}

fn cost_source(is_measured: bool) -> &'static str {
    if is_measured { "measured" } else { "assumed" }
}

fn own_fields(OwnUse { cpu_ns, displaced_ns, memory }: &OwnUse) -> OwnFields {
    OwnFields {
        goflow_cpu_ns: *cpu_ns,
        goflow_displaced_ns: *displaced_ns,
        goflow_memory_bytes: memory.map(|memory| memory.resident),
        goflow_memory_peak_bytes: memory.map(|memory| memory.peak),
    }
}

fn filter_object(filter: &Filter) -> FilterObject {
    FilterObject {
        one_of: filter.sample.map(Sample::one_of),
        created_at: filter.created_at.iter().map(ToString::to_string).collect(),
        channels: filter.channels.iter().map(|channel| RuntimeAddr(channel.0).into()).collect(),
        min_block_ns: filter.min_block.map(|time| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)),
        aggregate: filter.aggregate,
        records_nothing: filter.records_nothing(),
    }
}

fn probe_line(probe: &ProbeMeta) -> ProbeLine<'_> {
    ProbeLine {
        probe: words::probe(probe.probe),
        function: &probe.function,
        at: probe.at,
        address: probe.address.to_string(),
        instruction: &probe.instruction,
        class: probe.class,
    }
}

fn unavailable_line(unavailable: &Unavailable) -> UnavailableLine<'_> {
    UnavailableLine { what: &unavailable.what, why: &unavailable.why }
}

fn hits_line(hits: &ProbeHits) -> HitsLine<'_> {
    HitsLine {
        binary: &hits.binary.path,
        binary_deleted: hits.binary.is_deleted,
        probe: words::probe(hits.probe),
        function: &hits.function,
        hits: hits.hits,
        eventless: hits.eventless,
        filtered: hits.filtered,
        cost_ns: hits.cost_ns,
        estimated: hits.estimate.map(|Estimate { total, error }| EstimateObject { hits: total, error }),
    }
}

fn level_line(coverage: &LevelCoverage) -> LevelLine {
    let LevelCoverage { level, mode, watched_ns, off_ns, windows } = *coverage;
    LevelLine { level, mode: mode.name(), watched_ns, off_ns, windows }
}
