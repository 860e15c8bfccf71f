//! `goflow check`: what is wrong with a process, or was with one that left a core file, or with each of a command.
//!
//! In: arguments; out: findings, and an exit status that tells whether there are any. The target is read, never stopped. A process
//! is looked at again and again for a time, since what one look finds may be a coincidence; and traced beside that, within a
//! budget, for what only events tell.

mod command;
mod events;
mod follow;

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{ExitCode, ExitStatus};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use clap::{Args, ValueEnum};

use self::command::Checked;
use self::events::Told;
use self::follow::Plan;
use super::looks::{How, Judged, examine, on_interrupt, parse_time};
use super::options::{BudgetOption, MemoryOption};
use super::output::OutputFile;
use super::source::{Source, SourceArgs, open_process, program_of};
use super::trace::exit_code;
use crate::advice::Advise as _;
use crate::detect::{Confidence, RULES, Rule, Thresholds};
use crate::sink::findings::{Of, Report, json, junit, sarif, text};
use crate::target::host::wall_clock_offset_ns;

/// Exit status where something was found.
const EXIT_FINDINGS: u8 = 1;

/// How long a process is looked at unless another time is given.
const DEFAULT_DURATION: Duration = Duration::from_secs(3);

const USAGE: &str = "goflow check [OPTIONS] <--pid PID | --core FILE | -- CMD ARGS…>";

const EXAMPLES: &str = "\
Examples:
  sudo goflow check --pid 1234
      What is wrong with a running process: three seconds of looks at its memory and of its events.
  sudo goflow check --pid 1234 --level snapshot
      The same without a probe, which costs the process nothing, and does not find what only events tell.
  sudo goflow check --pid 1234 --format json | jq -r '.findings[].evidence[]'
      The same for programs; docs/check.md explains the fields.
  sudo goflow check --pid 1234 --rules deadlock,circular-wait --fail-on proven
      Only these rules, and an exit status of 1 only where it cannot be otherwise.
  sudo goflow check --pid 1234 --format sarif --output findings.sarif
      For code scanning, which shows each finding at its line.
  sudo goflow check --pid 1234 --format junit --output goflow.xml
      For CI: each rule is a test, and fails with the evidence.
  goflow check -- go test ./...
      Each test program that `go test` starts; needs no privilege. A test that hangs is ended after ten seconds.
  goflow check --format junit --output goflow.xml -- go test ./...
      The same for CI: standard output has what `go test` prints, the file the findings.
  goflow check --for 1m -- ./svc --port 8080
      A service, which is ended after a minute.
  goflow check --core core.1234 --binary ./svc
      Of a process that is gone.
  goflow explain circular-wait
      What a rule finds, how to mend it, and when it is a false alarm.

Exit status: 0 nothing was found, 1 findings, 2 error. Where nothing was found, that of the command is passed on.";

