//! Control: starts a session, waits for its end, takes the probes out, and closes the books.

mod adjust;

use super::accounts::{Accountant, Readings};
use super::budget::{Books, Measured, Place, Spans, cost_of, costs_by_level, probed};
use super::ctl;
use super::ingest::{Hits, Ingest, Outlets, Request, Source, Tally, Totals, Window};
use super::metrics::{Bound, Server};
use super::output::Output;
use super::phases::Phases;
use super::session::{self, Environment, Traced};
use super::snapshots::{Ask, Snapshots};
use super::state;
use super::watch::{Watch, Watched};
use super::{BoxedSink, Message, Outcome, ProcessExit, Targets, TraceOptions};
use crate::advice::Advise as _;
use crate::detect::Rule;
use crate::ingest::event::{Gap, LossPoint, MonotonicNs};
use crate::probe::attach::{AttachError, Attached, Scope};
use crate::probe::budget::{Mode, Order};
use crate::probe::calibration;
use crate::probe::catalog::Level;
use crate::probe::keeper::Keeper;
use crate::probe::load::{AttachMethod, LoadError};
use crate::probe::plan::Plan;
use crate::probe::task_clock::Readiness;
use crate::sink::record::{BinaryName, LevelCoverage, OwnUse, ProbeHits, Progress, Silence, Summary};
use crate::target::executable::{Executable, FileId};
use crate::target::host::NoTask;
use crate::target::lease::{Lease, WANTED_BACK};
use crate::target::memory::{Pulse, WHY_NO_ANSWER};
use crate::target::process::{self, Process, Standstill};
use crate::target::spawn::{self, Waiting};
use crate::target::{Pid, host};
use anyhow::{Context as _, anyhow, bail};
use crossbeam_channel::{RecvTimeoutError, Sender, bounded, unbounded};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::time::Timespec;
use std::collections::BTreeSet;
use std::io;
use std::mem;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Child;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Messages between ingest and sink; what does not fit waits in the ingest thread, which counts in events.
const QUEUE: usize = 8;
/// How often a person who waits is told how far it is.
const PROGRESS: Duration = Duration::from_secs(1);
/// How often control looks at what cannot wake it: CPU time, an `exec`, a closed output.
const TICK: Duration = Duration::from_millis(100);

/// Traces until the duration is over, the targets have ended, or a signal comes.
///
/// # Errors
/// A target cannot be analysed or probed, or the output failed. The probes are out in any case.
pub fn trace(options: &TraceOptions, sink: BoxedSink) -> anyhow::Result<Outcome> {
    let phases = Phases::start();
    if !matches!(options.targets, Targets::Command(_)) {
        // Before the keeper is forked, which holds most of them.
        host::allow_many_files();
    }
    let environment = Environment::detect(options, phases)?;
    let signals = Signals::catch().context("signals cannot be received")?;
    // After the keepers were forked, which would hold it, and before anything is attached.
    let bound = options.metrics.map(Bound::to).transpose()?;
    let mut targets = open(&options.targets)?;
    for (executable, _) in &targets.executables {
        phases.done(&format!("executable read: {}", executable.path().display()));
    }
    let metrics = bound.map(|bound| Metrics::start(bound, &options.rules)).transpose()?;
    let lease = targets.lease.take();
    let executables = mem::take(&mut targets.executables);
    let readiness = keeps_budget(options).then(|| thread::spawn(Readiness::new));
    let traced = session::attach_all(executables, lease.as_ref(), options, &environment);
    if let Some(readiness) = readiness {
        targets.watch.be_ready(join(readiness)?);
    }
    let traced = traced.map_err(|error| targets.watch.find_ended().map_or(error, ended_meanwhile))?;
    let mut running =
        Running::start(traced, targets.watch, lease, environment, options, Output::new(sink, phases))?;
    running.metrics = metrics;
    let waiting = targets.waiting.take();
    // A signal from before the fork has reached goflow only: whoever sent it wants the command to end as well.
    if let Some(ended) = waiting.as_ref().and_then(|_| signals.wait([], Duration::ZERO)) {
        drop(waiting);
        running.finish(ended, &signals)?;
        bail!("{} before the command was started", ended.sentence());
    }
    let child = waiting.map(Waiting::start).transpose()?;
    if child.is_some() {
        phases.done("command started");
    }
    let ended = running.wait(options.duration, child.is_some(), &signals);
    running.finish(ended, &signals)?;
    if ended == Ended::ProbesTaken && child.is_none() {
        return Err(anyhow!("the trace is not complete: {}", ended.sentence()))
            .advise(|| "the target runs on without probes; start the trace again");
    }
    let command = child.map(|child| outlive(child, ended, &signals)).transpose()?.flatten();
    Ok(Outcome { command, is_interrupted: ended.is_impatient() })
}

/// A budget is kept from the start.
fn keeps_budget(options: &TraceOptions) -> bool {
    options.level > Level::Snapshot && options.budget.share().is_some()
}

/// What a session is about, opened.
struct Opened {
    executables: Vec<(Executable, Scope)>,
    watch: Watch,
    waiting: Option<Waiting>,
    /// Of a file that may be overwritten because no process needs to run it.
    lease: Option<Lease>,
}

