//! `goflow snapshot`: what every goroutine of a process, or of a core file, is doing.
//!
//! In: arguments; out: the goroutines in one of four forms. The target is read, never stopped. A process that ends or
//! replaces its program while it is read is an error, not half a snapshot. Reading has a limit, after which what is there
//! is told as incomplete; where a read never returns, which no thread can end for itself, that is an error.

use std::collections::BTreeSet;
use std::io::{self, BufWriter, IsTerminal as _, Write};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail};
use clap::{Args, ValueEnum};
use crossbeam_channel::{RecvTimeoutError, bounded};

use super::output::OutputFile;
use super::source::{self, OpenedCore, Source, SourceArgs, advise_other_program, open_process, program_of};
use crate::advice::Advise as _;
use crate::binary::GoBinary;
use crate::binary::addr::LoadBias;
use crate::sink::printable::printable;
use crate::sink::snapshot::group::{By, groups};
use crate::sink::snapshot::{Origin, View, folded, json, pprof, text};
use crate::target::Pid;
use crate::target::executable::Executable;
use crate::target::host::{NoTask, wall_clock_offset_ns};
use crate::target::memory::{Limited, Memory, MemoryError, ProcessMemory, Pulse, WHY_NO_ANSWER};
use crate::target::process;
use crate::target::snapshot::reader::{Options, Reader, SnapshotError};
use crate::target::snapshot::{Entity, Snapshot};

/// How long a process that could not be read is given to end.
const TO_END: Duration = Duration::from_millis(100);

/// Frames of a stack that are read to count them.
const TO_COUNT: usize = 1 << 16;

/// How often whoever waits for the reader looks whether it gets answers.
const LOOK: Duration = Duration::from_millis(100);

const EXAMPLES: &str = "\
Examples:
  sudo goflow snapshot --pid 1234
      Every goroutine, as Go itself prints them after a panic.
  sudo goflow snapshot --pid 1234 --group-by reason
      How many goroutines wait for what.
  sudo goflow snapshot --pid 1234 --group-by creation --top 10
      Where the most goroutines were created: who leaks them.
  sudo goflow snapshot --pid 1234 --format json | jq '.channels[] | select(.senders | length > 0)'
      Channels that somebody cannot send to.
  sudo goflow snapshot --pid 1234 --format pprof --output goroutines.pb.gz
      As a profile, which `go tool pprof -top goroutines.pb.gz` shows.
  goflow snapshot --core core.1234 --binary ./svc
      Of a process that is gone.

Exit status: 0 done, 2 error. Reading a process needs the right to trace it: the same user, or CAP_SYS_PTRACE.";

/// Show what every goroutine of a process is doing now
///
/// Reads goroutines, channels and sync objects out of the memory of a running process, or of a core file. The process is
/// not stopped, not signalled and not written to, and no probe is placed, so it costs the process nothing. Stripped
/// programs are as good as any.
///
/// All forms but JSON leave out the runtime's own goroutines, as Go's dumps and profiles do, and say on standard error how
/// many those were.
#[derive(Args, Clone)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct SnapshotArgs {
    #[command(flatten)]
    source: SourceArgs,
    /// How to write the goroutines
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = Format::Text)]
    format: Format,
    /// Write to this file instead of standard output (`-`)
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Only goroutines in these states (state=waiting,syscall) or with these wait reasons ("reason=chan receive")
    ///
    /// States: idle, runnable, running, syscall, waiting, dead (which are counted, not listed, so none matches), copystack,
    /// preempted, leaked. May be given several times; then all must hold.
    #[arg(long, value_name = "KEY=VALUES", value_parser = parse_filter)]
    filter: Vec<Filter>,
    /// Count goroutines that have this in common, the largest group first
    #[arg(long, value_enum, value_name = "WHAT")]
    group_by: Option<GroupBy>,
    /// Only the N largest groups, or without --group-by the N goroutines that have waited longest
    #[arg(long, value_name = "N")]
    top: Option<NonZeroUsize>,
    /// Leave the stacks out, which makes it several times quicker
    #[arg(long)]
    no_stacks: bool,
    /// Read for this time at most, such as 10s or 2m
    ///
    /// What has not been read by then is told as unknown. A process of a million goroutines takes a few seconds.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = parse_timeout)]
    timeout: Duration,
}

