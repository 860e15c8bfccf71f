//! `goflow check -- CMD`: starts a command, and looks at every Go program among the processes that it starts.
//!
//! In: a command line; out: a report of all of them, and how the command ended. What was found of a process that has ended is
//! kept. The command is goflow's own child, so unlike any other target it is signalled: an interrupt is passed on, and where
//! goflow has to leave first, nothing that it started is left behind.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ffi::OsString;
use std::io;
use std::process::{Child, ExitStatus};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use crossbeam_channel::{Receiver, Sender, unbounded};
use rustix::process::{Signal, WaitOptions, getpgrp, pidfd_send_signal, waitpid};
use rustix::termios::tcgetpgrp;
use signal_hook::iterator::Signals;

use super::follow::{Kind, Outcome, Plan, TO_OBEY, follow};
use crate::cli::looks::Judged;
use crate::detect::Rule;
use crate::sink::findings::{Of, Report};
use crate::target::Pid;
use crate::target::executable::{Executable, FileId};
use crate::target::family::{Member, RunId, descendants};
use crate::target::host::{self, NoTask};
use crate::target::process::Process;
use crate::target::spawn::{find_program, spawn_waiting};

/// How often new processes are looked for.
const TICK: Duration = Duration::from_millis(50);

/// Of the time, what looking for them may take.
const PART: u32 = 10;

/// Sent twice so soon, an interrupt is one: timeout(1) signals its child, and then the group that its child is in.
const ECHO: Duration = Duration::from_millis(100);

/// What came of a command.
pub(super) struct Checked {
    pub(super) report: Report<'static>,
    /// How the command ended; `None` where its time was over and goflow ended it.
    pub(super) status: Option<ExitStatus>,
}

/// Starts a command and looks at its processes until it ends, or for `duration`.
///
/// # Errors
/// It cannot be started.
pub(super) fn check(words: &[OsString], plan: Plan, duration: Option<Duration>) -> anyhow::Result<Checked> {
    let (program, arguments) = words.split_first().context("no command was given")?;
    let path = find_program(program)?;
    let mut signals = signals_to_answer().and_then(Signals::new).context("signals cannot be received")?;
    adopt_orphans();
    let began = Instant::now();
    let child = spawn_waiting(&path, arguments)?.start()?;
    let mut family = Family::of(child, plan)?;
    let end = family.attend(&mut signals, duration.and_then(|duration| began.checked_add(duration)))?;
    family.hear_out(&mut signals);
    let status = family.leave(end, &mut signals);
    let words = words.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    Ok(Checked { report: family.heard.report(words, began.elapsed()), status })
}

/// Why goflow does not wait for the command any more.
#[derive(Clone, Copy, Debug)]
enum End {
    Ended(ExitStatus),
    TimeOver,
    Interrupted,
}

/// The processes of a command.
struct Family {
    command: Child,
    process: Process,
    plan: Arc<Plan>,
    is_over: Arc<AtomicBool>,
    outcomes: (Sender<Outcome>, Receiver<Outcome>),
    /// What each process ran when it was last seen.
    known: HashMap<Pid, RunId>,
    /// Threads that look at one.
    following: usize,
    due: Instant,
    /// A signal has come, at first then.
    signalled: Option<Instant>,
    heard: Heard,
}

impl Family {
    fn of(command: Child, plan: Plan) -> anyhow::Result<Self> {
        Ok(Self {
            process: Process::open(Pid(command.id()))?,
            command,
            plan: Arc::new(plan),
            is_over: Arc::default(),
            outcomes: unbounded(),
            known: HashMap::new(),
            following: 0,
            due: Instant::now(),
            signalled: None,
            heard: Heard::default(),
        })
    }

    /// Until the command has ended, its time is over, or somebody insists.
    fn attend(&mut self, signals: &mut Signals, deadline: Option<Instant>) -> anyhow::Result<End> {
        loop {
            self.find_new()?;
            while let Ok(outcome) = self.outcomes.1.try_recv() {
                self.hear(outcome);
            }
            if let Some(status) = self.command.try_wait().context("the command cannot be waited for")? {
                return Ok(End::Ended(status));
            }
            if self.answer(signals) {
                return Ok(End::Interrupted);
            }
            let now = Instant::now();
            if deadline.is_some_and(|deadline| now >= deadline) {
                return Ok(End::TimeOver);
            }
            let _ = self.process.ends_within(deadline.map_or(TICK, |deadline| (deadline - now).min(TICK)));
        }
    }

