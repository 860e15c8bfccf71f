//! `goflow check`: what is wrong with a process, or was with one that left a core file.
//!
//! In: arguments; out: findings, and an exit status that tells whether there are any. The target is read, never stopped, and
//! no probe is placed. A process is looked at again and again for a time, since what one look finds may be a coincidence.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail};
use clap::{ArgGroup, Args, ValueEnum};

use super::output::OutputFile;
use super::snapshot::is_refused;
use crate::advice::Advise as _;
use crate::binary::addr::LoadBias;
use crate::detect::{Confidence, Finding, RULES, Rule, Thresholds};
use crate::pipeline::examine::{Examination, Moment};
use crate::sink::findings::{Described, Namer, Report, json, sarif, text};
use crate::target::Pid;
use crate::target::core::CoreFile;
use crate::target::executable::Executable;
use crate::target::id::MonotonicNs;
use crate::target::memory::{Limited, ProcessMemory, Pulse};
use crate::target::process::{self, Process};
use crate::target::reach::Limits;
use crate::target::refusal::Refusal;

/// From the start of one look to that of the next.
const PACE: Duration = Duration::from_millis(500);

/// Of the time, what looking may take.
const PART: u32 = 4;

/// Between the end of a look and the start of the next there is at least this.
const LEAST_PAUSE: Duration = Duration::from_millis(100);

/// How long a process that could not be read is given to end.
const TO_END: Duration = Duration::from_millis(100);

/// One look at a process takes no longer.
const LONGEST_LOOK: Duration = Duration::from_secs(60);

/// Exit status where something was found.
const EXIT_FINDINGS: u8 = 1;

const EXAMPLES: &str = "\
Examples:
  sudo goflow check --pid 1234
      What is wrong with a running process: three seconds of looks at its memory, without a probe.
  sudo goflow check --pid 1234 --format json | jq -r '.findings[].evidence[]'
      The same for programs; docs/check.md explains the fields.
  sudo goflow check --pid 1234 --rules deadlock,circular-wait --fail-on proven
      Only these rules, and an exit status of 1 only where it cannot be otherwise.
  sudo goflow check --pid 1234 --format sarif --output findings.sarif
      For code scanning, which shows each finding at its line.
  goflow check --core core.1234 --binary ./svc
      Of a process that is gone.
  goflow explain circular-wait
      What a rule finds, how to mend it, and when it is a false alarm.

Exit status: 0 nothing was found, 1 findings, 2 error.";

/// Find deadlocks and leaked goroutines, with the evidence
///
/// Reads the goroutines of a process and what they can reach, several times within a few seconds, and tells who waits in a
/// circle and who waits where nobody can come any more. The process is not stopped and not written to, and no probe is
/// placed, so it costs the process nothing.
#[derive(Args, Clone)]
#[command(after_long_help = EXAMPLES)]
#[command(group = ArgGroup::new("source").args(["pid", "core"]).required(true))]
pub(super) struct CheckArgs {
    /// Check this process
    #[arg(long, value_name = "PID", value_parser = clap::value_parser!(u32).range(1..))]
    pid: Option<u32>,
    /// Check the process that left this core file
    #[arg(long, value_name = "FILE")]
    core: Option<PathBuf>,
    /// The executable that the core file is of; without it, the one that the core file names
    #[arg(long, value_name = "FILE", requires = "core", conflicts_with = "pid")]
    binary: Option<PathBuf>,
    /// Look for this time, such as 3s or 1m
    #[arg(long = "for", value_name = "TIME", default_value = "3s", value_parser = parse_time, conflicts_with = "core")]
    duration: Duration,
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
    /// Read this much of the heap and of the stacks at each look at most, in MB
    #[arg(long, value_name = "MB", default_value_t = 4096)]
    most_memory: u64,
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

pub(super) fn parse_time(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(time) if time < PACE => Err("that is too short for two looks; give 500ms or more".to_owned()),
        Ok(time) => Ok(time),
        Err(error) => Err(format!("{error}; it is a number with a unit: 500ms, 10s, 2m")),
    }
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
    fn thresholds(&self) -> Result<Thresholds, String> {
        let mut thresholds = Thresholds::default();
        self.thresholds.iter().try_for_each(|(name, value)| thresholds.set(name, *value))?;
        Ok(thresholds)
    }

    fn file(&self) -> Option<&Path> {
        self.output.as_deref().filter(|path| *path != Path::new("-"))
    }

    fn wants(&self, rule: &'static Rule) -> bool {
        self.rules.is_empty() || self.rules.contains(&rule)
    }
}