/// How goroutines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// As Go prints them (debug=2): without the runtime's own frames
    Text,
    /// One JSON object with everything; docs/snapshot.md explains the fields
    Json,
    /// A profile for go tool pprof, compressed
    Pprof,
    /// Folded stacks for flame-graph tools: outermost;…;innermost count
    Folded,
}

/// What goroutines are grouped by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum GroupBy {
    /// The go statement that created them
    Creation,
    /// Where they stand
    Stack,
    /// Why they wait, or what they do
    Reason,
}

/// A condition on goroutines.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Filter {
    State(Vec<String>),
    Reason(Vec<String>),
}

impl SnapshotArgs {
    fn file(&self) -> Option<&Path> {
        self.output.as_deref().filter(|path| *path != Path::new("-"))
    }

    fn options(&self) -> Options {
        let options = Options { stacks: !self.no_stacks, ..Options::default() };
        match (self.format, self.group_by) {
            // Go prints both ends of a stack and the number of the frames between.
            (Format::Text, None) => Options { frames: TO_COUNT, ..options },
            _ => options,
        }
    }
}

/// How the process is given that `word` is, if it is one.
pub(super) fn suggestion(word: &str) -> Option<String> {
    word.parse::<u32>().ok().map(|pid| format!("did you mean '--pid {pid}'?"))
}

