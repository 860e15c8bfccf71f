//! `goflow trace`: from words to [`TraceOptions`] and a sink.
//!
//! In: arguments; out: a session, and its exit status: 0, or that of the traced command. What can be checked without
//! touching a target is checked first: values by their parsers, combinations by [`TraceArgs::check`], the output file by
//! opening it.

use std::ffi::OsString;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, ExitStatus};
use std::time::Duration;

use bytesize::ByteSize;
use clap::error::ErrorKind;
use clap::{ArgGroup, Args, ValueEnum};
use goflow_common::MAX_STACK_DEPTH;

use super::check::parse_rule;
use super::options::BudgetOption;
use super::output::{self, OutputFile};
use crate::advice::Advise as _;
use crate::detect::{RULES, Rule};
use crate::pipeline::{self, BoxedSink, Outcome, Targets, TraceOptions};
use crate::probe::attach::AttachError;
use crate::probe::catalog;
use crate::probe::filter::{Filter, Place, Sample};
use crate::probe::load::AttachMethod;
use crate::sink::Tee;
use crate::sink::json::Json;
use crate::sink::pretty::{Events, Pretty, Until, View};
use crate::target::Pid;
use crate::target::id::ChanAddr;
use crate::target::spawn::{SpawnError, find_program};

/// Ring buffer sizes to choose from: below, a burst of one scheduler tick is lost; above, the kernel refuses.
const RING_BYTES: std::ops::RangeInclusive<u64> = 64 << 10..=1 << 30;

/// Ring buffer size unless another is asked for.
pub(super) const DEFAULT_RING_BYTES: u32 = 4 << 20;

/// Snapshots a second to choose from with `--level snapshot`: more would not reach the output one by one.
const RATES: std::ops::RangeInclusive<f64> = 0.01..=100.0;

/// The longest wait that can be asked for.
const LONGEST_BLOCK: Duration = Duration::from_secs(24 * 60 * 60);

/// Where `--help` has what narrows a trace down.
const FILTERS: &str = "What to record";

/// Snapshots a second with `--level snapshot`.
const DEFAULT_RATE: f64 = 10.0;

const USAGE: &str = "goflow trace [OPTIONS] <--pid PID | --binary PATH | -- CMD ARGS…>";

const EXAMPLES: &str = "\
Examples:
  sudo goflow trace --pid 1234
      A running process, until Ctrl-C or until it ends.
  sudo goflow trace --pid 1234 --pid 1235 --duration 10s
      Two of them, for ten seconds.
  sudo goflow trace --binary /usr/bin/etcd
      Every process that runs this file, now and later, also in containers.
  sudo goflow trace -- ./svc --port 8080
      A command from its first instruction, run as you, not as root; its exit status is passed on.
  sudo goflow trace --format json --output trace.jsonl -- ./svc
      The same for programs: the file has the trace, and standard output what the command prints.
  sudo goflow trace --pid 1234 --format json --output trace.jsonl
      Every event as one JSON object a line, for programs; docs/events.md explains the fields.
  sudo goflow trace --pid 1234 --format json | jq -r 'select(.kind == \"park\").wait_reason'
      Why goroutines wait.

  sudo goflow trace --pid 1234 --metrics 127.0.0.1:9464 > /dev/null
      For Prometheus: what the trace costs and sees; docs/metrics.md explains the metrics.
  sudo goflow trace --pid 1234 --aggregate --duration 10s
      No event, but how often each channel was used and how long goroutines waited, counted in the kernel.
  sudo goflow trace --pid 1234 --level blocking --min-block 100ms
      Of waits only those of a tenth of a second and more: who waited for what, where, and who ended it.
  sudo goflow trace --pid 1234 --created-at net/http --sample 1/100
      One in a hundred of the goroutines that net/http creates.
  sudo goflow trace --pid 1234 --level snapshot --rate 5
      Without a probe: what changed between five looks a second at its memory.

What a probe costs the target is about a microsecond each time it is hit; the summary tells how much it was.
Level lifecycle is the cheapest, channels sees most. Level snapshot costs the target nothing and needs no BPF, only the
right to read its memory (CAP_SYS_PTRACE), but sees nothing that is shorter than the time between two looks.";

