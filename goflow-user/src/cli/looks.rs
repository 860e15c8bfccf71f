//! Looks at a process again and again, or at a core file once, for `goflow check` and `goflow graph`.
//!
//! In: what to look at, for how long; out: an [`Examination`] and where it comes from. The target is read, never stopped. Looking
//! takes a fourth of the time at most, however large the process is.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use crossbeam_channel::{Receiver, RecvTimeoutError, bounded};
use signal_hook::flag;

use super::progress::Progress;
use super::source::{self, OpenedCore, Source, advise_other_program, open_process, program_of};
use crate::binary::addr::LoadBias;
use crate::detect::{Finding, Rule, Thresholds};
use crate::pipeline::examine::{Examination, Moment};
use crate::sink::findings::{Described, Namer, Subject};
use crate::target::Pid;
use crate::target::executable::Executable;
use crate::target::family;
use crate::target::host;
use crate::target::id::MonotonicNs;
use crate::target::memory::{Limited, ProcessMemory, Pulse};
use crate::target::process::{Process, Standstill};
use crate::target::reach::Limits;
use crate::target::snapshot::reader::SnapshotError;

/// From the start of one look to that of the next.
pub(super) const PACE: Duration = Duration::from_millis(500);

/// Of the time, what looking may take.
const PART: u32 = 4;

/// Between the end of a look and the start of the next there is at least this.
const LEAST_PAUSE: Duration = Duration::from_millis(100);

/// However little time there was, it is looked so often: a goroutine that runs at a look hides what it has on its stack, and two looks
/// in a row have to agree.
const USUAL_LOOKS: u32 = 4;

/// Looks that take longer are not repeated beyond the second.
const MOST_BEYOND: Duration = Duration::from_secs(2);

/// How long a process that could not be read is given to end.
pub(super) const TO_END: Duration = Duration::from_millis(100);

/// One look at a process takes no longer than this, or than the time that is given.
const LONGEST_LOOK: Duration = Duration::from_secs(10);

/// Nor do those after one that has taken all of that: they find who is there, and not whom nobody can wake.
const LONGEST_AFTER: Duration = Duration::from_secs(1);

/// Whoever wants an end gets one after this.
const GRACE: Duration = Duration::from_secs(1);

pub(super) fn parse_time(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(time) if time < PACE => Err("that is too short for two looks; give 500ms or more".to_owned()),
        Ok(time) => Ok(time),
        Err(error) => Err(format!("{error}; it is a number with a unit: 500ms, 10s, 2m")),
    }
}

/// Set when somebody wants an end: what was found by then is told. A second signal ends goflow.
///
/// # Errors
/// Signals cannot be received.
pub(super) fn on_interrupt() -> anyhow::Result<Arc<AtomicBool>> {
    let is_over = Arc::<AtomicBool>::default();
    let caught = |signal| {
        flag::register_conditional_default(signal, Arc::clone(&is_over))?;
        flag::register(signal, Arc::clone(&is_over)).map(drop)
    };
    let mut signals = vec![libc::SIGINT, libc::SIGTERM];
    if !host::is_ignored(libc::SIGHUP)? {
        signals.push(libc::SIGHUP);
    }
    signals.into_iter().try_for_each(caught).context("signals cannot be received")?;
    Ok(is_over)
}

/// How to look.
#[derive(Clone, Copy, Debug)]
pub(super) struct How<'a> {
    /// A process is looked at for so long.
    pub(super) duration: Duration,
    /// Of the heap and of stacks, at each look.
    pub(super) most_bytes: u64,
    /// From when on rules tell something.
    pub(super) thresholds: Thresholds,
    /// Set where somebody wants an end before the time is over.
    pub(super) is_over: Option<&'a AtomicBool>,
}

/// Where what was seen comes from.
pub(super) struct Origin<'e> {
    pub(super) pid: Option<u32>,
    pub(super) core: Option<String>,
    pub(super) executable: &'e Executable,
    pub(super) bias: LoadBias,
    pub(super) duration: Duration,
}

impl Origin<'_> {
    /// When it is; of a core file it is not known when it was made.
    pub(super) fn now(&self, examination: &Examination<'_>) -> MonotonicNs {
        if self.core.is_some() { MonotonicNs(0) } else { examination.last_look().unwrap_or_default() }
    }
}

/// What is wrong with a process, in words.
pub(super) struct Judged<'f> {
    pub(super) subject: Subject,
    pub(super) limits: Vec<String>,
    /// Rules that could not be asked, and why.
    pub(super) unasked: Vec<(&'static Rule, String)>,
    pub(super) findings: Vec<Described<'f>>,
}

