//! Findings as SARIF 2.1.0 (OASIS), so that code scanning shows them at their lines.
//!
//! A finding is a result at the line at which its first goroutine waits; the lines of the others are related locations, and the
//! evidence is the message. Paths are as the binary spells them, relative where they lie under `root`.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::{Described, Found, Named, Place, Report, TEST_MAIN, relative};
use crate::detect::{Confidence, RULES, Severity};
use std::io::{self, Write};

/// What is not as it is in the path of a URI (RFC 3986).
const IN_PATH: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'/')
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'(')
    .remove(b')')
    .remove(b'*')
    .remove(b'+')
    .remove(b',')
    .remove(b'=')
    .remove(b'@');

#[derive(serde::Serialize)]
#[serde(rename_all = "camelCase")]
struct Log<'a> {
    version: &'a str,
    runs: [Run<'a>; 1],
}

#[derive(serde::Serialize)]
#[serde(rename_all = "camelCase")]
struct Run<'a> {
    tool: Tool<'a>,
    invocations: [Invocation<'a>; 1],
    results: Vec<Outcome<'a>>,
}

/// What could not be found out is told as a notification.
#[derive(serde::Serialize)]
#[serde(rename_all = "camelCase")]
struct Invocation<'a> {
    execution_successful: bool,
    tool_execution_notifications: Vec<Notification<'a>>,
}

#[derive(serde::Serialize)]
struct Notification<'a> {
    level: &'static str,
    message: Text<'a>,
}

#[derive(serde::Serialize)]
struct Tool<'a> {
    driver: Driver<'a>,
}

#[derive(serde::Serialize)]
#[serde(rename_all = "camelCase")]
struct Driver<'a> {
    name: &'a str,
    semantic_version: &'a str,
    rules: Vec<RuleObject<'a>>,
}

#[derive(serde::Serialize)]
#[serde(rename_all = "camelCase")]
struct RuleObject<'a> {
    id: &'a str,
    short_description: Text<'a>,
    help: Help<'a>,
    default_configuration: Configuration,
}

#[derive(serde::Serialize)]
struct Help<'a> {
    text: &'a str,
    markdown: &'a str,
}

#[derive(serde::Serialize)]
struct Configuration {
    level: &'static str,
}

#[derive(serde::Serialize)]
struct Text<'a> {
    text: std::borrow::Cow<'a, str>,
}

#[derive(serde::Serialize)]
#[serde(rename_all = "camelCase")]
struct Outcome<'a> {
    rule_id: &'a str,
    level: &'static str,
    message: Text<'a>,
    locations: Vec<Location<'a>>,
    related_locations: Vec<Location<'a>>,
    partial_fingerprints: Fingerprints<'a>,
    rank: f64,
    properties: Properties<'a>,
}

/// What the standard has no place for.
#[derive(serde::Serialize)]
struct Properties<'a> {
    pid: Option<u32>,
    binary: Option<&'a str>,
    other_pids: Vec<u32>,
}

#[derive(serde::Serialize)]
struct Fingerprints<'a> {
    #[serde(rename = "goflow/v1")]
    goflow: &'a str,
}

#[derive(serde::Serialize)]
#[serde(rename_all = "camelCase")]
struct Location<'a> {
    physical_location: Physical,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<Text<'a>>,
}

#[derive(serde::Serialize)]
#[serde(rename_all = "camelCase")]
struct Physical {
    artifact_location: Artifact,
    #[serde(skip_serializing_if = "Option::is_none")]
    region: Option<Region>,
}

#[derive(serde::Serialize)]
struct Artifact {
    uri: String,
}

#[derive(serde::Serialize)]
#[serde(rename_all = "camelCase")]
struct Region {
    start_line: u32,
}

/// Writes a report.
///
/// # Errors
/// `out` takes no more.
pub fn write(report: &Report<'_>, root: &str, out: &mut dyn Write) -> io::Result<()> {
    let rules = RULES.iter().map(|rule| RuleObject {
        id: rule.id,
        short_description: Text { text: rule.title.into() },
        help: Help { text: rule.page, markdown: rule.page },
        default_configuration: Configuration { level: level(rule.severity) },
    });
    let log = Log {
        version: "2.1.0",
        runs: [Run {
            tool: Tool {
                driver: Driver {
                    name: "goflow",
                    semantic_version: env!("CARGO_PKG_VERSION"),
                    rules: rules.collect(),
                },
            },
            invocations: [Invocation {
                execution_successful: true,
                tool_execution_notifications: report.limits.iter().map(|limit| notification(limit)).collect(),
            }],
            results: report.findings.iter().map(|found| outcome(report, found, root)).collect(),
        }],
    };
    serde_json::to_writer(&mut *out, &log)?;
    writeln!(out)
}

fn notification(limit: &str) -> Notification<'_> {
    Notification { level: "warning", message: Text { text: format!("not found out: {limit}").into() } }
}

fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Note => "note",
        Severity::Warning => "warning",
        Severity::Error => "error",
    }
}

fn outcome<'a>(report: &'a Report<'_>, found: &'a Found<'_>, root: &str) -> Outcome<'a> {
    let Described { finding, fingerprint, goroutines, functions, evidence } = &found.described;
    let process = report.process_of(found);
    let of_goroutine = |named: &'a Named| {
        let waits = named.wait_reason.is_some() && !finding.rule.is_of_events;
        let waits = named.place.as_ref().map(|place| (place, if waits { "waits" } else { "was" }));
        let (place, what) = waits.or(named.created.as_ref().map(|place| (place, "was created")))?;
        Some((place, format!("goroutine {} {what} here", named.goid.0)))
    };
    let functions = functions.iter().map(|place| (place, "this is called".to_owned()));
    let mut places: Vec<(&Place, String)> =
        goroutines.iter().filter_map(of_goroutine).chain(functions).collect();
    // What `go test` generates is no file that anybody could open.
    places.sort_by_key(|(place, _)| place.file.as_deref() == Some(TEST_MAIN));
    places.dedup_by_key(|(place, _)| (place.file.clone(), place.line));
    let mut locations = places
        .into_iter()
        .filter_map(|(place, message)| location(place, root, Some(Text { text: message.into() })));
    let first = locations.next().map(|first| Location { message: None, ..first });
    Outcome {
        rule_id: finding.rule.id,
        level: level(finding.rule.severity),
        message: Text { text: format!("{}: {}", finding.rule.title, evidence.join("; ")).into() },
        related_locations: locations.collect(),
        locations: first.into_iter().collect(),
        partial_fingerprints: Fingerprints { goflow: fingerprint },
        rank: match finding.confidence {
            Confidence::Suspected => 30.0,
            Confidence::Likely => 80.0,
            Confidence::Proven => 100.0,
        },
        properties: Properties {
            pid: process.and_then(|process| process.pid),
            binary: process.map(|process| process.binary.as_str()),
            other_pids: report.others(found).collect(),
        },
    }
}

fn location<'a>(place: &'a Place, root: &str, message: Option<Text<'a>>) -> Option<Location<'a>> {
    let file = place.file.as_deref()?;
    let uri = utf8_percent_encode(relative(file, root), IN_PATH).to_string();
    let region = place.line.map(|start_line| Region { start_line });
    Some(Location { physical_location: Physical { artifact_location: Artifact { uri }, region }, message })
}