/// Find deadlocks and leaked goroutines, with the evidence
///
/// Reads the goroutines of a process and what they can reach, several times within a few seconds, and tells who waits in a
/// circle and who waits where nobody can come any more. The process is not stopped and not written to. Beside that its events are
/// traced, for what only they tell, such as a channel that is closed twice; within --budget, and --level snapshot does without.
///
/// With a command, each Go program among the processes that it starts is looked at for as long as it lives, but for Go's own
/// tools: with `go test ./...` those are the test programs. What is told is what was wrong at the last look at each.
#[derive(Args, Clone)]
#[command(after_long_help = EXAMPLES, override_usage = USAGE)]
pub(super) struct CheckArgs {
    #[command(flatten)]
    source: SourceArgs,
    /// Start this command and check its processes until it ends
    ///
    /// Under sudo it runs as the user who called sudo. It keeps the terminal, and goflow reports once it has ended: on standard output,
    /// behind what it has printed itself, or in --output. Interrupts are passed on; a second one, or SIGTERM, ends the command and
    /// all that it has started.
    #[arg(last = true, value_name = "CMD", group = "source")]
    command: Vec<OsString>,
    /// Look for this time, such as 3s or 1m [default: 3s, and at a command until it ends]
    ///
    /// A command is ended then, with all that it has started: by SIGTERM, and five seconds later by SIGKILL.
    #[arg(long = "for", value_name = "TIME", value_parser = parse_time, conflicts_with = "core")]
    duration: Option<Duration>,
    /// End a process of the command that has been unable to go on for this time, such as 30s; never: wait for it
    ///
    /// That is one whose first goroutine is in a finding that is likely or proven, and which uses no CPU: it would never end. It is
    /// ended as `go test` ends a test that takes too long, by SIGQUIT, for which Go prints all goroutines; its parent goes on.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = parse_end_hung, conflicts_with_all = ["pid", "core"])]
    end_hung: EndHung,
    /// Of a process, what is used to find out: its memory alone, or its events as well
    ///
    /// Where probes cannot be placed, it is told what is not found for that.
    #[arg(long, value_enum, value_name = "LEVEL", default_value_t = Level::Channels, conflicts_with_all = ["core", "command"])]
    level: Level,
    #[command(flatten)]
    budget: BudgetOption,
    /// How to write the findings
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = Format::Text)]
    format: Format,
    /// Write to this file instead of standard output (`-`)
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Only these rules, separated by commas; `goflow explain` lists them
    #[arg(long, value_name = "RULES", value_delimiter = ',', value_parser = parse_rule)]
    rules: Vec<&'static Rule>,
    /// Let a rule that counts tell something from this number on, such as `waiters=10`; its page (`goflow explain`) has the names
    #[arg(long = "threshold", value_name = "NAME=VALUE", value_parser = parse_threshold)]
    thresholds: Vec<(String, u64)>,
    /// Exit with 1 only where a finding is at least this sure
    #[arg(long, value_enum, value_name = "CONFIDENCE", default_value_t = FailOn::Likely)]
    fail_on: FailOn,
    #[command(flatten)]
    memory: MemoryOption,
}

/// What is used to find out what is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Level {
    /// Looks at the memory: no probe is placed, and it costs the process nothing
    Snapshot,
    /// And events of goroutines and channels, by probes
    Channels,
}

/// How findings are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For a person
    Text,
    /// One JSON object; docs/check.md explains the fields
    Json,
    /// SARIF 2.1.0, which code scanning shows at the lines; files under the working directory are named from there
    Sarif,
    /// JUnit XML, in which each rule is a test that CI shows, also those that pass
    Junit,
}

/// What a finding has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum FailOn {
    /// Any finding
    Suspected,
    /// Everything speaks for it
    Likely,
    /// It cannot be otherwise
    Proven,
    /// None does
    Never,
}

impl FailOn {
    fn includes(self, confidence: Confidence) -> bool {
        match self {
            Self::Suspected => true,
            Self::Likely => confidence >= Confidence::Likely,
            Self::Proven => confidence >= Confidence::Proven,
            Self::Never => false,
        }
    }
}

/// When a process that hangs is ended, if ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct EndHung(Option<Duration>);

fn parse_end_hung(text: &str) -> Result<EndHung, String> {
    if text == "never" {
        return Ok(EndHung(None));
    }
    parse_time(text).map(Some).map(EndHung).map_err(|error| format!("{error}, or never"))
}

pub(super) fn parse_rule(text: &str) -> Result<&'static Rule, String> {
    let known = || RULES.iter().map(|rule| rule.id).collect::<Vec<_>>().join(", ");
    Rule::named(text.trim()).ok_or_else(|| format!("there is no such rule; there are {}", known()))
}

/// The name is checked here as well, so that what is wrong is told before anything is read.
fn parse_threshold(text: &str) -> Result<(String, u64), String> {
    let (name, value) = text.split_once('=').ok_or("it is a name and a number: looks=8")?;
    let value = value.parse().map_err(|error| format!("{value:?} is no number ({error})"))?;
    Thresholds::default().set(name, value)?;
    Ok((name.to_owned(), value))
}

