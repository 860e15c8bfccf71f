//! One process of a command, from when it was found until it has ended: what is wrong with it.
//!
//! In: a [`Member`] of the family; out: an [`Outcome`]. It runs on a thread of its own, because a read may wait for as long as
//! the kernel does. A process that can never go on is ended, so that whoever waits for it does.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Signal, pidfd_send_signal};

use crate::binary::{BinaryError, GoBinary};
use crate::cli::looks::{Judged, Looker, Origin, PACE, TO_END};
use crate::cli::source::bias_of;
use crate::detect::rule::{CIRCULAR_WAIT, DEADLOCK, GOROUTINE_LEAK};
use crate::detect::{Confidence, Rule, Thresholds};
use crate::pipeline::examine::Examination;
use crate::target::executable::{Executable, ExecutableError, FileId};
use crate::target::family::{self, Member};
use crate::target::id::Goid;
use crate::target::process::Process;

/// Between the first look and the second; from then on twice as much each time, up to the pace. Most test programs live for
/// less than a second.
const FIRST_PACE: Duration = Duration::from_millis(100);

/// A process that could not be read so often in a row is given up.
const MOST_FAILURES: u32 = 5;

/// What a process that was told to end is given for that.
pub(super) const TO_OBEY: Duration = Duration::from_secs(5);

/// A process that uses less than this part of a CPU does nothing.
const IDLE_PART: u32 = 100;

/// How often a thread that waits looks whether it still should.
const TICK: Duration = Duration::from_millis(50);

/// How to look at each process.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    /// Rules to ask.
    pub(super) rules: Vec<&'static Rule>,
    /// From when on they tell something.
    pub(super) thresholds: Thresholds,
    /// Of the heap and of stacks, at each look.
    pub(super) most_bytes: u64,
    /// How long a process that can never go on is left alone; `None`: for as long as it likes.
    pub(super) end_hung: Option<Duration>,
}

/// What came of a process.
pub(super) enum Outcome {
    /// It was looked at.
    Judged(Judged<'static>, Kind),
    /// It is one of Go's own tools, whose file this is.
    Tool(FileId),
    /// It is a Go program, and cannot be read: why.
    Unread(String),
    /// It is a Go program, and was over before it had been looked at twice.
    Short,
    /// It is something else.
    Other,
}

/// Whose program it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Somebody's.
    Program,
    /// Go's own: the `go` command, the compiler.
    Tool,
}

impl Kind {
    /// By the import path of its main package. No module has one that begins with `cmd`.
    fn of(binary: &GoBinary<'_>) -> Self {
        let info = binary.build_info();
        let is_own = info.and_then(|info| info.path()).is_some_and(|path| path.starts_with("cmd/"));
        if is_own && binary.module().is_none_or(|module| module == "cmd") {
            Self::Tool
        } else {
            Self::Program
        }
    }
}

/// Looks at a process until it has ended, or runs another program, or `is_over`. Of Go's own tools only the command itself is
/// looked at.
pub(super) fn follow(member: Member, is_command: bool, plan: &Plan, is_over: &AtomicBool) -> Outcome {
    let Ok(process) = Process::open(member.pid) else { return Outcome::Other };
    let executable = match Executable::of_process(member.pid) {
        Ok(executable) => executable,
        Err(error) if is_of_go(&error) => return Outcome::Unread(error.to_string()),
        Err(_) => return Outcome::Other,
    };
    let kind = Kind::of(executable.binary());
    if kind == Kind::Tool && !is_command {
        return Outcome::Tool(executable.id());
    }
    let followed = Followed { process: &process, member, plan, is_over };
    match followed.judge(&executable) {
        Ok(Some(judged)) if judged.subject.looks >= 2 => Outcome::Judged(judged, kind),
        Ok(_) => Outcome::Short,
        Err(_) if followed.is_gone() => Outcome::Short,
        Err(error) => Outcome::Unread(format!("{}: {error:#}", executable.path().display())),
    }
}

/// It says of a file that it is a Go program, or does not say that it is none.
fn is_of_go(error: &ExecutableError) -> bool {
    match error {
        ExecutableError::NotAllowed { .. } => true,
        ExecutableError::Binary { source, .. } => {
            matches!(source, BinaryError::OldGo { .. } | BinaryError::NoFunctions { .. })
        }
        _ => false,
    }
}

/// Why nobody looks at a process any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Gone,
    Over,
    Hung,
}