impl<'f> Judged<'f> {
    /// By the looks at it so far, of which there was one at least.
    pub(super) fn of(examination: &'f Examination<'_>, origin: &Origin<'_>) -> Option<Self> {
        let process = examination.process()?;
        let binary = origin.executable.binary();
        let namer = Namer::new(binary, origin.bias, process, origin.now(examination));
        let mut findings: Vec<&Finding> = examination.findings().collect();
        findings.sort_by_key(|finding| std::cmp::Reverse((finding.confidence, finding.rule.severity)));
        let users = process.goroutines().filter(|one| one.is_live() && one.system == Some(false));
        Some(Self {
            subject: Subject {
                pid: origin.pid,
                binary: origin.executable.path().display().to_string(),
                go_version: binary.go_version().map(ToString::to_string),
                started: examination.started(),
                looks: examination.looks(),
                duration_ns: origin.duration.as_nanos() as u64,
                goroutines: users.count() as u64,
            },
            limits: limits(examination),
            unasked: examination.unasked(),
            findings: findings.into_iter().map(|finding| namer.describe(finding)).collect(),
        })
    }
}

impl Judged<'_> {
    /// The same, for longer than there is a model of the process.
    pub(super) fn into_owned(self) -> Judged<'static> {
        let findings = self.findings.into_iter().map(Described::into_owned).collect();
        Judged { subject: self.subject, limits: self.limits, unasked: self.unasked, findings }
    }
}

/// What could not be found out, a sentence for all rules that the same keeps from being asked.
fn limits(examination: &Examination<'_>) -> Vec<String> {
    let mut limits = examination.limits();
    let mut by_reason: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for (rule, why) in examination.unasked() {
        by_reason.entry(why).or_default().push(rule.id);
    }
    // Some have been told in their own words.
    by_reason.retain(|why, _| !limits.contains(why));
    limits.extend(by_reason.into_iter().map(|(why, rules)| format!("{}: {why}", rules.join(", "))));
    limits
}

/// Looks at a process or a core file, and hands on what was seen.
pub(super) fn examine<T>(
    source: Source<'_>,
    how: How<'_>,
    wanted: impl Fn(&'static Rule) -> bool,
    then: impl FnOnce(&Examination<'_>, &Origin<'_>) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    match source {
        Source::Process(pid) => of_process(pid, how, wanted, then),
        Source::Core(core, binary) => of_core(core, binary, how, wanted, then),
    }
}

fn of_process<T>(
    pid: Pid,
    how: How<'_>,
    wanted: impl Fn(&'static Rule) -> bool,
    then: impl FnOnce(&Examination<'_>, &Origin<'_>) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let process = open_process(pid)?;
    let (executable, bias) = program_of(pid)?;
    let mut examination = Examination::new(executable.binary(), bias, Some(pid), wanted, how.thresholds)?;
    let began = Instant::now();
    look_for(how, &process, &mut examination)?;
    let origin =
        Origin { pid: Some(pid.0), core: None, executable: &executable, bias, duration: began.elapsed() };
    then(&examination, &origin)
}

/// Looks at a process again and again, until the time is over or the process is, or somebody wants an end.
fn look_for(how: How<'_>, process: &Process, examination: &mut Examination<'_>) -> anyhow::Result<()> {
    let mut looker = Looker::at(process, how.most_bytes);
    looker.longest = LONGEST_LOOK.max(how.duration);
    let pulse = looker.pulse.clone();
    let (end, over) = bounded::<()>(0);
    thread::scope(|scope| {
        if let Some(is_over) = how.is_over {
            scope.spawn(move || cancel_when(is_over, &pulse, &over));
        }
        let looked = look_on(how, process, examination, looker);
        drop(end);
        looked
    })
}

/// Ends a look that is under way some time after `is_over` is set.
fn cancel_when(is_over: &AtomicBool, pulse: &Pulse, over: &Receiver<()>) {
    const TICK: Duration = Duration::from_millis(50);
    let mut since: Option<Instant> = None;
    while over.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
        if is_over.load(Ordering::Acquire) && since.get_or_insert_with(Instant::now).elapsed() >= GRACE {
            return pulse.cancel();
        }
    }
}

fn look_on(
    how: How<'_>,
    process: &Process,
    examination: &mut Examination<'_>,
    mut looker: Looker<'_>,
) -> anyhow::Result<()> {
    let began = Instant::now();
    let progress = Progress::of(Some(how.duration), &looker.pulse);
    let (pid, run) = (process.pid(), family::run_of(process.pid()));
    let is_other = || family::run_of(pid).is_some_and(|now| Some(now) != run);
    let is_over = || how.is_over.is_some_and(|is_over| is_over.load(Ordering::Acquire));
    loop {
        // Nothing changes meanwhile, and who was on a CPU when it was stopped does not compute.
        let standstill = Standstill::of(pid).filter(|_| examination.looks() >= 2);
        if let Some(standstill) = standstill {
            examination.limit(format!("what the process would do: it {}", standstill.state()));
        }
        // Before each look, because another program may be read as well as this one.
        let looked = match standstill {
            Some(_) => Some(Ok(())),
            None => (!is_other()).then(|| looker.look(examination)),
        };
        match looked {
            Some(Ok(())) => {}
            Some(Err(_)) if looker.pulse.is_cancelled() => break,
            Some(Err(error)) if examination.looks() == 0 || !process.ends_within(TO_END) && !is_other() => {
                return source::advise(error.into());
            }
            _ => {
                let what = if is_other() { "went on as another program" } else { "ended" };
                tracing::warn!(
                    "process {pid} {what} while it was looked at; what is told is how it was before"
                );
                return Ok(());
            }
        }
        progress.looked();
        if is_over() && examination.looks() >= 2 {
            break;
        }
        let left = if is_over() { Duration::ZERO } else { how.duration.saturating_sub(began.elapsed()) };
        let least = if began.elapsed() < how.duration + MOST_BEYOND { USUAL_LOOKS } else { 2 };
        if left.is_zero() && examination.looks() >= least {
            return Ok(());
        }
        // The last look is one at the end of the time.
        thread::sleep(looker.pause(PACE).min(left.max(LEAST_PAUSE)));
    }
    ensure!(examination.looks() > 0, "interrupted before the process had been read");
    let lasted = began.elapsed().as_secs_f64();
    examination.limit(format!("what takes longer to show: the check was interrupted after {lasted:.1} s"));
    Ok(())
}

/// Whoever looks at a process.
pub(super) struct Looker<'p> {
    process: &'p Process,
    memory: ProcessMemory,
    most_bytes: u64,
    quiet: Quiet,
    /// Of all looks.
    pulse: Pulse,
    /// A look takes no longer.
    longest: Duration,
    /// The last look.
    took: Duration,
}

