//! Findings for a person: each with what it is, the evidence in sentences, and where the goroutines stand.

use super::{Described, Report, spot};
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
    for described in &report.findings {
        finding(described, out)?;
        writeln!(out)?;
    }
    let of = match (report.pid, &report.core) {
        (_, Some(core)) => format!("core file {}", printable(core)),
        (Some(pid), None) => format!("process {pid}"),
        (None, None) => "the process".to_owned(),
    };
    let found = match report.findings.len() {
        0 => "nothing found".to_owned(),
        count => counted(count as u64, "finding"),
    };
    writeln!(
        out,
        "{BOLD}{found}{BOLD:#} in {of} ({}), {}, {} in {}",
        printable(&report.binary),
        counted(report.goroutines, "goroutine"),
        counted(u64::from(report.looks), "look"),
        span(report.duration_ns),
    )?;
    for limit in &report.limits {
        writeln!(out, "{DIM}not found out: {}{DIM:#}", printable(limit))?;
    }
    Ok(())
}

fn finding(described: &Described<'_>, out: &mut dyn Write) -> io::Result<()> {
    let Described { finding, fingerprint, goroutines, functions, evidence } = described;
    let (rule, colour) = (finding.rule, style(finding.rule.severity));
    writeln!(
        out,
        "{colour}{}{colour:#}: {} {DIM}({}, {fingerprint}; goflow explain {}){DIM:#}",
        rule.id,
        rule.title,
        finding.confidence.name(),
        rule.id
    )?;
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
