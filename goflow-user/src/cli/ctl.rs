//! `goflow ctl`: asks and changes a trace that runs.
//!
//! In: which trace, and what is wanted of it; out: its state once that is in effect. Which trace is meant goes without
//! saying only where there is but one; where there are none or several it is said which there are, and nothing is asked.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use anstyle::Style;
use anyhow::{Context as _, anyhow};
use clap::{Args, Subcommand, ValueEnum};

use crate::advice::Advise as _;
use crate::pipeline::ctl::{self, Command, Found, Outcome, Refusal, Report, Status};
use crate::probe::budget::Budget;
use crate::probe::catalog;
use crate::sink::printable::printable;
use crate::sink::words::plural;

/// A trace with perf events takes some seconds for each of its probes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long a trace may take to say what it traces when there are several.
const BRIEFLY: Duration = Duration::from_millis(500);

/// Traces that are shown where there is a choice.
const SESSIONS: usize = 16;

/// Pids that are shown of a trace.
const PIDS: usize = 8;

const EXAMPLES: &str = "\
Examples:
  sudo goflow ctl status
      What the one trace that runs is doing, and what it costs.
  sudo goflow ctl level blocking
      No channel operations from now on: their probes come out, the rest goes on.
  sudo goflow ctl --session 4711 level channels
      And all of them again, of the goflow with this pid where there are several.
  sudo goflow ctl budget 0.5%
      The program may lose that much of its CPU time to probes from now on; none: whatever it takes.

A trace listens on a socket that its owner and root may open: /run/goflow/PID.sock for root,
$XDG_RUNTIME_DIR/goflow/PID.sock for others, or in the directory that GOFLOW_RUNTIME_DIR names.
Root finds those of all users. No network is involved.

Exit status: 0 when it is in effect, 2 when it is not.

JSON: {\"pid\", \"binaries\", \"pids\", \"level\", \"budget\": a part of 1 or null, \"levels\": [{\"level\",
\"mode\": continuous, sampled, removed or off, \"watched\": at this moment, \"watched_ns\", \"off_ns\"},
…], \"elapsed_ns\", \"cost_ns\", \"cost_source\": measured or assumed, \"target_cpu_ns\": null where it
is not known, \"events\", \"lost\", \"note\": a sentence or null}; docs/events.md explains the words.";

/// Ask a trace that runs how it is, and change what it sees and may cost
///
/// Prints the state of the trace once what was asked for is in effect. The trace itself tells of the change in its output.
#[derive(Args)]
#[command(after_long_help = EXAMPLES, disable_help_subcommand = true)]
pub(super) struct CtlArgs {
    /// The goflow that traces; may be left out where there is one only
    #[arg(long, global = true, value_name = "PID", value_parser = clap::value_parser!(u32).range(1..))]
    session: Option<u32>,
    /// How to print the state
    #[arg(long, global = true, value_enum, value_name = "FORMAT", default_value_t = Format::Text)]
    format: Format,
    #[command(subcommand)]
    wanted: Wanted,
}

#[derive(Clone, Copy, Subcommand)]
enum Wanted {
    /// What it traces and how, what that cost so far, and how much it saw
    Status,
    /// Watch this level and those before it from now on
    Level {
        /// Which
        #[arg(value_enum, value_name = "LEVEL")]
        level: Level,
    },
    /// Keep to another budget from now on
    Budget {
        /// How much of its CPU time the target may lose to its probes, such as 2% or 0.5%; none: whatever it takes
        #[arg(value_name = "SHARE", allow_hyphen_values = true, value_parser = str::parse::<Budget>)]
        share: Budget,
    },
}

/// Which probes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Level {
    /// None: they all come out, and goroutines are read out of memory about once a second, as before
    Snapshot,
    /// Goroutines that are created and that end
    Lifecycle,
    /// And goroutines that park, are woken, and wait for mutexes, wait groups and the like
    Blocking,
    /// And channels that are made, sent to, received from, closed and selected on
    Channels,
}

/// How to print the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people
    Text,
    /// For programs: one JSON object
    Json,
}

impl From<Wanted> for Command {
    fn from(wanted: Wanted) -> Self {
        match wanted {
            Wanted::Status => Self::Status,
            Wanted::Level { level } => Self::Level {
                level: match level {
                    Level::Snapshot => catalog::Level::Snapshot,
                    Level::Lifecycle => catalog::Level::Lifecycle,
                    Level::Blocking => catalog::Level::Blocking,
                    Level::Channels => catalog::Level::Channels,
                },
            },
            Wanted::Budget { share } => Self::Budget { budget: share.share() },
        }
    }
}