fn open(targets: &Targets) -> anyhow::Result<Opened> {
    match targets {
        Targets::Pids(pids) => open_pids(pids),
        Targets::Binary(path) => {
            let (executable, lease) = open_leased(path)?;
            let executables = vec![(executable, Scope::AllProcesses)];
            Ok(Opened { executables, watch: Watch::of_arrivals(), waiting: None, lease })
        }
        Targets::Command(words) => {
            let (program, arguments) = words.split_first().context("no command was given")?;
            let path = spawn::find_program(program)?;
            let executable = Executable::open(&path)?;
            let waiting = spawn::spawn_waiting(&path, arguments)?;
            let process = Process::open(waiting.pid())?;
            let scope = Scope::Processes(vec![waiting.pid()]);
            let watch = Watch::of(vec![Watched::of_command(process, executable.id())]);
            Ok(Opened { executables: vec![(executable, scope)], watch, waiting: Some(waiting), lease: None })
        }
    }
}

/// The lease is taken before the file is read, so that what was analysed is what is probed.
fn open_leased(path: &Path) -> anyhow::Result<(Executable, Option<Lease>)> {
    let lease = match Lease::take(path) {
        // What cannot be read is refused where it is opened to be analysed.
        Ok(lease) => lease,
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            return Err(anyhow!("{} is open for writing", path.display()))
                .advise(|| "try again when it has been written");
        }
        Err(error) => {
            tracing::warn!(%error, path = %path.display(), "cannot notice when the file is overwritten: do not do that");
            None
        }
    };
    let executable = Executable::open(path)?;
    if lease.as_ref().is_some_and(|lease| lease.id().is_ok_and(|id| id != executable.id())) {
        return Err(anyhow!("{} was replaced just now", path.display())).advise(|| "try again");
    }
    Ok((executable, lease))
}

fn open_pids(pids: &[Pid]) -> anyhow::Result<Opened> {
    let mut programs: Vec<(FileId, Vec<Pid>)> = Vec::new();
    let mut processes = Vec::new();
    for &pid in pids {
        let process = Process::open(pid).map_err(|error| no_process(pid, error))?;
        let had_ended = process.has_ended();
        let id = Executable::id_of_process(pid)
            .or_else(|_| Executable::of_process(pid).map(|file| file.id()))
            .map_err(
                |error| if !had_ended && process.has_ended() { ended_meanwhile(pid) } else { error.into() },
            )?;
        if let Some(standstill) = Standstill::of(pid) {
            tracing::warn!("process {pid} {}", standstill.sentence());
        }
        processes.push(Watched::new(process, id));
        match programs.iter_mut().find(|(known, _)| *known == id) {
            Some((_, same)) if same.contains(&pid) => {}
            Some((_, same)) => same.push(pid),
            None => programs.push((id, vec![pid])),
        }
    }
    let executables = session::side_by_side(programs, |(id, pids)| {
        let executable = Executable::of_process(pids[0])?;
        if executable.id() != id {
            return Err(anyhow!("process {} executed another program just now", pids[0]))
                .advise(|| "try again");
        }
        Ok((executable, Scope::Processes(pids)))
    });
    let watch = Watch::of(processes);
    let executables = executables.map_err(|error| watch.find_ended().map_or(error, ended_meanwhile))?;
    Ok(Opened { executables, watch, waiting: None, lease: None })
}

/// Whatever failed then failed for that.
fn ended_meanwhile(pid: Pid) -> anyhow::Error {
    anyhow!("process {pid} ended while goflow attached; nothing of goflow is left behind")
}

fn no_process(pid: Pid, error: io::Error) -> anyhow::Error {
    match error.raw_os_error() {
        Some(libc::ESRCH) => anyhow!("there is no process {pid}; `pgrep -l NAME` finds the right one"),
        _ => anyhow!(error).context(format!("process {pid} cannot be opened")),
    }
}

/// Why a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    Duration,
    Interrupted,
    Terminated,
    HungUp,
    TargetsExited,
    TargetsReplaced,
    BinaryRewritten,
    OutputClosed,
    ProbesTaken,
}

impl Ended {
    /// Somebody wants goflow to end.
    fn is_impatient(self) -> bool {
        matches!(self, Self::Interrupted | Self::Terminated | Self::HungUp)
    }

    fn sentence(self) -> &'static str {
        match self {
            Self::Duration => "duration reached",
            Self::Interrupted => "interrupted",
            Self::Terminated => "terminated",
            Self::HungUp => "hung up",
            Self::TargetsExited => "target exited",
            Self::TargetsReplaced => "target executed another program",
            Self::BinaryRewritten => "the binary is about to be overwritten",
            Self::OutputClosed => "output closed",
            Self::ProbesTaken => "somebody ended the process that holds the probes",
        }
    }
}

/// The first interrupt of a session with a command, which the terminal has sent to the command as well.
#[derive(Default)]
struct Interrupt {
    came: Option<Instant>,
    is_told: bool,
}

impl Interrupt {
    /// Sent twice at once, it is one: timeout(1) signals its child, and then the group that its child is in.
    const ECHO: Duration = Duration::from_millis(100);
    /// A command that is still there by then shuts down, or does not mean to.
    const SLOW: Duration = Duration::from_millis(700);