/// Show what the goroutines and channels of Go programs do, live
///
/// Attaches to running processes, to every process of a binary, or to a command that goflow starts. At most some tens of
/// lines a second are printed, also into a pipe or a file; what comes faster is folded into counts by kind and site.
#[derive(Args)]
#[command(after_long_help = EXAMPLES, override_usage = USAGE)]
#[command(group = ArgGroup::new("target").args(["pid", "binary", "command"]))]
pub(super) struct TraceArgs {
    /// Trace this process; may be given several times
    #[arg(long, value_name = "PID", value_parser = clap::value_parser!(u32).range(1..))]
    pid: Vec<u32>,
    /// Trace every process that runs this file, now and later, also in containers
    #[arg(long, value_name = "PATH")]
    binary: Option<PathBuf>,
    /// Start this command and trace it from its first instruction
    ///
    /// Under sudo it runs as the user who called sudo. It keeps the terminal, and its exit status is passed on. Ctrl-C
    /// reaches the command as well, and the trace goes on until the command has ended; Ctrl-C again, or SIGTERM or
    /// SIGHUP to goflow, ends the trace and leaves the command running. Its standard output is goflow's: with --format json, give
    /// --output FILE, or what it prints stands between the lines of the trace.
    #[arg(last = true, value_name = "CMD")]
    command: Vec<OsString>,

    /// What to trace; each level from lifecycle on includes the one before
    #[arg(long, value_enum, value_name = "LEVEL", default_value_t = Level::Channels)]
    level: Level,
    /// With --level snapshot, how often a second each process is read, 0.01 to 100 [default: 10]
    #[arg(long, value_name = "N", value_parser = parse_rate)]
    rate: Option<f64>,
    #[command(flatten)]
    budget: BudgetOption,
    /// Record one of so many goroutines, such as 1/100: all that each of them does, and who wakes it
    ///
    /// Which ones is decided by a hash of their ids. Channels and waits of all goroutines are counted beside that, as by
    /// --aggregate.
    #[arg(long, value_name = "1/N", help_heading = FILTERS)]
    sample: Option<Sample>,
    /// Record only goroutines that were created there: a function, a package, packages below one (net/...), or FILE:LINE
    ///
    /// May be given several times. It is where the `go` statement stands, and holds for goroutines from before the trace as well.
    #[arg(long, value_name = "PLACE", help_heading = FILTERS)]
    created_at: Vec<Place>,
    /// Of channel operations and waits record only those on this channel, by its address; may be given several times
    ///
    /// Addresses are in the lines of --format json, and in `goflow snapshot`. A wait is recorded when it ends, as with
    /// --min-block. Belongs to one process.
    #[arg(long, value_name = "ADDRESS", value_parser = parse_channel, help_heading = FILTERS)]
    channel: Vec<ChanAddr>,
    /// Record a wait only when it lasted at least this long, such as 10ms or 100us, and then as one event, when it ends
    ///
    /// The event is `ready`, with the park that it ends. Waits that last are in snapshots, and in the summary. Channels and
    /// waits of any length are counted beside that, as by --aggregate.
    #[arg(long, value_name = "TIME", value_parser = parse_min_block, help_heading = FILTERS)]
    min_block: Option<Duration>,
    /// Count in the kernel: operations of each channel, and how long goroutines waited, by channel and by where they were created
    ///
    /// Alone it records no event, which costs goflow next to nothing however busy the target is. The counts are told when the
    /// trace ends, and with --format json every ten seconds. Operations by `select` are not among them.
    #[arg(long, help_heading = FILTERS)]
    aggregate: bool,
    /// Tell what is wrong by these rules only, separated by commas; none: say nothing of it [default: every rule]
    ///
    /// While the trace goes on, the memory of the target is read for who waits where nobody can come any more and who holds which
    /// lock, as `goflow check` does: once a second at first, later every five, and never for more than a hundredth of a CPU. A
    /// finding is told as it opens and as it resolves; `goflow explain` lists the rules.
    #[arg(long, value_name = "RULES", value_parser = parse_rules)]
    rules: Option<Rules>,
    /// Stop after this time, such as 10s, 500ms or 1m30s; without it, when the target ends or on Ctrl-C
    ///
    /// Units are ms, s, m, h and d. A command is not ended: the trace stops, the summary is written, and goflow waits for
    /// the end of the command to pass on its exit status. Where whoever reads the output has stopped, as a paused pager, the
    /// probes come out all the same, and goflow waits for the reader, or for Ctrl-C, and says so.
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    duration: Option<Duration>,
    /// How to write events
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = Format::Pretty)]
    format: Format,
    /// Write events to this file instead of standard output (`-`)
    ///
    /// An existing file is replaced once the trace has started. Under sudo the file belongs to the user who called sudo.
    /// Header, losses and summary go to standard error as well, and if that is a terminal, how far it is once a second.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Print every event, however fast they come (with --format json this is always so)
    #[arg(long)]
    all: bool,
    /// Frames to record of the stack of a goroutine that parks, 0 to 32
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = parse_stack_depth)]
    stack_depth: u32,
    /// Size of the buffer between kernel and goflow, such as 64MiB; rounded up to a power of two [default: 4MiB]
    ///
    /// A larger one loses less when events come in bursts. Level snapshot has none.
    #[arg(long, value_name = "SIZE", value_parser = parse_ring_bytes)]
    buffer: Option<u32>,
    /// Serve metrics for Prometheus at http://ADDR:PORT/metrics, where ADDR is 127.0.0.1 or [::1]
    ///
    /// What docs/metrics.md lists: hits by probe, cost and overhead, how much each level is watched, what is lost, and what goflow
    /// itself uses. Served while the probes are in, to whoever asks on this machine; addresses that other machines reach are
    /// refused, since nobody has to say who he is. Port 0 takes one that is free; standard error tells which.
    #[arg(long, value_name = "ADDR:PORT", value_parser = pipeline::parse_metrics_address)]
    metrics: Option<SocketAddr>,
    /// How to attach: one link for all probes (Linux 6.6), or one perf event for each
    #[arg(long, value_enum, value_name = "METHOD", default_value_t = Attach::Auto, hide = true)]
    attach: Attach,
}

