//! Findings for a person: each with what it is, the evidence in sentences, and where the goroutines stand.

use super::{Described, Found, Report, spot};
use crate::detect::Severity;
use crate::sink::pretty::layout::{counted, span};
use crate::sink::printable::printable;
use anstyle::{AnsiColor, Style};
use std::io::{self, Write};

/// Goroutines that are listed of a finding.
const LISTED: usize = 10;

/// Frames of a goroutine that are listed.
const FRAMES: usize = 8;

const BOLD: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();

fn style(severity: Severity) -> Style {
    let colour = match severity {
        Severity::Error => AnsiColor::Red,
        Severity::Warning => AnsiColor::Yellow,
        Severity::Note => AnsiColor::Cyan,
    };
    colour.on_default().bold()
}

/// Writes a report; colours go where the writer lets them.
///
/// # Errors
/// `out` takes no more.
pub fn write(report: &Report<'_>, out: &mut dyn Write) -> io::Result<()> {
    for found in &report.findings {
        finding(report, found, out)?;
        writeln!(out)?;
    }
    let found = match report.findings.len() {
        _ if report.processes.is_empty() => "nothing looked at".to_owned(),
        0 => "nothing found".to_owned(),
        count => counted(count as u64, "finding"),
    };
    writeln!(
        out,
        "{BOLD}{found}{BOLD:#} in {}, {}, {} in {}",
        printable(&report.name()),
        counted(report.goroutines(), "goroutine"),
        counted(report.looks(), "look"),
        span(report.duration_ns),
    )?;
    for limit in &report.limits {
        writeln!(out, "{DIM}not found out: {}{DIM:#}", printable(limit))?;
    }
    Ok(())
}

/// Writes one finding.
///
/// # Errors
/// `out` takes no more.
pub(super) fn finding(report: &Report<'_>, found: &Found<'_>, out: &mut dyn Write) -> io::Result<()> {
    let Described { finding, fingerprint, goroutines, functions, evidence } = &found.described;
    let (rule, colour) = (finding.rule, style(finding.rule.severity));
    writeln!(
        out,
        "{colour}{}{colour:#}: {} {DIM}({}, {fingerprint}; goflow explain {}){DIM:#}",
        rule.id,
        rule.title,
        finding.confidence.name(),
        rule.id
    )?;
    if let Some(whose) = whose(report, found) {
        writeln!(out, "  {DIM}{}{DIM:#}", printable(&whose))?;
    }
    for sentence in evidence {
        writeln!(out, "  - {}", printable(sentence))?;
    }
    for function in functions {
        writeln!(out, "  {BOLD}function{BOLD:#} {}", printable(&spot(function)))?;
    }
    for goroutine in goroutines.iter().take(LISTED) {
        writeln!(
            out,
            "  {BOLD}goroutine {}{BOLD:#} [{}]",
            goroutine.goid.0,
            printable(goroutine.wait_reason.as_deref().or(goroutine.state).unwrap_or("unknown"))
        )?;
        for place in goroutine.stack.iter().take(FRAMES) {
            writeln!(out, "      {}", printable(&spot(place)))?;
        }
        if let Some(created) = &goroutine.created {
            writeln!(out, "      {DIM}created at{DIM:#} {}", printable(&spot(created)))?;
        }
    }
    let left = goroutines.len().saturating_sub(LISTED) as u64 + finding.more;
    if left > 0 {
        writeln!(out, "  {DIM}and {} more{DIM:#}", counted(left, "goroutine"))?;
    }
    Ok(())
}

/// Which process has it, where that is not the only one.
fn whose(report: &Report<'_>, found: &Found<'_>) -> Option<String> {
    let process = report.process_of(found).filter(|_| report.only().is_none())?;
    let pid = process.pid.map_or_else(String::new, |pid| format!(" {pid}"));
    let others = match report.others(found).count() {
        0 => String::new(),
        count => format!(", and in {count} more"),
    };
    Some(format!("in process{pid} ({}){others}", process.binary))
}