    /// Takes note of an interrupt; false when it is another one, which means goflow.
    fn is_first(&mut self, now: Instant) -> bool {
        now - *self.came.get_or_insert(now) < Self::ECHO
    }

    /// Tells whoever waits why the trace goes on.
    fn tell(&mut self, now: Instant) {
        if !self.is_told && self.came.is_some_and(|came| now - came > Self::SLOW) {
            self.is_told = true;
            tracing::warn!("the trace goes on until the command has ended; Ctrl-C again ends it now");
        }
    }
}

/// A session whose probes are in.
struct Running {
    started: Instant,
    attached: Vec<Attached>,
    /// What each binary is called, and where its probes are.
    plans: Vec<(BinaryName, Plan)>,
    /// What is traced.
    files: Vec<FileId>,
    ingest: JoinHandle<Result<Totals, LoadError>>,
    output: JoinHandle<io::Result<Output>>,
    state: JoinHandle<state::Ending>,
    snapshots: JoinHandle<Vec<Pid>>,
    pulse: Pulse,
    /// Processes whose memory did not answer.
    silent: BTreeSet<Pid>,
    asks: Sender<Ask>,
    requests: Sender<Request>,
    messages: Sender<Message>,
    done: Arc<AtomicBool>,
    output_closed: Arc<AtomicBool>,
    unwritten: Arc<AtomicU64>,
    watch: Watch,
    window: Arc<Window>,
    /// goflow's own CPU time when the window opened.
    own_cpu_ns: u64,
    lease: Option<Lease>,
    keeper: Option<Arc<Keeper>>,
    books: Books,
    calibration: Option<Calibration>,
    metrics: Option<Metrics>,
    method: AttachMethod,
    /// What is traced, by name.
    binaries: Vec<BinaryName>,
    /// By which the session is asked and changed, where that can be.
    ctl: Option<ctl::Server>,
}

/// Who makes accounts of a session, and who serves them.
struct Metrics {
    accountant: Accountant,
    server: Server,
}

impl Metrics {
    fn start(bound: Bound, rules: &[&'static Rule]) -> anyhow::Result<Self> {
        Ok(Self { accountant: Accountant::new(rules.to_vec()), server: Server::start(bound)? })
    }
}

impl Running {
    fn start(
        traced: Vec<Traced>,
        mut watch: Watch,
        lease: Option<Lease>,
        environment: Environment,
        options: &TraceOptions,
        output: Output,
    ) -> anyhow::Result<Self> {
        let started = Instant::now();
        let Environment { kernel: _, kernel_version, method, keeper, hitter, phases: _ } = environment;
        let files: Vec<_> = traced.iter().map(|one| one.executable.id()).collect();
        let doorbell = watch.open(&files).context("the processes cannot be watched")?;
        // Before anybody reads that the session has begun.
        let ctl = ctl::Server::start();
        let window = Arc::new(Window::open());
        let (messages, received) = bounded(QUEUE);
        let unwritten = output.unwritten();
        let output = spawn("goflow-sink", move || {
            host::run_before_others();
            output.run(&received)
        })?;
        let (asks, asked) = unbounded();
        let (requests, requested) = unbounded();
        let (mut feed, state) = state::pair(
            options.level,
            &options.filter,
            &options.rules,
            Arc::clone(&window),
            requests.clone(),
        );
        let state = spawn("goflow-state", move || state.run())?;
        let search = traced.iter().find(|one| one.search).map(|one| Arc::clone(&one.executable));
        let (pace, what) = session::looks(options);
        let pulse = Pulse::default();
        let snapshots = Snapshots::new(asked, requests.clone(), pace, what, pulse.clone(), search);
        let snapshots = spawn("goflow-snapshot", move || snapshots.run())?;
        let binaries = traced.iter().map(|one| one.meta.binary.clone()).collect();
        tell(&messages, std::iter::once(Message::Meta(traced.iter().map(|one| one.meta.clone()).collect())));
        let (mut attached, mut plans, mut sources) = (Vec::new(), Vec::new(), Vec::new());
        for Traced { executable, probes, meta, processes, wanted, search: _ } in traced {
            processes.iter().for_each(|process| feed.started(process));
            for wanted in wanted {
                // A thread that is gone says why when it is joined.
                let _ = asks.send(Ask::Start(wanted));
            }
            let binary = meta.binary;
            if let Some(probes) = probes {
                let mut source = Source::new(executable, &probes.plan, probes.reader, probes.maps);
                processes.iter().for_each(|process| source.know(process));
                tell(&messages, processes.into_iter().map(Message::Process));
                attached.push(probes.attached);
                plans.push((binary, probes.plan));
                sources.push(source);
            }
        }
        let calibration =
            hitter.map(|hitter| Calibration::start(hitter, method, kernel_version)).transpose()?;
        let measured = calibration.as_ref().map(|one| Arc::clone(&one.measured)).unwrap_or_default();
        let spans = Arc::<Spans>::default();
        let books =
            Books::new(options.budget, options.level, method, plans.len(), Arc::clone(&spans), measured);
        if books.is_measuring() {
            watch.count_exactly();
        }
        let (done, output_closed) = (Arc::<AtomicBool>::default(), Arc::<AtomicBool>::default());
        let ingest = Ingest::new(
            sources,
            Outlets {
                messages: messages.clone(),
                unwritten: Arc::clone(&unwritten),
                feed,
                snapshots: asks.clone(),
            },
            (Arc::clone(&window), spans),
            requested,
            doorbell,
            Arc::clone(&done),
            Arc::clone(&output_closed),
        );
        let ingest = spawn("goflow-ingest", move || {
            host::run_before_others();
            ingest.run()
        })?;
        Ok(Self {
            started,
            attached,
            plans,
            files,
            ingest,
            output,
            state,
            snapshots,
            pulse,
            silent: BTreeSet::new(),
            asks,
            requests,
            messages,
            done,
            output_closed,
            unwritten,
            watch,
            window,
            own_cpu_ns: own_cpu_ns(keeper.as_ref()),
            lease,
            keeper,
            books,
            calibration,
            metrics: None,
            method,
            binaries,
            ctl,
        })
    }