/// By which rules it is told what is wrong.
#[derive(Clone, Debug)]
struct Rules(Vec<&'static Rule>);

fn parse_rules(text: &str) -> Result<Rules, String> {
    if text == "none" {
        return Ok(Rules(Vec::new()));
    }
    text.split(',').map(parse_rule).collect::<Result<_, _>>().map(Rules)
}

/// Which probes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
enum Level {
    /// No probe at all: goroutines are read out of memory --rate times a second, and what changed is told
    Snapshot,
    /// Goroutines that are created and that end
    Lifecycle,
    /// And goroutines that park, are woken, and wait for mutexes, wait groups and the like
    Blocking,
    /// And channels that are made, sent to, received from, closed and selected on
    Channels,
}

/// How events are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people: source names, folded above a readable rate
    Pretty,
    /// For programs: one JSON object a line, every event
    Json,
}

/// How to attach.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Attach {
    Auto,
    UprobeMulti,
    Perf,
}

impl TraceArgs {
    /// Refuses what clap's own rules cannot express, or only in words that do not help.
    /// `has_budget`: one was given on the command line, and not in the environment.
    pub(super) fn check(&self, root: &mut clap::Command, has_budget: bool) -> Result<(), clap::Error> {
        let (kind, message) = if self.pid.is_empty() && self.binary.is_none() && self.command.is_empty() {
            let message =
                "nothing to trace: give --pid PID (`pgrep -l NAME` finds it), --binary PATH, or -- CMD ARGS…";
            (ErrorKind::MissingRequiredArgument, message)
        } else if self.all && self.format == Format::Json {
            (ErrorKind::ArgumentConflict, "--all belongs to --format pretty; JSON always has every event")
        } else if self.rate.is_some() && self.level != Level::Snapshot {
            let message =
                "--rate belongs to --level snapshot; beside probes goflow reads as often as it costs little";
            (ErrorKind::ArgumentConflict, message)
        } else if self.buffer.is_some() && self.level == Level::Snapshot {
            let message = "--buffer is of events that probes record, and --level snapshot has no probe: leave it out \
                (--rate is how often it looks), or take --level lifecycle or more";
            (ErrorKind::ArgumentConflict, message)
        } else if has_budget && self.level == Level::Snapshot {
            let message = "--budget is of what probes cost, and --level snapshot has none: leave it out \
                (--rate is how often it looks), or take --level lifecycle or more";
            (ErrorKind::ArgumentConflict, message)
        } else if self.attach != Attach::Auto && self.level == Level::Snapshot {
            let message = "--attach is how probes go in, and --level snapshot has none: leave it out, or take --level lifecycle or more";
            (ErrorKind::ArgumentConflict, message)
        } else if let Some(message) = self.misfit() {
            (ErrorKind::ArgumentConflict, message)
        } else {
            return Ok(());
        };
        // The usage line of the root would not help.
        match root.find_subcommand_mut("trace") {
            Some(trace) => Err(trace.error(kind, message)),
            None => Err(root.error(kind, message)),
        }
    }