/// Asks, and prints what came of it.
pub(super) fn run(args: &CtlArgs) -> anyhow::Result<ExitCode> {
    let sessions = ctl::sessions().or_else(|error| {
        Err(error).advise(|| format!("give another directory to both by {}", ctl::VARIABLE))
    })?;
    let session = choose(&sessions, args.session)?;
    let report = match ctl::ask(session, args.wanted.into(), PATIENCE)? {
        Outcome::Ok(report) => report,
        Outcome::Error(Refusal { message, help: Some(help) }) => {
            return Err(anyhow!(message)).advise(|| help);
        }
        Outcome::Error(Refusal { message, help: None }) => return Err(anyhow!(message)),
    };
    let text = match args.format {
        Format::Text => text(&report),
        Format::Json => serde_json::to_string(&report)? + "\n",
    };
    anstream::stdout().write_all(text.as_bytes()).context("the state could not be written")?;
    io::stdout().flush().context("the state could not be written")?;
    Ok(ExitCode::SUCCESS)
}

fn choose(sessions: &[Found], wanted: Option<u32>) -> anyhow::Result<&Found> {
    if let Some(pid) = wanted {
        if let Some(session) = sessions.iter().find(|session| session.pid == pid) {
            return Ok(session);
        }
        let none = anyhow!("goflow {pid} is no trace that can be asked: it has ended, or is another user's");
        return Err(none).advise(|| match sessions {
            [] => if_none().to_owned(),
            sessions => format!("these can: {}", pids(sessions)),
        });
    }
    match sessions {
        [] => Err(anyhow!("no trace runs that can be asked")).advise(if_none),
        [one] => Ok(one),
        several => {
            let lines: String =
                several.iter().take(SESSIONS).map(|session| format!("\n  {}", described(session))).collect();
            Err(anyhow!("{} traces run:{lines}", several.len())).advise(|| "choose one by --session PID")
        }
    }
}

fn if_none() -> &'static str {
    if rustix::process::geteuid().is_root() {
        "start one: goflow trace --pid PID (one that runs and is not found says why with -v)"
    } else {
        "those of root are found by root alone: sudo goflow ctl"
    }
}

fn pids(sessions: &[Found]) -> String {
    sessions.iter().map(|session| format!("--session {}", session.pid)).collect::<Vec<_>>().join(", ")
}

/// What there is to choose, on one line.
fn described(session: &Found) -> String {
    let told = match ctl::ask(session, Command::Status, BRIEFLY) {
        Ok(Outcome::Ok(report)) => {
            format!("{}, level {}", traced(&report.status), report.status.level.name())
        }
        Ok(Outcome::Error(Refusal { message, .. })) => message,
        Err(error) => error.to_string(),
    };
    format!("{:<8} {}", session.pid, printable(&told))
}

fn traced(status: &Status) -> String {
    let binaries = status.binaries.join(", ");
    let pids: Vec<String> = status.pids.iter().take(PIDS).map(ToString::to_string).collect();
    let more = status.pids.len().saturating_sub(PIDS);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    match pids.len() as u64 {
        0 => format!("{binaries} (no process)"),
        count => format!("{binaries} ({} {}{more})", plural(count, "process"), pids.join(", ")),
    }
}

fn text(report: &Report) -> String {
    const BOLD: Style = Style::new().bold();
    const DIM: Style = Style::new().dimmed();
    let Report { status, note } = report;
    let mut out = String::new();
    let elapsed = humantime::format_duration(Duration::from_millis(status.elapsed_ns / 1_000_000));
    // Writing to a String cannot fail.
    let _ = writeln!(out, "{BOLD}goflow {}{BOLD:#} traces {}", status.pid, printable(&traced(status)));
    let mut row = |title: &str, text: String| {
        let _ = writeln!(out, "  {DIM}{title:<8}{DIM:#}{text}");
    };
    row("level", status.level.name().to_owned());
    row("budget", status.budget.map_or(Budget::Unlimited, Budget::Share).to_string());
    for (index, level) in status.levels.iter().enumerate() {
        let share = percent(level.watched_ns, status.elapsed_ns).unwrap_or(0.0);
        let now = if level.watched || level.mode != "sampled" { "" } else { ", not at this moment" };
        let text = format!(
            "{:<11}{:<12}{share:>5.1} % of the time{now}",
            printable(&level.level),
            printable(&level.mode)
        );
        row(if index == 0 { "watched" } else { "" }, text);
    }
    row("cost", cost(status));
    let lost = match status.lost {
        0 => "none lost".to_owned(),
        lost => format!("{lost} LOST"),
    };
    row("events", format!("{}, {lost}", status.events));
    row("elapsed", elapsed.to_string());
    if let Some(note) = note {
        row("note", printable(note).into_owned());
    }
    out
}