    /// Waits for the end of the session and says which it was. An interrupt of a command is the command's to answer.
    fn wait(&mut self, duration: Option<Duration>, is_command: bool, signals: &Signals) -> Ended {
        // A moment that no clock reaches is none.
        let deadline = duration.and_then(|duration| self.started.checked_add(duration));
        let mut progress_due = self.started + PROGRESS;
        // What the targets run is not looked at as often as a budget is kept.
        let mut programs_due = None;
        let mut interrupt = Interrupt::default();
        if self.metrics.is_some() {
            self.tell_accounts();
        }
        loop {
            let now = Instant::now();
            interrupt.tell(now);
            if now >= progress_due {
                self.tell_accounts();
                progress_due = now + PROGRESS;
            }
            if deadline.is_some_and(|deadline| now >= deadline) {
                return Ended::Duration;
            }
            self.keep_budget();
            let next = self.books.due_in().map_or(TICK, |due| due.min(TICK));
            let left = deadline.map_or(next, |deadline| (deadline - now).min(next));
            let keeper = self.keeper.iter().map(|keeper| keeper.as_fd());
            let ctl = self.ctl.as_ref().and_then(ctl::Server::descriptor);
            match signals.wait(self.watch.descriptors().chain(keeper).chain(ctl), left) {
                Some(Ended::Interrupted) if is_command && interrupt.is_first(Instant::now()) => {}
                Some(signal) => return signal,
                None => {}
            }
            self.look();
            self.tell_no_answer();
            self.answer_ctl();
            if self.output_closed.load(Ordering::Acquire) {
                return Ended::OutputClosed;
            }
            if self.keeper.as_ref().is_some_and(|keeper| keeper.has_ended().unwrap_or(false)) {
                return Ended::ProbesTaken;
            }
            if self.watch.is_over() {
                return Ended::TargetsExited;
            }
            if programs_due.is_none_or(|due| now >= due) {
                programs_due = Some(now + TICK);
                self.renew_executed();
                if self.watch.is_replaced() {
                    return Ended::TargetsReplaced;
                }
            }
        }
    }

    /// Sees to those that have executed their program anew.
    fn renew_executed(&mut self) {
        for (pid, since) in self.watch.executed_anew() {
            self.renew(pid, since);
        }
    }

    /// Reads the targets' clocks, and has the stream tell who has ended.
    fn look(&mut self) {
        for pid in self.watch.look() {
            let t = MonotonicNs(host::monotonic_ns());
            // A thread that is gone says why when it is joined.
            let _ = self.requests.send(Request::Exit(ProcessExit { pid, t }));
        }
        let keeper = self.keeper.as_ref();
        self.books.look_at_own(|| own_cpu_ns(keeper), self.watch.known_cpu_ns());
    }

    /// Reads what hits have cost so far when that is due, and takes probes out or puts them in as the budget says.
    fn keep_budget(&mut self) {
        if self.books.due_in().is_some_and(|due| due.is_zero()) {
            self.follow_budget();
            if !self.books.is_measuring() {
                self.watch.count_roughly();
            }
        }
    }

    fn follow_budget(&mut self) {
        if let Some(Order::Withdraw(levels)) = self.books.expire() {
            // By the clocks of this moment and of the one in which the window was opened it is reckoned what was seen in it.
            if !self.watch.counts_exactly() {
                host::await_tick();
            }
            return self.withdraw(&levels);
        }
        let Some(tally) = self.tally() else { return };
        self.watch.read_clocks();
        match self.books.observe(&self.plans, &tally, self.watch.known_cpu_ns()) {
            None => {}
            Some(Order::Withdraw(levels)) => self.withdraw(&levels),
            Some(Order::Restore(level)) => self.restore(level, &tally),
        }
    }

    fn withdraw(&mut self, levels: &[Level]) {
        self.watch.read_clocks();
        let cpu_ns = self.watch.known_cpu_ns();
        let times: Vec<MonotonicNs> = levels.iter().map(|&level| self.books.close(level)).collect();
        let start = Instant::now();
        self.take_out(levels);
        self.books.took(&Order::Withdraw(levels.to_vec()), start.elapsed());
        if let Some(tally) = self.tally() {
            self.tell_turned(levels.iter().copied().zip(times), Place::Out, cpu_ns, &tally);
        }
    }

    fn take_out(&mut self, levels: &[Level]) {
        if let Err(error) = self.try_take_out(levels) {
            tracing::warn!("probes cannot be taken out: {error}");
        }
    }