    fn targets(&self) -> Targets {
        match &self.binary {
            Some(path) => Targets::Binary(path.clone()),
            None if self.pid.is_empty() => Targets::Command(self.command.clone()),
            None => {
                let mut pids: Vec<Pid> = self.pid.iter().copied().map(Pid).collect();
                pids.sort_unstable();
                pids.dedup();
                Targets::Pids(pids)
            }
        }
    }

    fn wanted_rules(&self) -> Vec<&'static Rule> {
        self.rules.as_ref().map_or_else(|| RULES.to_vec(), |rules| rules.0.clone())
    }

    /// Where the stream is thinned, the counts stay complete.
    fn filter(&self) -> Filter {
        Filter {
            sample: self.sample,
            created_at: self.created_at.clone(),
            channels: self.channel.clone(),
            min_block: self.min_block,
            aggregate: self.aggregate || self.sample.is_some() || self.min_block.is_some(),
        }
    }

    /// Why what is to be recorded does not go with the rest.
    fn misfit(&self) -> Option<&'static str> {
        let has_waits = self.level >= Level::Blocking;
        if !self.filter().thins() {
            None
        } else if self.level == Level::Snapshot {
            Some(
                "what to record is about events of probes, and --level snapshot has none: take --level lifecycle or more",
            )
        } else if self.min_block.is_some() && !has_waits {
            Some(
                "--min-block is about waits, which --level lifecycle does not see: take --level blocking or more",
            )
        } else if !self.channel.is_empty() && !has_waits {
            Some(
                "--channel is about channels, which --level lifecycle does not see: take --level channels, or blocking for waits",
            )
        } else if !self.channel.is_empty() && self.pid.len() != 1 {
            Some("--channel is an address in one process: give one --pid")
        } else {
            None
        }
    }

    fn options(&self) -> TraceOptions {
        TraceOptions {
            targets: self.targets(),
            level: match self.level {
                Level::Snapshot => catalog::Level::Snapshot,
                Level::Lifecycle => catalog::Level::Lifecycle,
                Level::Blocking => catalog::Level::Blocking,
                Level::Channels => catalog::Level::Channels,
            },
            interval: Duration::from_secs_f64(1.0 / self.rate.unwrap_or(DEFAULT_RATE)),
            duration: self.duration,
            budget: self.budget.budget,
            metrics: self.metrics,
            filter: self.filter(),
            rules: self.wanted_rules(),
            stack_depth: self.stack_depth,
            ring_bytes: self.buffer.unwrap_or(DEFAULT_RING_BYTES),
            attach: match self.attach {
                Attach::Auto => None,
                Attach::UprobeMulti => Some(AttachMethod::UprobeMulti),
                Attach::Perf => Some(AttachMethod::PerfEvent),
            },
        }
    }

    /// The file of `--output`; `None` for standard output.
    fn file(&self) -> Option<&Path> {
        self.output.as_deref().filter(|path| *path != Path::new("-"))
    }

    /// The files that the traced programs are started from.
    fn programs(&self) -> Vec<PathBuf> {
        // A command that is not found is refused when it is started.
        let command = self.command.first().and_then(|program| find_program(program).ok());
        let running = self.pid.iter().map(|pid| PathBuf::from(format!("/proc/{pid}/exe")));
        self.binary.iter().cloned().chain(command).chain(running).collect()
    }

    fn until(&self) -> Until {
        match self.duration {
            Some(duration) => Until::Elapsed(duration),
            None if self.command.is_empty() => Until::Interrupted,
            None => Until::CommandEnds,
        }
    }

    /// Whether what the command prints gets between the lines of the trace, which a program is to read.
    fn is_mixed(&self) -> bool {
        self.format == Format::Json && self.file().is_none() && !self.command.is_empty()
    }

    fn output_file(&self, path: &Path) -> anyhow::Result<OutputFile> {
        OutputFile::open(path, &self.programs())
    }

    fn sink(&self) -> anyhow::Result<BoxedSink> {
        let events = if self.all { Events::Every } else { Events::Folded };
        let until = self.until();
        let in_file = View { width: None, colour: false, events, progress: false, until };
        // The terminal of a command is the command's.
        let progress = self.command.is_empty() && output::can_write_over(&io::stderr());
        Ok(match (self.format, self.file()) {
            (Format::Pretty, None) => Box::new(Pretty::new(io::stdout(), view(&io::stdout(), events, until))),
            (Format::Pretty, Some(path)) => {
                Box::new(Tee::new(Pretty::new(self.output_file(path)?, in_file), status(progress, until)))
            }
            (Format::Json, None) => Box::new(Tee::new(Json::new(io::stdout()), status(false, until))),
            (Format::Json, Some(path)) => {
                Box::new(Tee::new(Json::new(self.output_file(path)?), status(progress, until)))
            }
        })
    }
}