    /// Has a thread look at each process that is new, or runs something new.
    fn find_new(&mut self) -> anyhow::Result<()> {
        let began = Instant::now();
        if began < self.due {
            return Ok(());
        }
        let own = Pid(std::process::id());
        let members = descendants(own);
        let alive: HashSet<Pid> = members.iter().map(|member| member.pid).collect();
        self.known.retain(|pid, _| alive.contains(pid));
        for member in members {
            if member.is_zombie {
                // Of orphans that goflow has adopted nobody else takes note.
                if member.parent == own && member.pid != self.process.pid() {
                    reap(member.pid);
                }
            } else if self.known.insert(member.pid, member.run) != Some(member.run) {
                self.follow(member)?;
            }
        }
        self.due = Instant::now() + TICK.max(began.elapsed() * PART);
        Ok(())
    }

    fn follow(&mut self, member: Member) -> anyhow::Result<()> {
        let is_command = member.pid == self.process.pid();
        let is_tool = |id| self.heard.tools.contains(&id);
        if !is_command && Executable::id_of_process(member.pid).is_ok_and(is_tool) {
            return Ok(());
        }
        let (plan, is_over) = (Arc::clone(&self.plan), Arc::clone(&self.is_over));
        let outcomes = self.outcomes.0.clone();
        thread::Builder::new()
            .name("goflow-follow".into())
            .spawn(move || {
                // Nobody listens any more where it took too long.
                let _ = outcomes.send(follow(member, is_command, &plan, &is_over));
            })
            .map_err(NoTask::of("the thread goflow-follow"))?;
        self.following += 1;
        Ok(())
    }

    fn hear(&mut self, outcome: Outcome) {
        self.following -= 1;
        self.heard.take(outcome);
    }

    /// Passes on what the terminal has not sent to the command itself; true when somebody insists.
    fn answer(&mut self, signals: &mut Signals) -> bool {
        for signal in signals.pending() {
            let now = Instant::now();
            if signal == libc::SIGTERM || self.signalled.is_some_and(|first| now - first > ECHO) {
                return true;
            }
            if self.signalled.is_none() {
                self.signalled = Some(now);
                tracing::warn!(
                    "goflow waits for the end of the command to tell what it found; a second signal ends both"
                );
                if !is_from_terminal() {
                    send_to_all(signal);
                }
            }
        }
        false
    }

    /// Waits for those who look, but not for a read that never returns.
    fn hear_out(&mut self, signals: &mut Signals) {
        self.is_over.store(true, Ordering::Release);
        let deadline = Instant::now() + TO_OBEY * 2;
        while self.following > 0 {
            if let Ok(outcome) = self.outcomes.1.recv_timeout(TICK) {
                self.hear(outcome);
                continue;
            }
            if Instant::now() >= deadline || signals.pending().next().is_some() {
                self.heard.unread.insert("a process was not read to the end".to_owned());
                return;
            }
        }
    }

    /// Ends what is left, where the command did not end by itself or was told to.
    fn leave(&mut self, end: End, signals: &mut Signals) -> Option<ExitStatus> {
        if let End::Ended(status) = end
            && self.signalled.is_none()
        {
            return Some(status);
        }
        send_to_all(libc::SIGTERM);
        let deadline = Instant::now() + TO_OBEY;
        let mut status = if let End::Ended(status) = end { Some(status) } else { None };
        while is_anybody_left(self.process.pid(), &mut self.command, &mut status) {
            if Instant::now() >= deadline || signals.pending().next().is_some() {
                send_to_all(libc::SIGKILL);
                // Of a signal that cannot be refused; what is started meanwhile gets the next.
                if Instant::now() >= deadline + TO_OBEY {
                    tracing::warn!("a process of the command does not end, not even by SIGKILL");
                    break;
                }
            }
            thread::sleep(TICK / 5);
        }
        if matches!(end, End::TimeOver) { None } else { status }
    }
}

/// What those who look have told.
#[derive(Default)]
struct Heard {
    judged: Vec<(Judged<'static>, Kind)>,
    /// Why something could not be read.
    unread: BTreeSet<String>,
    /// Files of Go's own tools.
    tools: HashSet<FileId>,
    has_short: bool,
    has_tool: bool,
}

impl Heard {
    fn take(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Judged(judged, kind) => self.judged.push((judged, kind)),
            Outcome::Tool(file) => _ = self.tools.insert(file),
            Outcome::Unread(why) => _ = self.unread.insert(why),
            Outcome::Short => self.has_short = true,
            Outcome::Other => {}
        }
    }