pub(super) fn run(args: &SnapshotArgs) -> anyhow::Result<ExitCode> {
    if args.group_by.is_some() && matches!(args.format, Format::Pprof | Format::Folded) {
        return Err(anyhow!("--group-by belongs to --format text or json"))
            .advise(|| "a profile and folded stacks are grouped already, by stack");
    }
    if args.format == Format::Pprof && args.file().is_none() && io::stdout().is_terminal() {
        return Err(anyhow!("a profile is compressed data, which a terminal cannot show"))
            .advise(|| "give --output FILE, or redirect standard output; `go tool pprof FILE` opens it");
    }
    if args.no_stacks && args.group_by == Some(GroupBy::Stack) {
        return Err(anyhow!("--group-by stack needs the stacks that --no-stacks leaves out"))
            .advise(|| "leave one of the two out");
    }
    match args.source.source()? {
        Source::Process(pid) => of_process(args, pid)?,
        Source::Core(core, binary) => of_core(args, core, binary)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn of_process(args: &SnapshotArgs, pid: Pid) -> anyhow::Result<()> {
    let process = open_process(pid)?;
    let read = process::despite_exec(|| read_watched(args, pid), |error| is_of_absence(error).then_some(pid));
    // Whatever fails when the process is about to end fails for that reason.
    let patience = if read.is_err() { TO_END } else { Duration::ZERO };
    if process.ends_within(patience) {
        bail!("process {pid} ended while it was read");
    }
    let (executable, bias, snapshot) = read?;
    if Executable::id_of_process(pid).ok() != Some(executable.id()) {
        return Err(anyhow!("process {pid} replaced its program (exec) while it was read"))
            .advise(|| "run the command again");
    }
    let origin = Origin {
        pid: Some(pid),
        core: None,
        binary: executable.path().display().to_string(),
        binary_deleted: executable.is_deleted(),
        wall_clock_offset_ns: Some(wall_clock_offset_ns()),
    };
    write(args, &snapshot, executable.binary(), bias, origin)
}

/// Whether an error says that there is nothing to read, or nothing yet of the program.
fn is_of_absence(error: &anyhow::Error) -> bool {
    error.chain().any(|link| {
        let io = link.downcast_ref::<io::Error>().map(io::Error::kind);
        let absent = matches!(
            link.downcast_ref::<SnapshotError>(),
            Some(SnapshotError::Memory(MemoryError::Ended(_)) | SnapshotError::OtherProgram { .. })
        );
        absent || io == Some(io::ErrorKind::NotFound)
    })
}

/// Reads on a thread of its own, because a read that never returns keeps its thread; that ends with goflow.
fn read_watched(args: &SnapshotArgs, pid: Pid) -> anyhow::Result<(Executable, LoadBias, Snapshot)> {
    let pulse = Pulse::default();
    let (done, read) = bounded(1);
    let (theirs, args, limit) = (pulse.clone(), args.clone(), args.timeout);
    thread::Builder::new()
        .name("goflow-snapshot".into())
        .spawn(move || {
            // Nobody listens where the process did not answer.
            let _ = done.send(read_process(&args, pid, &theirs));
        })
        .map_err(NoTask::of("the thread goflow-snapshot"))?;
    let mut patience = Patience::new(limit);
    loop {
        match read.recv_timeout(LOOK) {
            Ok(read) => return read,
            Err(RecvTimeoutError::Disconnected) => {
                bail!("a thread of goflow panicked; this is a defect of goflow")
            }
            Err(RecvTimeoutError::Timeout) => patience.look(pulse.is_stuck().is_some(), pid)?,
        }
    }
}

/// Of whoever waits for a process to be read.
struct Patience {
    began: Instant,
    limit: Duration,
    is_told: bool,
}

impl Patience {
    fn new(limit: Duration) -> Self {
        Self { began: Instant::now(), limit, is_told: false }
    }

    /// Tells once that the memory does not answer, and fails when it has not by the end of the limit.
    fn look(&mut self, is_stuck: bool, pid: Pid) -> anyhow::Result<()> {
        let limit = humantime::format_duration(self.limit);
        if !is_stuck {
            return Ok(());
        }
        if self.began.elapsed() >= self.limit {
            return Err(anyhow!("the memory of process {pid} does not answer; gave up after {limit}"))
                .advise(|| {
                    format!("{WHY_NO_ANSWER}: try again when it does, or read a core file with --core")
                });
        }
        if !std::mem::replace(&mut self.is_told, true) {
            tracing::warn!(
                "the memory of process {pid} does not answer; goflow waits {limit} for it (--timeout)"
            );
        }
        Ok(())
    }
}

fn read_process(
    args: &SnapshotArgs,
    pid: Pid,
    pulse: &Pulse,
) -> anyhow::Result<(Executable, LoadBias, Snapshot)> {
    let (executable, bias) = program_of(pid)?;
    let memory = ProcessMemory::of(pid);
    let memory = Limited::new(&memory, Some(pid), args.timeout, pulse);
    let snapshot = take(args, executable.binary(), bias, &memory).or_else(advise)?;
    Ok((executable, bias, snapshot))
}

fn of_core(args: &SnapshotArgs, path: &Path, binary: Option<&Path>) -> anyhow::Result<()> {
    let opened = OpenedCore::open(path, binary)?;
    let (memory, OpenedCore { core, executable }) = (opened.memory()?, &opened);
    let pulse = Pulse::default();
    let limited = Limited::new(&memory, None, args.timeout, &pulse);
    let taken = take(args, executable.binary(), memory.bias(), &limited);
    let snapshot = match taken {
        Err(error) if core.is_truncated() => {
            return Err(error.context(format!("{} is cut short", path.display())))
                .advise(|| "raise the limit on core files (`ulimit -c unlimited`) and copy it whole");
        }
        // Of a program whose layout is not known another copy would not help.
        Err(error) if !is_of_memory(&error) => return Err(error),
        Err(error) if is_out_of_time(&error) => return advise(error),
        taken => advise_other_program(taken)?,
    };
    if core.is_truncated() {
        tracing::warn!("{} is cut short; what it lacks is told as unknown", path.display());
    }
    let origin = Origin {
        pid: core.pid(),
        core: Some(path.display().to_string()),
        binary: executable.path().display().to_string(),
        binary_deleted: executable.is_deleted(),
        wall_clock_offset_ns: None,
    };
    // When a core was made it does not say; a time of goflow's own would be wrong.
    let snapshot = Snapshot { started: Default::default(), ended: Default::default(), ..snapshot };
    write(args, &snapshot, executable.binary(), memory.bias(), origin)
}

/// It is about what was read, not about what the program tells of itself.
fn is_of_memory(error: &anyhow::Error) -> bool {
    !matches!(
        error.downcast_ref::<SnapshotError>(),
        Some(SnapshotError::Offsets(_) | SnapshotError::Global(_))
    )
}

fn take(
    args: &SnapshotArgs,
    binary: &GoBinary<'_>,
    bias: LoadBias,
    memory: &dyn Memory,
) -> anyhow::Result<Snapshot> {
    let snapshot = Reader::new(binary, bias)?.take(memory, args.options())?;
    let took = snapshot.ended.0 - snapshot.started.0;
    tracing::info!(goroutines = snapshot.goroutines.len(), took_ns = took, "snapshot");
    if let Some(why) = snapshot.cut_short() {
        // The last part of the time is kept for what comes after the stacks.
        let is_late = u128::from(took) >= args.timeout.as_nanos() / 4;
        let advice = if is_late { "; --timeout gives it longer" } else { "" };
        tracing::warn!("the snapshot is not complete: {why}{advice}");
    }
    Ok(snapshot)
}

/// Adds what helps against the failures that have one remedy.
fn advise<T>(error: anyhow::Error) -> anyhow::Result<T> {
    if is_out_of_time(&error) {
        return Err(error).advise(|| "--timeout gives it longer");
    }
    source::advise(error)
}

fn is_out_of_time(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref::<SnapshotError>(), Some(SnapshotError::Memory(MemoryError::OutOfTime(_))))
}

fn write(
    args: &SnapshotArgs,
    snapshot: &Snapshot,
    binary: &GoBinary<'_>,
    bias: LoadBias,
    origin: Origin,
) -> anyhow::Result<()> {
    let mut view = View::new(snapshot, binary, bias, origin);
    let mut chosen = std::mem::take(&mut view.chosen);
    chosen.retain(|goroutine| {
        args.filter.iter().all(|filter| match filter {
            Filter::State(states) => states.iter().any(|state| state == goroutine.state.name()),
            Filter::Reason(reasons) => view.wait_reason(goroutine).is_some_and(|it| reasons.contains(&it)),
        })
    });
    let matching = chosen.len();
    if args.format != Format::Json {
        // As Go's own dumps and profiles have it.
        chosen.retain(|goroutine| !goroutine.system);
    }
    let left_out = matching - chosen.len();
    if matching == 0 && !args.filter.is_empty() {
        tell_nothing_matches(&view, args.format)?;
    }
    view.chosen = chosen;
    let groups = args.group_by.map(|by| {
        let mut groups = groups(&view, by.into());
        groups.truncate(args.top.map_or(usize::MAX, NonZeroUsize::get));
        groups
    });
    if let (None, Some(top)) = (args.group_by, args.top) {
        // Known waits first, the longest first.
        view.chosen
            .sort_by_key(|goroutine| (goroutine.wait_since.is_none(), goroutine.wait_since, goroutine.goid));
        view.chosen.truncate(top.get());
        tell_of_unknown_waits(&view)?;
    }
    let inputs = args.source.inputs();
    let destination: Box<dyn Write> = match args.file() {
        Some(path) => Box::new(OutputFile::open(path, &inputs)?),
        None => Box::new(io::stdout().lock()),
    };
    let mut out = BufWriter::with_capacity(1 << 16, destination);
    match (args.format, &groups) {
        (Format::Json, _) => json::write(&view, groups.as_deref(), &mut out),
        (Format::Text, Some(groups)) => text::write_groups(groups, &mut out),
        (Format::Text, None) => text::write(&view, &mut out),
        (Format::Folded, _) => folded::write(&view, &mut out),
        (Format::Pprof, _) => pprof::write(&view, &mut out),
    }
    .and_then(|()| out.flush())
    .context("the snapshot could not be written")?;
    if args.format != Format::Json {
        tell_left_out(left_out)?;
        tell_unknown(&view)?;
    }
    Ok(())
}

/// On standard error, that the order of the chosen is not that of their waits.
fn tell_of_unknown_waits(view: &View<'_>) -> io::Result<()> {
    let count = view.chosen.iter().filter(|goroutine| goroutine.wait_since.is_none()).count();
    if count == 0 {
        return Ok(());
    }
    writeln!(
        io::stderr(),
        "goflow: of {count} of these it is not known since when they wait: Go notes that when it collects garbage"
    )
}

/// On standard error, how many goroutines are the runtime's own and therefore not shown.
fn tell_left_out(count: usize) -> io::Result<()> {
    match count {
        0 => Ok(()),
        1 => writeln!(io::stderr(), "goflow: without 1 goroutine of the runtime's own; --format json has it"),
        _ => writeln!(
            io::stderr(),
            "goflow: without {count} goroutines of the runtime's own; --format json has them"
        ),
    }
}

/// On standard error: whoever filters by a misspelt reason would take nothing for the answer.
fn tell_nothing_matches(view: &View<'_>, format: Format) -> anyhow::Result<()> {
    // Of those that this form would show.
    let could = || view.snapshot.goroutines.iter().filter(|it| format == Format::Json || !it.system);
    let reasons: BTreeSet<_> = could().filter_map(|it| view.wait_reason(it)).collect();
    let reasons: Vec<_> = reasons.into_iter().collect();
    let (all, reasons) = (could().count(), reasons.join(", "));
    let dead = match view.snapshot.dead {
        0 => String::new(),
        dead => format!("; {dead} dead ones are only counted"),
    };
    writeln!(
        io::stderr(),
        "goflow: none of {all} goroutines matches; they wait for: {}{dead}",
        printable(&reasons)
    )?;
    Ok(())
}

/// On standard error, what the other forms have no place for. Nothing of the runtime's own goroutines, which they leave out.
fn tell_unknown(view: &View<'_>) -> anyhow::Result<()> {
    const SHOWN: usize = 5;
    let mut stderr = io::stderr().lock();
    let of_runtime: BTreeSet<_> =
        view.snapshot.goroutines.iter().filter(|it| it.system).map(|it| it.goid).collect();
    let concerns = |what: Entity| match what {
        Entity::Rest => false,
        Entity::WaitOf(goid) | Entity::StackOf(goid) | Entity::LabelsOf(goid) => !of_runtime.contains(&goid),
        Entity::Goroutine(..) | Entity::Channel(_) | Entity::SemaphoreTable | Entity::Threads => true,
    };
    let unknown: Vec<_> = view.snapshot.unknown.iter().filter(|unknown| concerns(unknown.what)).collect();
    for unknown in unknown.iter().take(SHOWN) {
        writeln!(stderr, "goflow: unknown: {}: {}", unknown.what, unknown.why)?;
    }
    if let Some(more @ 1..) = unknown.len().checked_sub(SHOWN) {
        writeln!(stderr, "goflow: and {more} more unknown; --format json has them all")?;
    }
    Ok(())
}

impl From<GroupBy> for By {
    fn from(by: GroupBy) -> Self {
        match by {
            GroupBy::Creation => Self::Creation,
            GroupBy::Stack => Self::Stack,
            GroupBy::Reason => Self::Reason,
        }
    }
}

fn parse_timeout(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(Duration::ZERO) => Err("a snapshot needs some time, such as 10s".to_owned()),
        Ok(timeout) => Ok(timeout),
        Err(error) => Err(format!("{error}; it is a number with a unit: 500ms, 10s, 2m")),
    }
}

