//! Findings as one JSON object. The structs are the schema, docs/check.md explains them; keys are a contract.

use super::{Described, Found, Named, Of, Place, Report, Subject};
use crate::model::Object;
use crate::sink::json::Hex;
use crate::sink::words;
use std::io::{self, Write};

/// Version of the schema.
const SCHEMA: u32 = 1;

#[derive(serde::Serialize)]
struct Document<'a> {
    meta: Meta<'a>,
    findings: Vec<FoundObject<'a>>,
}

#[derive(serde::Serialize)]
struct Meta<'a> {
    schema: u32,
    goflow: &'a str,
    pid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    core: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    command: Option<&'a [String]>,
    binary: Option<&'a str>,
    go_version: Option<&'a str>,
    started_ns: u64,
    looks: u64,
    duration_ns: u64,
    goroutines: u64,
    processes: Vec<ProcessObject<'a>>,
    limits: &'a [String],
}

#[derive(serde::Serialize)]
struct ProcessObject<'a> {
    pid: Option<u32>,
    binary: &'a str,
    go_version: Option<&'a str>,
    started_ns: u64,
    looks: u32,
    duration_ns: u64,
    goroutines: u64,
}

/// A finding, and who has it.
#[derive(serde::Serialize)]
struct FoundObject<'a> {
    #[serde(flatten)]
    finding: FindingObject<'a>,
    pid: Option<u32>,
    binary: Option<&'a str>,
    other_pids: Vec<u32>,
}

/// A finding; also in the lines of a session.
#[derive(serde::Serialize)]
pub(in crate::sink) struct FindingObject<'a> {
    rule: &'a str,
    title: &'a str,
    severity: &'a str,
    confidence: &'a str,
    fingerprint: &'a str,
    since_ns: u64,
    opened_ns: u64,
    goroutines: Vec<GoroutineObject<'a>>,
    more_goroutines: u64,
    functions: Vec<PlaceObject<'a>>,
    objects: Vec<ObjectObject>,
    evidence: &'a [String],
}

#[derive(serde::Serialize)]
struct GoroutineObject<'a> {
    goid: u64,
    function: Option<&'a str>,
    file: Option<&'a str>,
    line: Option<u32>,
    state: Option<&'a str>,
    wait_reason: Option<&'a str>,
    since_ns: Option<u64>,
    created_at: Option<PlaceObject<'a>>,
    stack: Vec<PlaceObject<'a>>,
}

#[derive(serde::Serialize)]
struct PlaceObject<'a> {
    function: &'a str,
    file: Option<&'a str>,
    line: Option<u32>,
}

#[derive(serde::Serialize)]
struct ObjectObject {
    kind: &'static str,
    address: Hex,
}

/// Writes a report.
///
/// # Errors
/// `out` takes no more.
pub fn write(report: &Report<'_>, out: &mut dyn Write) -> io::Result<()> {
    let only = report.only();
    let document = Document {
        meta: Meta {
            schema: SCHEMA,
            goflow: env!("CARGO_PKG_VERSION"),
            pid: only.and_then(|one| one.pid),
            core: if let Of::Core(core) = &report.of { Some(core) } else { None },
            command: if let Of::Command(words) = &report.of { Some(words) } else { None },
            binary: only.map(|one| one.binary.as_str()),
            go_version: only.and_then(|one| one.go_version.as_deref()),
            started_ns: report.started.0,
            looks: report.looks(),
            duration_ns: report.duration_ns,
            goroutines: report.goroutines(),
            processes: report.processes.iter().map(process).collect(),
            limits: &report.limits,
        },
        findings: report.findings.iter().map(|one| found(report, one)).collect(),
    };
    serde_json::to_writer(&mut *out, &document)?;
    writeln!(out)
}

fn process(process: &Subject) -> ProcessObject<'_> {
    ProcessObject {
        pid: process.pid,
        binary: &process.binary,
        go_version: process.go_version.as_deref(),
        started_ns: process.started.0,
        looks: process.looks,
        duration_ns: process.duration_ns,
        goroutines: process.goroutines,
    }
}

fn found<'a>(report: &'a Report<'_>, found: &'a Found<'_>) -> FoundObject<'a> {
    let process = report.process_of(found);
    FoundObject {
        finding: finding(&found.described),
        pid: process.and_then(|process| process.pid),
        binary: process.map(|process| process.binary.as_str()),
        other_pids: report.others(found).collect(),
    }
}

/// A finding as an object.
pub(in crate::sink) fn finding<'a>(described: &'a Described<'_>) -> FindingObject<'a> {
    let Described { finding, fingerprint, goroutines, functions, evidence } = described;
    FindingObject {
        rule: finding.rule.id,
        title: finding.rule.title,
        severity: finding.rule.severity.name(),
        confidence: finding.confidence.name(),
        fingerprint,
        since_ns: finding.since.0,
        opened_ns: finding.opened.0,
        goroutines: goroutines.iter().map(goroutine).collect(),
        more_goroutines: finding.more,
        functions: functions.iter().map(place).collect(),
        objects: finding.objects.iter().map(object).collect(),
        evidence,
    }
}

fn goroutine(named: &Named) -> GoroutineObject<'_> {
    let at = named.place.as_ref();
    GoroutineObject {
        goid: named.goid.0,
        function: at.map(|at| at.function.as_str()),
        file: at.and_then(|at| at.file.as_deref()),
        line: at.and_then(|at| at.line),
        state: named.state,
        wait_reason: named.wait_reason.as_deref(),
        since_ns: named.since.map(|since| since.0),
        created_at: named.created.as_ref().map(place),
        stack: named.stack.iter().map(place).collect(),
    }
}

fn place(place: &Place) -> PlaceObject<'_> {
    PlaceObject { function: &place.function, file: place.file.as_deref(), line: place.line }
}

fn object(object: &Object) -> ObjectObject {
    match object {
        Object::Channel(address) => ObjectObject { kind: "channel", address: Hex(address.0) },
        Object::Sync(kind, address) => {
            ObjectObject { kind: words::primitive(*kind), address: Hex(address.0) }
        }
    }
}