    /// Without Go's own tools: where no other program ran, as where `go test` has all its results already, nothing has been looked at.
    fn report(mut self, words: Vec<String>, lasted: Duration) -> Report<'static> {
        self.has_tool |= !self.tools.is_empty();
        self.has_tool |= self.judged.iter().any(|(_, kind)| *kind == Kind::Tool);
        self.judged.retain(|(_, kind)| *kind == Kind::Program);
        self.judged.sort_by_key(|(judged, _)| (judged.subject.started, judged.subject.pid));
        let mut report = Report::new(Of::Command(words));
        let limits = self.limits();
        report.unasked = unasked(&self.judged);
        for (judged, _) in self.judged {
            report.add(judged.subject, judged.limits, judged.findings);
        }
        report.limits.extend(limits);
        report.duration_ns = lasted.as_nanos() as u64;
        report
    }

    fn limits(&self) -> Vec<String> {
        let mut limits: Vec<String> = self.unread.iter().cloned().collect();
        if self.judged.is_empty() && limits.is_empty() {
            limits.push(match (self.has_short, self.has_tool) {
                (true, _) => {
                    "each Go program of the command ended before it could be looked at twice".to_owned()
                }
                (false, true) => "only Go's own tools ran, which are not looked at; where `go test` has its results cached no test \
                                  runs, and with -count=1 each does"
                    .to_owned(),
                (false, false) => "the command started no Go program".to_owned(),
            });
        }
        limits
    }
}

/// What was asked of none of the processes.
fn unasked(judged: &[(Judged<'static>, Kind)]) -> Vec<(&'static Rule, String)> {
    let Some(((first, _), others)) = judged.split_first() else { return Vec::new() };
    let is_of = |rule: &Rule, judged: &Judged<'_>| judged.unasked.iter().any(|(one, _)| *one == rule);
    let of_all = first.unasked.iter().filter(|(rule, _)| others.iter().all(|(one, _)| is_of(rule, one)));
    of_all.cloned().collect()
}

/// Under nohup(1) goflow outlives its terminal as the command does.
fn signals_to_answer() -> io::Result<Vec<libc::c_int>> {
    let mut signals = vec![libc::SIGINT, libc::SIGQUIT, libc::SIGTERM];
    if !host::is_ignored(libc::SIGHUP)? {
        signals.push(libc::SIGHUP);
    }
    Ok(signals)
}

/// A process whose parent has ended stays in the family.
fn adopt_orphans() {
    if let Err(error) = rustix::process::set_child_subreaper(Some(rustix::process::getpid())) {
        tracing::warn!("processes of the command whose parents end are not followed: {error}");
    }
}

/// Takes note of the end of an orphan.
fn reap(pid: Pid) {
    let pid = i32::try_from(pid.0).ok().and_then(rustix::process::Pid::from_raw);
    if let Some(pid) = pid {
        // Somebody else has, where it fails.
        let _ = waitpid(Some(pid), WaitOptions::NOHANG);
    }
}

/// goflow runs in the foreground of a terminal, which sends its signals to each process there, so to the command as well.
fn is_from_terminal() -> bool {
    let terminal = std::fs::File::open("/dev/tty");
    terminal.and_then(|terminal| Ok(tcgetpgrp(terminal)?)).is_ok_and(|group| group == getpgrp())
}

/// Sends a signal to each process of the command, as a terminal would.
fn send_to_all(signal: libc::c_int) {
    let Some(signal) = Signal::from_named_raw(signal) else { return };
    for member in descendants(Pid(std::process::id())) {
        // Who has ended needs no signal.
        if let (false, Ok(process)) = (member.is_zombie, Process::open(member.pid)) {
            let _ = pidfd_send_signal(&process, signal);
        }
    }
}

/// Takes note of who has ended; false once all have.
fn is_anybody_left(command: Pid, child: &mut Child, status: &mut Option<ExitStatus>) -> bool {
    if status.is_none() {
        *status = child.try_wait().unwrap_or_default();
    }
    let own = Pid(std::process::id());
    let members = descendants(own);
    let is_ours = |member: &&Member| member.is_zombie && member.parent == own && member.pid != command;
    members.iter().filter(is_ours).for_each(|member| reap(member.pid));
    status.is_none() || members.iter().any(|member| !member.is_zombie)
}