pub(super) fn run(args: &CheckArgs) -> anyhow::Result<ExitCode> {
    let subject = Subject {
        pid: args.pid.map(Pid),
        core: args.core.as_deref(),
        binary: args.binary.as_deref(),
        duration: args.duration,
        most_bytes: args.most_memory << 20,
        thresholds: args.thresholds().map_err(|error| anyhow!(error))?,
    };
    let is_bad =
        examine(&subject, |rule| args.wants(rule), |examination, origin| report(args, examination, origin))?;
    Ok(if is_bad { ExitCode::from(EXIT_FINDINGS) } else { ExitCode::SUCCESS })
}

/// What is to be looked at, and how.
pub(super) struct Subject<'a> {
    pub(super) pid: Option<Pid>,
    pub(super) core: Option<&'a Path>,
    pub(super) binary: Option<&'a Path>,
    /// A process is looked at for so long.
    pub(super) duration: Duration,
    /// Of the heap and of stacks, at each look.
    pub(super) most_bytes: u64,
    /// From when on rules tell something.
    pub(super) thresholds: Thresholds,
}

impl Subject<'_> {
    fn limits(&self, until: Option<Instant>) -> Limits {
        Limits { bytes: self.most_bytes, until }
    }
}

/// Looks at a process or a core file, and hands on what was seen.
pub(super) fn examine<T>(
    subject: &Subject<'_>,
    wanted: impl Fn(&'static Rule) -> bool,
    then: impl FnOnce(&Examination<'_>, &Origin<'_>) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    match (subject.pid, subject.core) {
        (Some(pid), _) => of_process(subject, pid, wanted, then),
        (None, Some(core)) => of_core(subject, core, wanted, then),
        (None, None) => bail!("nothing to look at: give --pid PID or --core FILE"),
    }
}

fn of_process<T>(
    subject: &Subject<'_>,
    pid: Pid,
    wanted: impl Fn(&'static Rule) -> bool,
    then: impl FnOnce(&Examination<'_>, &Origin<'_>) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let process = Process::open(pid)
        .map_err(|error| match error.raw_os_error() {
            Some(libc::ESRCH) => anyhow!("there is no process {pid}"),
            _ => anyhow!(error).context(format!("process {pid} cannot be opened")),
        })
        .advise(|| "`pgrep -l NAME` finds the pid of a program")?;
    let executable = Executable::of_process(pid).map_err(anyhow::Error::from).or_else(advise)?;
    let lowest = executable.binary().image().lowest_address();
    let bias = process::load_bias(pid, lowest)
        .with_context(|| format!("where process {pid} has its program is not known"))
        .or_else(advise)?;
    let mut examination = Examination::new(executable.binary(), bias, Some(pid), wanted, subject.thresholds)?;
    let began = Instant::now();
    look_for(subject, &process, &mut examination)?;
    let origin =
        Origin { pid: Some(pid.0), core: None, executable: &executable, bias, duration: began.elapsed() };
    then(&examination, &origin)
}

/// Looks at a process again and again, until the time is over or the process is.
fn look_for(
    subject: &Subject<'_>,
    process: &Process,
    examination: &mut Examination<'_>,
) -> anyhow::Result<()> {
    let (memory, pid) = (ProcessMemory::of(process.pid()), process.pid());
    let began = Instant::now();
    let mut quiet = Quiet::default();
    loop {
        let start = Instant::now();
        let pulse = Pulse::default();
        let limited = Limited::new(&memory, Some(pid), LONGEST_LOOK, &pulse);
        let moment = quiet.moment(process);
        let looked = examination.look(&limited, subject.limits(Some(start + LONGEST_LOOK)), moment);
        if let Err(error) = looked {
            if process.ends_within(TO_END) && examination.looks() > 0 {
                tracing::warn!("process {pid} ended while it was looked at");
                return Ok(());
            }
            return advise(error.into());
        }
        let (took, left) = (start.elapsed(), subject.duration.saturating_sub(began.elapsed()));
        if left.is_zero() && examination.looks() >= 2 {
            return Ok(());
        }
        // The last look is one at the end of the time.
        thread::sleep(PACE.saturating_sub(took).max(took * (PART - 1)).min(left.max(LEAST_PAUSE)));
    }
}

/// Whether a process has done nothing at all from before a look to after the one before.
#[derive(Default)]
struct Quiet {
    cpu_ns: Option<u64>,
}

impl Quiet {
    /// What the look that begins now is of: nothing can have moved where no CPU time has been used since the look before
    /// began.
    fn moment(&mut self, process: &Process) -> Moment {
        let now = process.cpu_ns();
        let before = std::mem::replace(&mut self.cpu_ns, now);
        if now.is_some() && now == before { Moment::Still } else { Moment::Moving }
    }
}

fn of_core<T>(
    subject: &Subject<'_>,
    path: &Path,
    wanted: impl Fn(&'static Rule) -> bool,
    then: impl FnOnce(&Examination<'_>, &Origin<'_>) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let core = CoreFile::open(path)
        .advise(|| "give --core the file that the kernel, gcore or systemd-coredump wrote")?;
    let binary = subject.binary.or(core.executable());
    let binary = binary
        .with_context(|| format!("{} does not name its program", path.display()))
        .advise(|| "give the program with --binary FILE")?;
    let other = || "give the very program that the core file is of with --binary FILE";
    let executable = Executable::open(binary).advise(other)?;
    let memory = core.memory(executable.binary(), executable.path()).advise(other)?;
    let mut examination =
        Examination::new(executable.binary(), memory.bias(), core.pid(), wanted, subject.thresholds)?;
    let began = Instant::now();
    examination.look(&memory, subject.limits(None), Moment::Still).advise(other)?;
    if core.is_truncated() {
        tracing::warn!("{} is cut short; what depends on what it lacks is not found", path.display());
    }
    let origin = Origin {
        pid: core.pid().map(|pid| pid.0),
        core: Some(path.display().to_string()),
        executable: &executable,
        bias: memory.bias(),
        duration: began.elapsed(),
    };
    then(&examination, &origin)
}

/// Where what was seen comes from.
pub(super) struct Origin<'e> {
    pub(super) pid: Option<u32>,
    pub(super) core: Option<String>,
    pub(super) executable: &'e Executable,
    pub(super) bias: LoadBias,
    duration: Duration,
}

impl Origin<'_> {
    /// When it is; of a core file it is not known when it was made.
    pub(super) fn now(&self, examination: &Examination<'_>) -> MonotonicNs {
        if self.core.is_some() { MonotonicNs(0) } else { examination.last_look().unwrap_or_default() }
    }
}

/// Writes what was found; returns whether there is something that is to be failed on.
fn report(args: &CheckArgs, examination: &Examination<'_>, origin: &Origin<'_>) -> anyhow::Result<bool> {
    let process = examination.process().context("nothing was read")?;
    let binary = origin.executable.binary();
    let namer = Namer::new(binary, origin.bias, process, origin.now(examination));
    let mut findings: Vec<&Finding> = examination.findings().collect();
    findings.sort_by_key(|finding| std::cmp::Reverse((finding.confidence, finding.rule.severity)));
    let findings = same(findings.into_iter().map(|finding| namer.describe(finding)).collect());
    let is_bad = findings.iter().any(|one| args.fail_on.includes(one.finding.confidence));
    let report = Report {
        pid: origin.pid,
        core: origin.core.clone(),
        binary: origin.executable.path().display().to_string(),
        go_version: binary.go_version().map(ToString::to_string),
        started: examination.started(),
        looks: examination.looks(),
        duration_ns: origin.duration.as_nanos() as u64,
        goroutines: process.goroutines().filter(|one| one.is_live() && one.system == Some(false)).count()
            as u64,
        limits: examination.limits(),
        findings,
    };
    let inputs: Vec<PathBuf> = args.core.iter().chain(&args.binary).cloned().collect();
    let mut bytes = Vec::new();
    match args.format {
        Format::Text => text::write(&report, &mut bytes)?,
        Format::Json => json::write(&report, &mut bytes)?,
        Format::Sarif => {
            let root =
                std::env::current_dir().map_or_else(|_| String::new(), |root| root.display().to_string());
            sarif::write(&report, &root, &mut bytes)?;
        }
    }
    let written = match (args.file(), args.format) {
        (Some(path), Format::Text) => {
            let plain = anstream::adapter::strip_bytes(&bytes).into_vec();
            write_whole(OutputFile::open(path, &inputs)?, &plain)
        }
        (Some(path), Format::Json | Format::Sarif) => write_whole(OutputFile::open(path, &inputs)?, &bytes),
        (None, Format::Text) => write_whole(anstream::stdout().lock(), &bytes),
        (None, Format::Json | Format::Sarif) => write_whole(io::stdout().lock(), &bytes),
    };
    written.context("the findings could not be written")?;
    Ok(is_bad)
}

fn write_whole(mut out: impl Write, bytes: &[u8]) -> io::Result<()> {
    out.write_all(bytes).and_then(|()| out.flush())
}

/// Leaves one of several with the same fingerprint, which are the same fault: the first, which is the surest.
fn same<'f>(findings: Vec<Described<'f>>) -> Vec<Described<'f>> {
    let mut known: BTreeMap<String, usize> = BTreeMap::new();
    let mut kept: Vec<Described<'f>> = Vec::new();
    for finding in findings {
        match known.get(&finding.fingerprint) {
            Some(&at) => kept[at].goroutines.extend(finding.goroutines),
            None => {
                known.insert(finding.fingerprint.clone(), kept.len());
                kept.push(finding);
            }
        }
    }
    kept
}

/// Adds what helps against the failures that have one remedy.
fn advise<T>(error: anyhow::Error) -> anyhow::Result<T> {
    if is_refused(&error) {
        return Err(error).advise(|| Refusal::detect().advice_to_read());
    }
    Err(error)
}