/// Header, losses and summary, for the person who waits while the events go elsewhere.
fn status(progress: bool, until: Until) -> Pretty<impl Write> {
    Pretty::new(io::stderr(), View { progress, ..view(&io::stderr(), Events::None, until) })
}

fn view(stream: &(impl AsFd + anstream::stream::RawStream), events: Events, until: Until) -> View {
    let colour = anstream::AutoStream::choice(stream) != anstream::ColorChoice::Never;
    View { width: output::width(stream), colour, events, progress: false, until }
}

/// How the targets are given that begin `words`, which were given without a word on what they are.
pub(super) fn suggestion(words: &[&str]) -> Option<String> {
    let pids: Vec<String> =
        words.iter().map_while(|word| word.parse::<u32>().ok()).map(|pid| format!("--pid {pid}")).collect();
    let first = words.first()?;
    Some(match first {
        _ if !pids.is_empty() => format!("did you mean '{}'?", pids.join(" ")),
        path if path.contains('/') => format!(
            "did you mean '-- {path}' (to start it and trace it) or '--binary {path}' (to trace every process that runs it)?"
        ),
        name => format!(
            "did you mean '-- {name}' (to start it and trace it), or '--pid PID' (`pgrep -l {name}` finds it)?"
        ),
    })
}

/// Traces, and passes on the exit status of a traced command.
pub(super) fn run(args: &TraceArgs) -> anyhow::Result<ExitCode> {
    let options = args.options();
    tracing::debug!(?options, "tracing");
    if args.is_mixed() {
        tracing::warn!("the command prints between the lines of the trace; --output FILE keeps them apart");
    }
    let Outcome { command, is_interrupted: _ } = pipeline::trace(&options, args.sink()?).or_else(advise)?;
    Ok(command.map_or(ExitCode::SUCCESS, exit_code))
}

/// Adds what helps against the failures that have one remedy.
fn advise<T>(error: anyhow::Error) -> anyhow::Result<T> {
    let refused = is_permission(&error);
    let spawn = error.chain().find_map(|link| link.downcast_ref::<SpawnError>());
    if refused && spawn.is_some() {
        let advice = "the command runs as the user who called sudo: that user must be allowed to run it";
        return Err(error).advise(|| advice);
    }
    if refused && !rustix::process::geteuid().is_root() {
        return Err(error)
            .advise(|| "run it with sudo; `goflow doctor` prints the command that gives it what it lacks");
    }
    Err(error)
}

fn is_permission(error: &anyhow::Error) -> bool {
    error.chain().any(|link| {
        let io = link.downcast_ref::<io::Error>().map(io::Error::kind);
        let attach = link.downcast_ref::<AttachError>();
        io == Some(io::ErrorKind::PermissionDenied) || matches!(attach, Some(AttachError::Permission(_)))
    })
}

/// As a shell tells it: 128 and the signal for a command that a signal ended.
pub(super) fn exit_code(status: ExitStatus) -> ExitCode {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    ExitCode::from(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(super::EXIT_ERROR))
}

fn parse_duration(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(Duration::ZERO) => Err("a trace needs some time, such as 10s".to_owned()),
        Ok(duration) => Ok(duration),
        Err(error) => Err(format!("{error}; it is a number with a unit: 500ms, 10s, 2m, 1h, 1d, or 1m30s")),
    }
}

