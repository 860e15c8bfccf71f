//! `goflow doctor`: would tracing work here, and if not, what mends it?
//!
//! In: the machine, by [`facts`]; out: one [`judge::Check`] per requirement with the value found, the value needed and
//! the command that mends it, and one verdict with three answers: yes, no, could not tell. Exit status 0 for a yes, 2
//! otherwise.

mod cost;
mod facts;
mod judge;

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::process::ExitCode;

use anstyle::{AnsiColor, Style};
use anyhow::Context as _;
use clap::{Args, ValueEnum};
use serde::Serialize;

use self::cost::Cost;
use self::judge::{Check, Status, Verdict};

/// Check whether this machine can trace Go programs, and how to mend what is missing
///
/// Checks the kernel, BPF, uprobes, capabilities, limits and sandboxes, by trying rather than by version where that is
/// possible; the trial puts a probe into goflow itself.
#[derive(Args)]
#[command(after_long_help = "\
Exit status: 0 when tracing would work, 2 when it would not or when that could not be told.

JSON: {\"verdict\": yes, no or unknown, \"checks\": [{\"id\", \"status\": ok, warn, fail or unknown,
\"found\", \"needed\", \"fix\": null where nothing is to be mended}, …]}
With --cost also \"cost\": {\"attach_method\", \"emulated\" and \"single_stepped\": {\"trap_ns\": the trap alone,
\"record_ns\": with a record, \"stack_ns\": and a park's stack}}, null where it could not be measured")]
pub(super) struct DoctorArgs {
    /// How to print the result
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = Format::Text)]
    format: Format,
    /// Also measure what a probe costs the program on this machine, by class of instruction
    ///
    /// Functions of goflow itself are probed and hit some thousand times, which takes about a quarter of a second.
    #[arg(long)]
    cost: bool,
}

/// How to print the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people
    Text,
    /// For programs: one JSON object
    Json,
}

#[derive(Serialize)]
struct Report {
    verdict: Verdict,
    checks: Vec<Check>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cost: Option<Option<Cost>>,
}

pub(super) fn run(args: &DoctorArgs) -> anyhow::Result<ExitCode> {
    let cost = args.cost.then(cost::measure);
    let facts = facts::gather();
    let checks = judge::judge(&facts);
    let cost = cost.map(|cost| cost.inspect_err(|error| tracing::warn!("{error:#}")).ok());
    let report = Report { verdict: judge::verdict(&checks), checks, cost };
    let text = match args.format {
        Format::Text => text(&report, judge::least(&facts).setcap, judge::without_probes(&facts)),
        Format::Json => serde_json::to_string(&report)? + "\n",
    };
    anstream::stdout().write_all(text.as_bytes()).context("the report could not be written")?;
    io::stdout().flush().context("the report could not be written")?;
    Ok(match report.verdict {
        Verdict::Yes => ExitCode::SUCCESS,
        Verdict::No | Verdict::Unknown => ExitCode::from(super::EXIT_ERROR),
    })
}

fn text(report: &Report, setcap: &str, without_probes: Option<&str>) -> String {
    const DIM: Style = Style::new().dimmed();
    const BOLD: Style = Style::new().bold();
    let mut out = String::new();
    // Writing to a String cannot fail.
    for check in &report.checks {
        let (mark, style) = mark(check.status);
        let _ = writeln!(out, "{style}{mark:<4}{style:#}  {:<16}  {}", check.id, check.found);
        if check.status != Status::Ok {
            let _ = writeln!(out, "{:24}{DIM}needed:{DIM:#} {}", "", check.needed);
        }
        if let Some(fix) = &check.fix {
            let _ = writeln!(out, "{:24}{DIM}mend it:{DIM:#} {fix}", "");
        }
    }
    let _ = writeln!(out, "\n{BOLD}{}{BOLD:#}", sentence(report));
    if let (Verdict::No | Verdict::Unknown, Some(commands)) = (report.verdict, without_probes) {
        let _ = writeln!(out, "Without probes this works:\n  {commands}");
    }
    let _ = writeln!(
        out,
        "The least privilege that works here, with CAP_SYS_PTRACE for the processes of other users:\n  \
         sudo setcap {setcap}+ep $(command -v goflow)"
    );
    if let Some(Some(cost)) = &report.cost {
        out += &cost::text(cost);
    }
    out
}

fn mark(status: Status) -> (&'static str, Style) {
    match status {
        Status::Ok => ("ok", AnsiColor::Green.on_default()),
        Status::Warn => ("warn", AnsiColor::Yellow.on_default().bold()),
        Status::Fail => ("FAIL", AnsiColor::Red.on_default().bold()),
        Status::Unknown => ("?", AnsiColor::Yellow.on_default().bold()),
    }
}

fn sentence(report: &Report) -> String {
    let count = |status| report.checks.iter().filter(|check| check.status == status).count();
    match report.verdict {
        Verdict::Yes => "Yes, goflow can trace here. Next: goflow trace --pid PID".to_owned(),
        Verdict::No => {
            format!("No, goflow cannot trace here as this user: {} to mend above.", count(Status::Fail))
        }
        Verdict::Unknown => {
            format!("Could not tell: {} unanswered above. As root it can be told.", count(Status::Unknown))
        }
    }
}