impl CheckArgs {
    fn thresholds(&self) -> anyhow::Result<Thresholds> {
        let mut thresholds = Thresholds::default();
        let set = self.thresholds.iter().try_for_each(|(name, value)| thresholds.set(name, *value));
        set.map_err(|error| anyhow!(error))?;
        Ok(thresholds)
    }

    fn file(&self) -> Option<&Path> {
        self.output.as_deref().filter(|path| *path != Path::new("-"))
    }

    fn wants(&self, rule: &'static Rule) -> bool {
        self.rules.is_empty() || self.rules.contains(&rule)
    }

    /// There is a process that can be probed, and it is to be.
    fn has_events(&self) -> bool {
        self.level == Level::Channels
            && self.command.is_empty()
            && matches!(self.source.source(), Ok(Source::Process(_)))
    }

    /// Those that are asked.
    fn rules(&self) -> Vec<&'static Rule> {
        let can = |rule: &Rule| self.has_events() || !rule.is_of_events;
        RULES.iter().copied().filter(|rule| self.wants(rule) && can(rule)).collect()
    }

    /// Refuses rules that could never find anything.
    fn check_rules(&self) -> anyhow::Result<()> {
        let deaf = self.rules.iter().find(|rule| rule.is_of_events && !self.has_events());
        deaf.map_or(Ok(()), |rule| {
            Err(anyhow!("{} is found by events only, and there are none here", rule.id))
                .advise(|| "give a process with --pid, and --level channels, or leave the rule out")
        })
    }
}

/// How a command is given that begins with `word`, which was given without a word on what it is.
pub(super) fn suggestion(word: &str) -> String {
    match word.parse::<u32>() {
        Ok(pid) => format!("did you mean '--pid {pid}'?"),
        Err(_) => format!("did you mean '-- {word}' (to start it and check it)?"),
    }
}

pub(super) fn run(args: &CheckArgs) -> anyhow::Result<ExitCode> {
    args.check_rules()?;
    // Whoever waits for a command for long is to know at once that its report has no place.
    let inputs = args.source.inputs();
    let file = args.file().map(|path| OutputFile::open(path, &inputs)).transpose()?;
    let (is_bad, status) =
        if args.command.is_empty() { (of_source(args, file)?, None) } else { of_command(args, file)? };
    Ok(match status {
        _ if is_bad => ExitCode::from(EXIT_FINDINGS),
        Some(status) => exit_code(status),
        None => ExitCode::SUCCESS,
    })
}

fn of_source(args: &CheckArgs, file: Option<OutputFile>) -> anyhow::Result<bool> {
    let source = args.source.source()?;
    let of_events: Vec<&'static Rule> = args.rules().into_iter().filter(|rule| rule.is_of_events).collect();
    let (Source::Process(pid), false) = (source, of_events.is_empty()) else {
        let wants_end = matches!(source, Source::Process(_)).then(on_interrupt).transpose()?;
        return look(args, file, wants_end.as_deref(), Told::default);
    };
    // What is no process, or no program of Go, is told at once.
    program_of(open_process(pid)?.pid())?;
    let duration = args.duration.unwrap_or(DEFAULT_DURATION);
    let plan = events::Plan { pid, rules: of_events, budget: args.budget.budget, duration };
    let args = args.clone();
    events::beside(&plan, move |is_over, told| {
        look(&args, file, Some(is_over), || told.recv().unwrap_or_default())
    })
}