fn parse_filter(text: &str) -> Result<Filter, String> {
    const STATES: [&str; 9] =
        ["idle", "runnable", "running", "syscall", "waiting", "dead", "copystack", "preempted", "leaked"];
    let values = |list: &str| list.split(',').map(|value| value.trim().to_owned()).collect::<Vec<_>>();
    match text.split_once('=') {
        Some(("state", list)) => {
            let states = values(list);
            match states.iter().find(|state| !STATES.contains(&state.as_str())) {
                Some(state) => Err(format!("{state:?} is no state; they are {}", STATES.join(", "))),
                None => Ok(Filter::State(states)),
            }
        }
        Some(("reason", list)) => Ok(Filter::Reason(values(list))),
        _ => Err("it is state=… or reason=…, such as state=waiting".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_name_what_they_do_not_know() {
        assert_eq!(
            parse_filter("state=waiting, running"),
            Ok(Filter::State(vec!["waiting".into(), "running".into()]))
        );
        assert_eq!(parse_filter("reason=chan send"), Ok(Filter::Reason(vec!["chan send".into()])));
        assert_eq!(parse_filter("state=dead"), Ok(Filter::State(vec!["dead".into()])));
        assert!(parse_filter("state=blocked").is_err_and(|error| error.contains("\"blocked\" is no state")));
        assert!(parse_filter("goid=1").is_err_and(|error| error.contains("state=waiting")));
    }
}