impl<'p> Looker<'p> {
    pub(super) fn at(process: &'p Process, most_bytes: u64) -> Self {
        let memory = ProcessMemory::of(process.pid());
        let (quiet, pulse) = (Quiet::default(), Pulse::default());
        Self { process, memory, most_bytes, quiet, pulse, longest: LONGEST_LOOK, took: Duration::ZERO }
    }

    pub(super) fn look(&mut self, examination: &mut Examination<'_>) -> Result<(), SnapshotError> {
        let start = Instant::now();
        // What is there to be told is read to its end.
        let limited = Limited::new(
            &self.memory,
            Some(self.process.pid()),
            self.longest.max(LONGEST_LOOK) * 2,
            &self.pulse,
        );
        let limits = Limits { bytes: self.most_bytes, until: Some(start + self.longest) };
        let looked = examination.look(&limited, limits, self.quiet.moment(self.process));
        self.took = start.elapsed();
        if self.took >= self.longest {
            self.longest = LONGEST_AFTER;
        }
        looked.map(drop)
    }

    /// How long to wait for the next look.
    pub(super) fn pause(&self, pace: Duration) -> Duration {
        pace.saturating_sub(self.took).max(self.took * (PART - 1))
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
    path: &Path,
    binary: Option<&Path>,
    how: How<'_>,
    wanted: impl Fn(&'static Rule) -> bool,
    then: impl FnOnce(&Examination<'_>, &Origin<'_>) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let opened = OpenedCore::open(path, binary)?;
    let (memory, OpenedCore { core, executable }) = (opened.memory()?, &opened);
    let mut examination =
        Examination::new(executable.binary(), memory.bias(), core.pid(), wanted, how.thresholds)?;
    let began = Instant::now();
    let limits = Limits { bytes: how.most_bytes, until: None };
    let pulse = Pulse::default();
    let progress = Progress::of(None, &pulse);
    let limited = Limited::new(&memory, None, Duration::MAX, &pulse);
    advise_other_program(examination.look(&limited, limits, Moment::Still))?;
    drop(progress);
    if core.is_truncated() {
        tracing::warn!("{} is cut short; what depends on what it lacks is not found", path.display());
    }
    let origin = Origin {
        pid: core.pid().map(|pid| pid.0),
        core: Some(path.display().to_string()),
        executable,
        bias: memory.bias(),
        duration: began.elapsed(),
    };
    then(&examination, &origin)
}