    /// Of every binary, and returns the last error.
    fn try_take_out(&mut self, levels: &[Level]) -> Result<(), AttachError> {
        let mut result = Ok(());
        for (attached, (_, plan)) in self.attached.iter_mut().zip(&self.plans) {
            result = attached.withdraw(plan, levels).and(result);
        }
        result
    }

    fn restore(&mut self, level: Level, tally: &Tally) {
        if let Err(error) = self.put_in(level, tally) {
            tracing::warn!("level {} is not watched any more: {error}", level.name());
            let coverage = self.books.refused(level);
            // A thread that is gone says why when it is joined.
            let _ = self.requests.send(Request::Coverage(vec![coverage]));
        }
    }

    /// Puts the probes of a level in, or none of them.
    fn put_in(&mut self, level: Level, tally: &Tally) -> Result<(), AttachError> {
        let needs_tick = self.books.is_measuring() && !self.watch.count_exactly();
        let (alive, start) = (self.watch.pids(), Instant::now());
        let mut each = self.attached.iter_mut().zip(&self.plans);
        if let Err(error) = each.try_for_each(|(attached, (_, plan))| attached.restore(plan, level, &alive)) {
            // Of the other binaries they may be in, and nobody would take them out.
            self.take_out(&[level]);
            return Err(error);
        }
        self.books.took(&Order::Restore(level), start.elapsed());
        if needs_tick {
            host::await_tick();
        }
        self.watch.read_clocks();
        let t = self.books.open(level);
        self.tell_turned([(level, t)], Place::In, self.watch.known_cpu_ns(), tally);
        Ok(())
    }

    /// Enters into the books what has been done, and has the stream tell it.
    fn tell_turned(
        &mut self,
        turned: impl IntoIterator<Item = (Level, MonotonicNs)>,
        place: Place,
        cpu_ns: u64,
        tally: &Tally,
    ) {
        let turn = |(level, t)| self.books.turned(&self.plans, (level, place), t, cpu_ns, tally);
        let together = turned.into_iter().map(turn).collect();
        // A thread that is gone says why when it is joined.
        let _ = self.requests.send(Request::Coverage(together));
    }

    /// Has the kernel see a process again that it may have lost sight of by an `exec`.
    fn renew(&self, pid: Pid, since: MonotonicNs) {
        // A thread that is gone says why when it is joined.
        let _ = self.requests.send(Request::Moved(pid));
        for (attached, (_, plan)) in self.attached.iter().zip(&self.plans) {
            match attached.renew(plan, pid) {
                Ok(0) => {}
                Ok(_) => {
                    let gap = Gap { pid, from: since, to: MonotonicNs(host::monotonic_ns()) };
                    // A thread that is gone says why when it is joined.
                    let _ = self.requests.send(Request::Gap(gap));
                }
                Err(error) => tracing::warn!(
                    "process {pid} has executed anew; if that was from another thread than its first, nothing more is seen of \
                     it: {error}"
                ),
            }
        }
    }

    /// Tells of a process whose memory does not answer, for which the snapshot thread waits and cannot tell itself.
    fn tell_no_answer(&mut self) {
        let Some(pid) = self.pulse.is_stuck().filter(|&pid| self.silent.insert(pid)) else { return };
        tracing::warn!(
            "the memory of process {pid} does not answer: {WHY_NO_ANSWER}; the trace goes on without"
        );
        let why = format!("the memory of process {pid} does not answer");
        // A thread that is gone says why when it is joined.
        let _ = self.requests.send(Request::NoSnapshot(pid, why));
    }

    /// Waits for the snapshot thread, but not for a read that never returns: that ends with goflow.
    fn end_snapshots(&mut self, signals: &Signals) -> anyhow::Result<()> {
        while !self.snapshots.is_finished() {
            self.tell_no_answer();
            if self.pulse.is_stuck().is_some() {
                return Ok(());
            }
            if signals.wait([], LOOK).is_some_and(Ended::is_impatient) {
                bail!("interrupted before the output was complete: a snapshot is still being read");
            }
        }
        Ok(())
    }

    /// What has been counted; `None` when the ingest thread has failed.
    fn tally(&self) -> Option<Tally> {
        let (answer, answered) = bounded(1);
        self.requests.send(Request::Tally(answer)).ok()?;
        self.ingest.thread().unpark();
        answered.recv().ok()
    }

    /// What goflow itself has used in the window.
    fn own_use(&self) -> OwnUse {
        let cpu_ns = own_cpu_ns(self.keeper.as_ref()).saturating_sub(self.own_cpu_ns);
        OwnUse { cpu_ns, displaced_ns: self.books.displaced_ns(), memory: host::own_memory() }
    }

    /// Tells the output and whoever asks for metrics how far the session is and what it costs.
    fn tell_accounts(&mut self) {
        let Some(tally) = self.tally() else { return };
        self.publish(&tally);
        self.tell_progress(tally);
    }

