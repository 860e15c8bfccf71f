//! Findings as one JSON object. The structs are the schema, docs/check.md explains them; keys are a contract.

use super::{Described, Named, Place, Report};
use crate::model::Object;
use crate::sink::json::Hex;
use crate::sink::words;
use std::io::{self, Write};

/// Version of the schema.
const SCHEMA: u32 = 1;

#[derive(serde::Serialize)]
struct Document<'a> {
    meta: Meta<'a>,
    findings: Vec<FindingObject<'a>>,
}

#[derive(serde::Serialize)]
struct Meta<'a> {
    schema: u32,
    goflow: &'a str,
    pid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    core: Option<&'a str>,
    binary: &'a str,
    go_version: Option<&'a str>,
    started_ns: u64,
    looks: u32,
    duration_ns: u64,
    goroutines: u64,
    limits: &'a [String],
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
    let document = Document {
        meta: Meta {
            schema: SCHEMA,
            goflow: env!("CARGO_PKG_VERSION"),
            pid: report.pid,
            core: report.core.as_deref(),
            binary: &report.binary,
            go_version: report.go_version.as_deref(),
            started_ns: report.started.0,
            looks: report.looks,
            duration_ns: report.duration_ns,
            goroutines: report.goroutines,
            limits: &report.limits,
        },
        findings: report.findings.iter().map(finding).collect(),
    };
    serde_json::to_writer(&mut *out, &document)?;
    writeln!(out)
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