fn parse_min_block(text: &str) -> Result<Duration, String> {
    const SAYS: &str = "it is a number with a unit: 100us, 10ms, 1s, or 0s for waits of any length";
    let least = humantime::parse_duration(text).map_err(|error| format!("{error}; {SAYS}"))?;
    if least > LONGEST_BLOCK {
        return Err(format!("of waits that last longer than a day nobody sees the end; {SAYS}"));
    }
    Ok(least)
}

fn parse_channel(text: &str) -> Result<ChanAddr, String> {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    match u64::from_str_radix(digits, 16) {
        Ok(address) if address != 0 => Ok(ChanAddr(address)),
        _ => Err("it is the address of a channel in hexadecimal digits, such as 0xc000102060".to_owned()),
    }
}

fn parse_rate(text: &str) -> Result<f64, String> {
    let (least, most) = (RATES.start(), RATES.end());
    let rate = text.parse().ok().filter(|rate| RATES.contains(rate));
    rate.ok_or_else(|| format!("it is how often a second, a number from {least} to {most}"))
}

fn parse_stack_depth(text: &str) -> Result<u32, String> {
    let most = MAX_STACK_DEPTH as u32;
    text.parse().ok().filter(|depth| *depth <= most).ok_or_else(|| format!("it is a number from 0 to {most}"))
}