    fn publish(&mut self, tally: &Tally) {
        let own = OwnUse { cpu_ns: own_cpu_ns(self.keeper.as_ref()), ..self.own_use() };
        let Some(Metrics { accountant, server }) = &mut self.metrics else { return };
        self.watch.read_clocks();
        let is_final = |calibration: &Calibration| calibration.thread.is_finished();
        server.publish(accountant.accounts(&Readings {
            plans: &self.plans,
            tally,
            books: &self.books,
            are_costs_final: self.books.are_final() || self.calibration.as_ref().is_none_or(is_final),
            processes: self.watch.pids().len() as u64,
            target_cpu_ns: self.watch.known_cpu_ns(),
            is_target_cpu_known: self.watch.cpu_ns().is_ok(),
            own,
        }));
    }

    fn tell_progress(&self, tally: Tally) {
        let Tally { at, hits_in_window, events, lost, .. } = tally;
        let not_all = |one: &LevelCoverage| matches!(one.mode, Mode::Sampled | Mode::Removed);
        let progress = Progress {
            t: at,
            elapsed_ns: self.window.elapsed_ns(),
            events,
            lost: lost.values().sum(),
            cost_ns: cost_ns(&self.plans, &hits_in_window, &self.books),
            is_cost_measured: self.books.are_measured(),
            target_cpu_ns: self.watch.cpu_ns().ok(),
            sampled: self.books.coverage().into_iter().filter(not_all).map(|one| one.level).collect(),
            own: self.own_use(),
        };
        // Where events wait for room, so could this, and nobody would miss it.
        let _ = self.messages.try_send(Message::Progress(progress));
    }

    /// Takes the probes out, lets what is on the way arrive, and writes the summary.
    fn finish(mut self, ended: Ended, signals: &Signals) -> anyhow::Result<()> {
        // Taking probes out takes up to seconds, in which some are in and some are not: cost and CPU time are those of
        // the time in which all were in, or the one would not be a part of the other.
        // Who asks from here on finds nobody.
        drop(self.ctl.take());
        self.look();
        self.renew_executed();
        let duration_ns = self.window.close();
        self.books.watched().into_iter().for_each(|level| _ = self.books.close(level));
        self.calibration.iter().for_each(Calibration::cancel);
        let cpu_ns = self.watch.known_cpu_ns();
        let alive = self.watch.pids();
        let own = self.own_use();
        // A snapshot after the window would tell of what the events do not.
        let _ = self.asks.send(Ask::Stop);
        self.pulse.cancel();
        let detach: Duration = mem::take(&mut self.attached).into_iter().map(Attached::detach).sum();
        // What it would answer from here on is no longer so.
        drop(self.metrics.take());
        // Whoever wants to write to the binary may.
        drop(self.lease.take());
        // Not before: a program that answers no read must not keep its probes for that.
        self.end_snapshots(signals)?;
        let unread = if self.snapshots.is_finished() { join(self.snapshots)? } else { Vec::new() };
        // The sink thread ends with the last of these.
        drop(self.messages);
        self.done.store(true, Ordering::Release);
        let mut stall = Stall::new(Arc::clone(&self.unwritten), !self.plans.is_empty());
        let totals = join_unless_signalled(self.ingest, signals, UNREAD, || stall.look())??;
        let output = match join_unless_signalled(self.output, signals, UNREAD, || stall.look())? {
            Ok(output) => output,
            // `goflow trace | head` is not an error.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            Err(error) => return Err(anyhow!(error).context("the output could not be written")),
        };
        tell_when_late(&self.state);
        let ending = join_unless_signalled(self.state, signals, UNFINISHED, || ())?;
        if let Some(calibration) = self.calibration.take() {
            calibration.end();
        }
        self.books.finish(&self.plans, self.window.end(), cpu_ns, &totals.tally);
        let counts = output.counts();
        let is_silent = counts.iter().all(|(_, count)| *count == 0);
        let summary = Summary {
            duration_ns,
            detach_ns: detach.as_nanos() as u64,
            counts,
            lost: lost(&totals),
            gaps: output.gaps(),
            hits: probe_hits(&self.plans, &totals, &self.books),
            level: self.books.level().name(),
            budget: self.books.share(),
            changes: output.changes(),
            coverage: self.books.coverage(),
            cost_ns: cost_ns(&self.plans, &totals.tally.hits_in_window, &self.books),
            is_cost_measured: self.books.are_measured(),
            target_cpu_ns: self.watch.cpu_ns(),
            own,
            processes: totals.processes,
            end: self.window.end(),
            state: ending.states,
            findings: ending.findings,
            ended: ended.sentence().to_owned(),
            silence: is_silent.then(|| match silence(&alive, &self.files, self.watch.waits_for_arrivals()) {
                // Without a probe there is nothing else to see.
                Silence::Idle if self.plans.is_empty() && !unread.is_empty() => Silence::Unread,
                silence => silence,
            }),
        };
        // On a thread, because it may find no reader either.
        let last = spawn("goflow-sink", move || output.finish(summary))?;
        let mut stall = Stall::new(self.unwritten, !self.plans.is_empty());
        let written = join_unless_signalled(last, signals, UNREAD, || stall.look())?;
        written.context("the summary could not be written")
    }
}

/// What targets do that make no event. Of a file that everybody may run, those are known that made one: the others are
/// searched for.
fn silence(alive: &[Pid], files: &[FileId], any: bool) -> Silence {
    let mut pids = alive.to_vec();
    if any {
        pids.extend(files.iter().flat_map(|file| process::running(*file).0));
    }
    let still: Vec<_> = pids.iter().filter_map(|&pid| Some((pid, Standstill::of(pid)?))).collect();
    match pids.len() {
        0 if any => Silence::NobodyRuns,
        0 => Silence::Ended,
        count if count == still.len() => Silence::StandStill(still),
        _ => Silence::Idle,
    }
}

/// Hits by probe, and what they are estimated to have cost.
fn probe_hits(plans: &[(BinaryName, Plan)], totals: &Totals, books: &Books) -> Vec<ProbeHits> {
    let (mut list, costs) = (Vec::new(), books.costs());
    let others = totals.eventless.iter().zip(&totals.filtered);
    let binaries = plans.iter().zip(&totals.tally.hits).zip(others).enumerate();
    for (index, (((binary, plan), hits), (eventless, filtered))) in binaries {
        for planned in probed(plan).filter(|planned| books.is_known(planned.spec.level)) {
            let probe = planned.spec.probe;
            list.push(ProbeHits {
                binary: binary.clone(),
                probe,
                function: planned.function.to_owned(),
                hits: hits[probe as usize],
                eventless: eventless[probe as usize],
                filtered: filtered[probe as usize],
                cost_ns: cost_of(planned, plan, hits, &costs),
                estimate: books.estimate(index, probe),
            });
        }
    }
    list
}

/// What these hits and the work on breakpoints have cost the targets.
fn cost_ns(plans: &[(BinaryName, Plan)], hits: &[Hits], books: &Books) -> u64 {
    costs_by_level(plans, hits, &books.costs()).iter().sum::<u64>() + books.turned_ns()
}

/// CPU time of goflow since it started, and of the process that holds its probes.
fn own_cpu_ns(keeper: Option<&Arc<Keeper>>) -> u64 {
    host::own_cpu_ns() + keeper.and_then(|keeper| keeper.cpu_ns()).unwrap_or(0)
}

/// Measures what a hit costs here, beside a session that is under way.
struct Calibration {
    measured: Measured,
    cancel: Sender<()>,
    thread: JoinHandle<()>,
}

impl Calibration {
    /// The first events come first.
    const AFTER: Duration = Duration::from_millis(200);
    /// The machine may be busy with others in one moment and not in the next: a hit that cost half as much again in the few
    /// milliseconds in which it was measured made estimates wrong by a third.
    const ROUNDS: usize = 15;
    /// Between two rounds.
    const PAUSE: Duration = Duration::from_millis(150);