struct Followed<'p> {
    process: &'p Process,
    member: Member,
    plan: &'p Plan,
    is_over: &'p AtomicBool,
}

impl Followed<'_> {
    /// What is wrong with it, by the looks until the end; `None` where there was none.
    fn judge(&self, executable: &Executable) -> anyhow::Result<Option<Judged<'static>>> {
        let pid = self.member.pid;
        let bias = bias_of(pid, executable)?;
        let wanted = |rule| self.plan.rules.contains(&rule);
        let mut examination =
            Examination::new(executable.binary(), bias, Some(pid), wanted, self.plan.thresholds)?;
        let began = Instant::now();
        let end = self.look_on(&mut examination)?;
        let origin = Origin { pid: Some(pid.0), core: None, executable, bias, duration: began.elapsed() };
        let judged = Judged::of(&examination, &origin).map(Judged::into_owned);
        if end == End::Hung {
            tracing::warn!(
                "process {pid} ({}) can never go on; goflow ends it (--end-hung)",
                executable.path().display()
            );
            end_hung(self.process);
        }
        Ok(judged)
    }

    fn look_on(&self, examination: &mut Examination<'_>) -> anyhow::Result<End> {
        let mut looker = Looker::at(self.process, self.plan.most_bytes);
        let (mut failures, mut pace, mut stuck) = (0, FIRST_PACE, Stuck::default());
        while !self.is_gone() {
            match looker.look(examination) {
                Ok(()) => failures = 0,
                // It may be about to end, or about to begin: its runtime may not be set up yet.
                Err(error) if failures >= MOST_FAILURES && !self.process.ends_within(TO_END) => {
                    return Err(error.into());
                }
                Err(_) => failures += 1,
            }
            let stuck = if failures == 0 { stuck.look(examination, self.process) } else { None };
            if self.plan.end_hung.zip(stuck).is_some_and(|(limit, stuck)| stuck >= limit) {
                return Ok(End::Hung);
            }
            if self.is_over_within(looker.pause(pace)) {
                return Ok(End::Over);
            }
            pace = PACE.min(pace * 2);
        }
        Ok(End::Gone)
    }

    /// It has ended, or runs something else.
    fn is_gone(&self) -> bool {
        self.process.has_ended() || family::run_of(self.member.pid) != Some(self.member.run)
    }

    /// Waits; less where nobody wants to know any more or the process ends.
    fn is_over_within(&self, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        loop {
            if self.is_over.load(Ordering::Acquire) {
                return true;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || self.process.ends_within(left.min(TICK)) {
                return false;
            }
        }
    }
}

/// Since when a process can do nothing any more, and the CPU time that it had used by then.
#[derive(Default)]
struct Stuck {
    since: Option<(Instant, u64)>,
}

impl Stuck {
    /// For how long its first goroutine has been stuck for good, without which it cannot end, while nothing else went on;
    /// `None`: it is not.
    fn look(&mut self, examination: &Examination<'_>, process: &Process) -> Option<Duration> {
        let is_stuck = examination.findings().any(|finding| {
            // Of the rules that find who is stuck for good: others tell what is slow, or was done wrong.
            [&CIRCULAR_WAIT, &DEADLOCK, &GOROUTINE_LEAK].contains(&finding.rule)
                && finding.confidence >= Confidence::Likely
                && finding.goroutines.iter().any(|one| one.goid == Goid(1))
        });
        let cpu_ns = process.cpu_ns().filter(|_| is_stuck);
        let (Some(cpu_ns), now) = (cpu_ns, Instant::now()) else {
            self.since = None;
            return None;
        };
        let (since, before) = *self.since.get_or_insert((now, cpu_ns));
        let (lasted, used) = (now - since, Duration::from_nanos(cpu_ns.saturating_sub(before)));
        // A single garbage collection is nothing that goes on.
        if used > lasted / IDLE_PART + Duration::from_millis(5) {
            self.since = Some((now, cpu_ns));
            return Some(Duration::ZERO);
        }
        Some(lasted)
    }
}

/// Ends a process that can never go on, as `go test` ends a test that takes too long: a Go program prints its goroutines first.
fn end_hung(process: &Process) {
    // What cannot be signalled any more has ended.
    let _ = pidfd_send_signal(process, Signal::QUIT);
    let deadline = Instant::now() + TO_OBEY;
    while Instant::now() < deadline {
        if process.ends_within(TICK) {
            return;
        }
    }
    let _ = pidfd_send_signal(process, Signal::KILL);
}