fn parse_ring_bytes(text: &str) -> Result<u32, String> {
    let bytes: ByteSize = text.parse().map_err(|_| "it is a size such as 8MiB or 512KiB".to_owned())?;
    let rounded = bytes.as_u64().checked_next_power_of_two().filter(|bytes| RING_BYTES.contains(bytes));
    rounded.and_then(|bytes| u32::try_from(bytes).ok()).ok_or_else(|| {
        format!("it is {} to {}", ByteSize::b(*RING_BYTES.start()), ByteSize::b(*RING_BYTES.end()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Command, parse};

    fn args(words: &str) -> Result<TraceArgs, String> {
        let words = ["goflow", "trace"].into_iter().chain(words.split_whitespace()).map(OsString::from);
        match parse(words).map_err(|error| error.to_string())?.command {
            Command::Trace(args) => Ok(args),
            _ => Err("another command".to_owned()),
        }
    }

    fn refusal(words: &str) -> String {
        args(words).err().unwrap_or_else(|| panic!("{words} was accepted"))
    }

    #[test]
    fn the_words_of_the_contract_are_understood() {
        let options = args("--pid 12 --pid 7 --pid 12").unwrap().options();
        assert_eq!(options.targets, Targets::Pids(vec![Pid(7), Pid(12)]));
        assert_eq!(options.level, catalog::Level::Channels);
        assert_eq!((options.duration, options.stack_depth, options.ring_bytes), (None, 8, 4 << 20));
        assert_eq!(options.attach, None);

        let options =
            args("--binary /bin/x --level lifecycle --duration 1m30s --stack-depth 0 --attach perf")
                .unwrap()
                .options();
        assert_eq!(options.targets, Targets::Binary("/bin/x".into()));
        assert_eq!(options.level, catalog::Level::Lifecycle);
        assert_eq!((options.duration, options.stack_depth), (Some(Duration::from_secs(90)), 0));
        assert_eq!(options.attach, Some(AttachMethod::PerfEvent));

        let options = args("--level blocking -- ./svc --pid 3").unwrap().options();
        assert_eq!(options.targets, Targets::Command(["./svc", "--pid", "3"].map(OsString::from).to_vec()));
    }

    #[test]
    fn only_json_on_the_standard_output_of_a_command_is_mixed_with_what_that_prints() {
        assert!(args("--format json -- ./svc").unwrap().is_mixed());
        assert!(args("--format json --output - -- ./svc").unwrap().is_mixed());
        for apart in ["--format json --output x -- ./svc", "--format json --pid 1", "-- ./svc"] {
            assert!(!args(apart).unwrap().is_mixed(), "{apart}");
        }
    }

    #[test]
    fn a_target_is_needed_and_only_one_kind_of_it() {
        assert!(refusal("").contains("--pid PID (`pgrep -l NAME` finds it)"), "{}", refusal(""));
        assert!(refusal("--").contains("nothing to trace"), "{}", refusal("--"));
        assert!(refusal("--pid 1 --binary x").contains("cannot be used with"));
        assert!(refusal("--pid 1 -- x").contains("cannot be used with"));
        assert!(refusal("--pid 0").contains("0"));
        assert!(refusal("--pid etcd").contains("etcd"));
    }

    #[test]
    fn values_out_of_range_are_refused_with_the_range() {
        assert!(
            refusal("--pid 1 --duration 10").contains("time unit needed"),
            "{}",
            refusal("--pid 1 --duration 10")
        );
        for wrong in ["10x", "ten", "s"] {
            let refusal = refusal(&format!("--pid 1 --duration {wrong}"));
            assert!(refusal.contains("500ms, 10s, 2m, 1h, 1d"), "{refusal}");
        }
        assert!(refusal("--pid 1 --duration 0s").contains("such as 10s"));
        assert!(refusal("--pid 1 --stack-depth 33").contains("0 to 32"));
        assert!(
            refusal("--pid 1 --buffer 1KiB").contains("64.0 KiB to 1.0 GiB"),
            "{}",
            refusal("--pid 1 --buffer 1KiB")
        );
        assert!(refusal("--pid 1 --buffer many").contains("8MiB"));
        assert!(refusal("--pid 1 --format json --all").contains("JSON always has every event"));
        assert!(refusal("--pid 1 --format json --all").contains("goflow trace"));
    }

    #[test]
    fn a_rate_is_a_number_that_snapshots_can_have() {
        let options = args("--pid 1 --level snapshot").unwrap().options();
        assert_eq!((options.level, options.interval), (catalog::Level::Snapshot, Duration::from_millis(100)));
        let options = args("--pid 1 --level snapshot --rate 0.5").unwrap().options();
        assert_eq!(options.interval, Duration::from_secs(2));
        for nonsense in ["0", "-1", "NaN", "inf", "101", "0.001", "often", "10/s"] {
            let refusal = refusal(&format!("--pid 1 --level snapshot --rate={nonsense}"));
            assert!(refusal.contains("from 0.01 to 100"), "{nonsense}: {refusal}");
        }
        assert!(refusal("--pid 1 --rate 5").contains("--rate belongs to --level snapshot"));
    }

    #[test]
    fn what_is_of_probes_alone_is_refused_where_there_is_none() {
        for (option, why) in [
            ("--buffer 16MiB", "--buffer is of events that probes record"),
            ("--buffer 8MiB", "--rate is how often it looks"),
            ("--attach perf", "--attach is how probes go in"),
            ("--budget 2%", "--budget is of what probes cost"),
            ("--budget none", "--rate is how often it looks"),
        ] {
            let refusal = refusal(&format!("--pid 1 --level snapshot {option}"));
            assert!(refusal.contains(why), "{option}: {refusal}");
            assert!(args(&format!("--pid 1 --level lifecycle {option}")).is_ok(), "{option}");
        }
        // How deep the stacks are that a look reads is its matter as well.
        let options = args("--pid 1 --level snapshot --stack-depth 3 --attach auto").unwrap().options();
        assert_eq!(options.stack_depth, 3);
    }

    #[test]
    fn buffer_sizes_are_rounded_up_to_a_power_of_two() {
        assert_eq!(parse_ring_bytes("8MB"), Ok(8 << 20));
        assert_eq!(parse_ring_bytes("9MiB"), Ok(16 << 20));
        assert_eq!(parse_ring_bytes("65536"), Ok(64 << 10));
        assert_eq!(parse_ring_bytes("1GiB"), Ok(1 << 30));
        assert!(parse_ring_bytes("16EiB").is_err());
    }

    #[test]
    fn a_command_that_its_user_may_not_run_is_not_a_matter_of_privilege() {
        let error = io::Error::from(io::ErrorKind::PermissionDenied);
        let error = advise::<()>(SpawnError::Start { program: "./svc".into(), error }.into()).unwrap_err();
        assert!(crate::advice::advice_of(&error).unwrap().contains("must be allowed to run it"));
        assert_eq!(crate::advice::messages(&error).len(), 1, "{error:?}");
    }

    #[test]
    fn the_status_of_a_command_is_passed_on_as_a_shell_does() {
        // Wait statuses: exit code in the second byte, signal in the first.
        for (raw, code) in [(0, 0), (7 << 8, 7), (libc::SIGKILL, 137)] {
            let code = format!("{:?}", ExitCode::from(code));
            assert_eq!(format!("{:?}", exit_code(ExitStatus::from_raw(raw))), code);
        }
    }
}