/// Looks until the time is over or somebody says so, and writes what was found, with what `told` says of events.
fn look(
    args: &CheckArgs,
    file: Option<OutputFile>,
    is_over: Option<&AtomicBool>,
    told: impl FnOnce() -> Told,
) -> anyhow::Result<bool> {
    let how = How {
        duration: args.duration.unwrap_or(DEFAULT_DURATION),
        most_bytes: args.memory.bytes(),
        thresholds: args.thresholds()?,
        is_over,
    };
    let wanted = |rule: &'static Rule| args.wants(rule) && !rule.is_of_events;
    examine(args.source.source()?, how, wanted, |examination, origin| {
        let Judged { subject, mut limits, unasked, mut findings } =
            Judged::of(examination, origin).context("nothing was read")?;
        let Told { findings: more, limits: others, unavailable } = told();
        limits.extend(others);
        findings.extend(more);
        let mut report = Report::new(origin.core.clone().map_or(Of::Process, Of::Core));
        let of_events = args.rules().into_iter().filter(|rule| rule.is_of_events);
        report.unasked = unasked;
        report.unasked.extend(of_events.filter_map(|rule| Some((rule, unavailable.clone()?))));
        report.add(subject, limits, findings);
        write(args, file, &report)
    })
}

/// And how the command ended, where goflow did not end it.
fn of_command(args: &CheckArgs, file: Option<OutputFile>) -> anyhow::Result<(bool, Option<ExitStatus>)> {
    if file.is_none() && args.format != Format::Text {
        tracing::warn!(
            "the command prints to standard output as well; --output FILE keeps the findings apart"
        );
    }
    let plan = Plan {
        rules: args.rules(),
        thresholds: args.thresholds()?,
        most_bytes: args.memory.bytes(),
        end_hung: args.end_hung.0,
    };
    let Checked { report, status } = command::check(&args.command, plan, args.duration)?;
    Ok((write(args, file, &report)?, status))
}

/// Writes what was found; returns whether there is something that is to be failed on.
fn write(args: &CheckArgs, file: Option<OutputFile>, report: &Report<'_>) -> anyhow::Result<bool> {
    let root = std::env::current_dir().map_or_else(|_| String::new(), |root| root.display().to_string());
    let mut bytes = Vec::new();
    match args.format {
        Format::Text => text::write(report, &mut bytes)?,
        Format::Json => json::write(report, &mut bytes)?,
        Format::Sarif => sarif::write(report, &root, &mut bytes)?,
        Format::Junit => {
            let rules = args.rules();
            let asked = junit::Asked {
                rules: &rules,
                is_failure: &|confidence| args.fail_on.includes(confidence),
                wall_clock_offset_ns: (!matches!(report.of, Of::Core(_))).then(wall_clock_offset_ns),
            };
            junit::write(report, &asked, &root, &mut bytes)?;
        }
    }
    let written = match (file, args.format) {
        (Some(file), Format::Text) => write_whole(file, &anstream::adapter::strip_bytes(&bytes).into_vec()),
        (Some(file), _) => write_whole(file, &bytes),
        (None, Format::Text) => write_whole(anstream::stdout().lock(), &bytes),
        (None, _) => write_whole(io::stdout().lock(), &bytes),
    };
    // That its reader has gone away changes nothing about what was found.
    if let Err(error) = written.or_else(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => Ok(()),
        _ => Err(error),
    }) {
        return Err(error).context("the findings could not be written");
    }
    let mut confidences = report.findings.iter().map(|found| found.described.finding.confidence);
    Ok(confidences.any(|confidence| args.fail_on.includes(confidence)))
}

fn write_whole(mut out: impl Write, bytes: &[u8]) -> io::Result<()> {
    out.write_all(bytes).and_then(|()| out.flush())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_hangs_is_ended_after_a_time_or_never() {
        assert_eq!(parse_end_hung("never"), Ok(EndHung(None)));
        assert_eq!(parse_end_hung("30s"), Ok(EndHung(Some(Duration::from_secs(30)))));
        for wrong in ["", "soon", "0s", "30"] {
            assert!(parse_end_hung(wrong).is_err_and(|error| error.ends_with(", or never")), "{wrong}");
        }
    }

    #[test]
    fn a_word_too_many_is_a_process_or_a_command() {
        assert_eq!(suggestion("1234"), "did you mean '--pid 1234'?");
        assert!(suggestion("./svc").contains("'-- ./svc'"));
    }
}