fn cost(status: &Status) -> String {
    let ms = |ns: u64| ns as f64 / 1e6;
    let cost = ms(status.cost_ns);
    if status.levels.is_empty() {
        return "nothing: there is no probe".to_owned();
    }
    let source = if status.cost_source == "measured" { "a hit was measured here" } else { "estimate" };
    match status.target_cpu_ns {
        Some(used) => match percent(status.cost_ns, used) {
            Some(share) if share <= 100.0 => {
                format!(
                    "≈ {share:.1} % of the target's CPU time: {cost:.1} ms of {:.1} ms ({source})",
                    ms(used)
                )
            }
            _ => format!("≈ {cost:.1} ms of the target's CPU time, which was {:.1} ms ({source})", ms(used)),
        },
        None => format!("≈ {cost:.1} ms; the target's CPU time is not known ({source})"),
    }
}

fn percent(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 * 100.0 / whole as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::ctl::LevelStatus;
    use std::ffi::OsString;

    fn wanted(words: &str) -> Result<Command, String> {
        let words = ["goflow", "ctl"].into_iter().chain(words.split_whitespace()).map(OsString::from);
        match crate::cli::parse(words).map_err(|error| error.to_string())?.command {
            crate::cli::Command::Ctl(args) => Ok(args.wanted.into()),
            _ => Err("another command".to_owned()),
        }
    }

    #[test]
    fn what_is_wanted_is_understood() {
        assert_eq!(wanted("status"), Ok(Command::Status));
        let level = catalog::Level::Blocking;
        assert_eq!(wanted("level blocking --session 7"), Ok(Command::Level { level }));
        assert_eq!(wanted("--format json budget 2%"), Ok(Command::Budget { budget: Some(0.02) }));
        assert_eq!(wanted("budget none"), Ok(Command::Budget { budget: None }));
        for (wrong, word) in [
            ("", "Usage"),
            ("level", "LEVEL"),
            ("level everything", "lifecycle"),
            ("budget 2", "percent sign"),
            ("budget -1%", "0.01%"),
            ("--session 0 status", "0"),
            ("dance", "dance"),
        ] {
            let refusal = wanted(wrong).unwrap_err();
            assert!(refusal.contains(word), "{wrong}: {refusal}");
        }
    }

    #[test]
    fn the_state_is_told_on_a_few_lines() {
        let level = |level: &str, mode: &str, watched, watched_ns| LevelStatus {
            level: level.to_owned(),
            mode: mode.to_owned(),
            watched,
            watched_ns,
            off_ns: 0,
        };
        let status = Status {
            pid: 4711,
            binaries: vec!["/srv/\x1bapp".to_owned()],
            pids: vec![12, 13],
            level: catalog::Level::Blocking,
            budget: Some(0.005),
            levels: vec![
                level("lifecycle", "continuous", true, 90_000_000_000),
                level("blocking", "sampled", false, 1_000_000_000),
                level("channels", "off", false, 45_000_000_000),
            ],
            elapsed_ns: 90_000_000_000,
            cost_ns: 20_000_000,
            cost_source: "measured".to_owned(),
            target_cpu_ns: Some(8_000_000_000),
            events: 12_345,
            lost: 0,
        };
        let report = Report { status, note: Some("it took long".to_owned()) };
        let plain = anstream::adapter::strip_str(&text(&report)).to_string();
        assert_eq!(
            plain.lines().collect::<Vec<_>>(),
            [
                "goflow 4711 traces /srv/\u{fffd}app (processes 12, 13)",
                "  level   blocking",
                "  budget  0.5%",
                "  watched lifecycle  continuous  100.0 % of the time",
                "          blocking   sampled       1.1 % of the time, not at this moment",
                "          channels   off          50.0 % of the time",
                "  cost    ≈ 0.2 % of the target's CPU time: 20.0 ms of 8000.0 ms (a hit was measured here)",
                "  events  12345, none lost",
                "  elapsed 1m 30s",
                "  note    it took long",
            ]
        );
    }
}