    fn start(hitter: Arc<Keeper>, method: AttachMethod, kernel: (u32, u32)) -> anyhow::Result<Self> {
        let (measured, (cancel, cancelled)) = (Measured::default(), bounded(1));
        let result = Arc::clone(&measured);
        let thread = spawn("goflow-costs", move || {
            if !matches!(cancelled.recv_timeout(Self::AFTER), Err(RecvTimeoutError::Timeout)) {
                return;
            }
            let is_cancelled =
                || !matches!(cancelled.recv_timeout(Self::PAUSE), Err(RecvTimeoutError::Timeout));
            let goes_on = |rounds, costs| {
                result.begin(costs);
                rounds < Self::ROUNDS && !is_cancelled()
            };
            match calibration::measure(&hitter, method, kernel, goes_on) {
                Ok(costs) => result.finish(costs),
                Err(error) => {
                    tracing::info!("what a hit costs could not be measured, and is assumed: {error}");
                }
            }
        })?;
        Ok(Self { measured, cancel, thread })
    }

    /// One that has not begun does not.
    fn cancel(&self) {
        // A thread that is gone needs no telling.
        let _ = self.cancel.try_send(());
    }

    /// Waits for one that is under way, which takes its probes out.
    fn end(self) {
        self.cancel();
        if self.thread.join().is_err() {
            tracing::warn!("the thread that measures what a hit costs panicked; this is a defect of goflow");
        }
    }
}

fn lost(totals: &Totals) -> Vec<(LossPoint, u64)> {
    [LossPoint::Ring, LossPoint::Sink, LossPoint::Decode]
        .into_iter()
        .map(|at| (at, totals.tally.lost.get(&at).copied().unwrap_or(0)))
        .collect()
}

/// The first messages of a binary. The sink thread runs already, so they are worth waiting for.
fn tell(messages: &Sender<Message>, mut first: impl Iterator<Item = Message>) {
    if first.any(|message| messages.send(message).is_err()) {
        tracing::debug!("the output was closed before the first event");
    }
}

fn spawn<T: Send + 'static>(
    name: &str,
    body: impl FnOnce() -> T + Send + 'static,
) -> anyhow::Result<JoinHandle<T>> {
    Ok(thread::Builder::new()
        .name(name.into())
        .spawn(body)
        .map_err(NoTask::of(format!("the thread {name}")))?)
}

fn join<T>(handle: JoinHandle<T>) -> anyhow::Result<T> {
    handle.join().map_err(|_| anyhow!("a thread of goflow panicked; this is a defect of goflow"))
}

/// Why the threads behind the output may not end.
const UNREAD: &str = "its reader does not take it";

/// Why the thread that keeps the state may not.
const UNFINISHED: &str = "what the target was doing is still being put together";

/// How long whoever waits for that waits without a word.
const LATE: Duration = Duration::from_secs(1);

/// How often it is looked whether a thread has ended.
const LOOK: Duration = Duration::from_millis(2);

/// Waits a little for the state, and says so when it is not there by then.
fn tell_when_late(state: &JoinHandle<state::Ending>) {
    let late = Instant::now() + LATE;
    while !state.is_finished() {
        if Instant::now() >= late {
            tracing::warn!("the trace is over; {UNFINISHED}, which takes seconds for a million goroutines");
            return;
        }
        thread::sleep(LOOK);
    }
}

/// Tells once whoever waits for the end of a trace that its output finds no reader, as behind a pager that was paused.
struct Stall {
    since: Instant,
    is_told: bool,
    unwritten: Arc<AtomicU64>,
    had_probes: bool,
}

impl Stall {
    /// A disk that is only slow is done by then.
    const LONG: Duration = Duration::from_secs(2);

    fn new(unwritten: Arc<AtomicU64>, had_probes: bool) -> Self {
        Self { since: Instant::now(), is_told: false, unwritten, had_probes }
    }

    fn look(&mut self) {
        if !self.is_told && self.since.elapsed() >= Self::LONG {
            self.is_told = true;
            let over = if self.had_probes { " and the probes are out" } else { "" };
            let rest = match self.unwritten.load(Ordering::Relaxed) {
                0 => "the last of the output is".to_owned(),
                1 => "1 event is".to_owned(),
                count => format!("{count} events are"),
            };
            tracing::warn!(
                "the trace is over{over}; {rest} still to be written, and whoever reads them takes nothing: Ctrl-C ends goflow \
                 without"
            );
        }
    }
}

/// Waits for a thread that may itself wait for others, which may be for ever: a signal ends that, and `why` is told. Calls
/// `look` meanwhile.
fn join_unless_signalled<T>(
    handle: JoinHandle<T>,
    signals: &Signals,
    why: &'static str,
    mut look: impl FnMut(),
) -> anyhow::Result<T> {
    while !handle.is_finished() {
        look();
        if signals.wait([], LOOK).is_some_and(Ended::is_impatient) {
            return Err(anyhow!("interrupted before the output was complete: {why}"));
        }
    }
    join(handle)
}

/// After the session: the command goes on until it ends by itself, and its status is passed on. Another interrupt, a
/// termination or a terminal that is gone leaves it alone.
fn outlive(
    mut child: Child,
    ended: Ended,
    signals: &Signals,
) -> anyhow::Result<Option<std::process::ExitStatus>> {
    if let Some(status) = child.try_wait()? {
        return Ok(Some(status));
    }
    if matches!(ended, Ended::Terminated | Ended::HungUp) {
        return Ok(None);
    }
    let process = Process::open(Pid(child.id()))?;
    tracing::warn!(pid = child.id(), "tracing is over; the command runs on, and goflow waits for its end");
    while !process.has_ended() {
        if signals.wait([process.as_fd()], TICK).is_some() {
            return Ok(None);
        }
    }
    Ok(Some(child.wait()?))
}

/// Signals, as bytes on sockets, each with what it means; what is asked first counts first.
struct Signals(Vec<(UnixStream, Ended)>);

impl Signals {
    fn catch() -> io::Result<Self> {
        let mut signals = vec![
            // Ctrl-\ is how a Go program is asked for its goroutines: it is the command's as Ctrl-C is.
            (Self::socket(&[libc::SIGINT, libc::SIGQUIT])?, Ended::Interrupted),
            (Self::socket(&[libc::SIGTERM])?, Ended::Terminated),
        ];
        // Under nohup(1) the trace outlives its terminal.
        if !host::is_ignored(libc::SIGHUP)? {
            signals.push((Self::socket(&[libc::SIGHUP])?, Ended::HungUp));
        }
        // The lease of the binary is wanted back.
        signals.push((Self::socket(&[WANTED_BACK])?, Ended::BinaryRewritten));
        Ok(Self(signals))
    }

    fn socket(signals: &[i32]) -> io::Result<UnixStream> {
        let (read, write) = UnixStream::pair()?;
        read.set_nonblocking(true)?;
        for &signal in signals {
            signal_hook::low_level::pipe::register(signal, write.try_clone()?)?;
        }
        Ok(read)
    }

    /// Waits for a signal, one of `others` to become readable or the timeout; says so if it was a signal.
    fn wait<'a>(&self, others: impl IntoIterator<Item = BorrowedFd<'a>>, timeout: Duration) -> Option<Ended> {
        let mut fds: Vec<_> = self.0.iter().map(|(signal, _)| PollFd::new(signal, PollFlags::IN)).collect();
        fds.extend(others.into_iter().map(|other| PollFd::from_borrowed_fd(other, PollFlags::IN)));
        let timeout =
            Timespec { tv_sec: timeout.as_secs() as i64, tv_nsec: i64::from(timeout.subsec_nanos()) };
        if poll(&mut fds, Some(&timeout)).is_err() {
            return None;
        }
        self.0.iter().find(|(signal, _)| read_one(signal)).map(|(_, ended)| *ended)
    }
}

fn read_one(mut socket: &UnixStream) -> bool {
    io::Read::read(&mut socket, &mut [0]).is_ok_and(|count| count > 0)
}
