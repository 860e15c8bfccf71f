//! The snapshot thread: reads the memory of the traced processes, so that the thread that empties the buffers never waits
//! for it.
//!
//! In: which processes there are, and losses ([`Ask`]); out: snapshots, as requests to the ingest thread, which knows
//! their place between the events. What is hard is that a process may not run the program yet, may execute it anew, or end,
//! all while it is read: a snapshot counts only if the process is the same before and after it.
//!
//! How often ([`Pace::Adaptive`]): a process is read at once when it appears and then every [`LEAST_INTERVAL`], or fifty
//! times as long as one round over all processes takes, so that it costs at most a fiftieth of a CPU. After a loss it is
//! read as soon as what was lost has settled ([`AFTER_LOSS`]). After each snapshot the thread rests ten times as long as
//! that took. A snapshot that has not reached the model and the output yet is not followed by another. One that takes
//! longer than [`LIMIT`] is given up. Where findings are wanted, it is then looked who can still be woken, as seldom again. A read that never returns keeps the thread; control sees that by the [`Pulse`].

use super::ProcessExit;
use super::ingest::Request;
use super::names::ProcessStart;
use crate::binary::addr::LoadBias;
use crate::ingest::event::MonotonicNs;
use crate::target::executable::{Executable, FileId};
use crate::target::memory::{Limited, MemoryError, ProcessMemory, Pulse};
use crate::target::reach::{Known, Limits, Reach, ReachError};
use crate::target::snapshot::Snapshot;
use crate::target::snapshot::reader::{Options, Reader, SnapshotError};
use crate::target::{Pid, host, process};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use self_cell::self_cell;
use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

/// Shortest time between two snapshots of a process, unless something was lost.
const LEAST_INTERVAL: Duration = Duration::from_secs(1);
/// Rounds take this part of the time.
const PART: u32 = 50;
/// From a loss to the snapshot after it, and from that to the next one while more is lost: so long what a lost event announced may be
/// under way still, `settle_ns` of [`crate::model::Limits`].
const AFTER_LOSS: Duration = Duration::from_millis(100);
/// After a snapshot the thread rests so many times as long as it took.
const REST: u32 = 10;
/// Longest time that a snapshot may take. Ten million goroutines take less, and half of them would be no help: who is
/// missing cannot be told from who has ended.
const LIMIT: Duration = Duration::from_secs(10);
/// How soon it is tried again where a process does not run the program yet, or was not the same before and after.
const SOON: Duration = Duration::from_millis(10);
/// Failures of a young process, whose loader may not be done, before they are told.
const TRIES: u32 = 50;
/// Shortest time between two looks for new processes.
const LEAST_SCAN: Duration = Duration::from_millis(100);
/// Of the time, what finding out who can still be woken may take: a hundredth.
const EXAMINE_PART: u32 = 100;
/// So many times that is found out as often as there are snapshots, so that who looks for a fault that is there has it at once.
const EAGER: u32 = 8;
/// Shortest time between two of those later on: for 2,000 goroutines each takes some 10 ms.
const EXAMINE_INTERVAL: Duration = Duration::from_secs(5);
/// Of the heap and of stacks, what is read to find out who can still be woken.
const MOST_BYTES: u64 = 1 << 30;
/// Snapshots of a process at a fixed pace that may be on their way to the output.
const MOST_ON_THE_WAY: usize = 4;

/// What the thread is told.
pub(super) enum Ask {
    /// A process is to be read.
    Start(Wanted),
    /// A process has ended.
    End(Pid),
    /// Events were lost.
    Lost,
    /// Nothing more is wanted.
    Stop,
}

/// A process that is to be read.
#[derive(Clone)]
pub(super) struct Wanted {
    pub(super) pid: Pid,
    pub(super) executable: Arc<Executable>,
    /// The model and the output know of it.
    pub(super) announced: bool,
    /// It did not run the program before this moment; `None` where it may have.
    pub(super) since: Option<MonotonicNs>,
}

impl Wanted {
    /// A process that the model and the output know of.
    pub(super) fn announced(start: &ProcessStart) -> Self {
        Self { pid: start.pid, executable: Arc::clone(&start.executable), announced: true, since: None }
    }
}

/// A snapshot of a process.
pub(super) struct Taken {
    pub(super) pid: Pid,
    pub(super) snapshot: Arc<Snapshot>,
    /// The process runs the program since the snapshot before, if there was one.
    pub(super) start: Option<ProcessStart>,
    /// With `start`: it did not before this moment.
    pub(super) since: Option<MonotonicNs>,
}

/// Who can still be woken in a process, and who holds which lock.
pub(super) struct Examined {
    pub(super) pid: Pid,
    /// `None` where that could not be found out.
    pub(super) reach: Option<Reach>,
    /// When the snapshot began that it was found after.
    pub(super) at: MonotonicNs,
    /// When that snapshot ended.
    pub(super) ended: MonotonicNs,
}

/// How often processes are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    /// As seldom as it costs a small share, see the module's header.
    Adaptive,
    /// As often as was asked for.
    Every(Duration),
}

self_cell!(
    struct OwnedReader {
        owner: Arc<Executable>,
        #[not_covariant]
        dependent: Reading,
    }
);

/// What reads a process.
struct Reading<'b> {
    reader: Reader<'b>,
    known: Known<'b>,
}

/// What is read of a process, the first time and later.
#[derive(Clone, Copy, Debug)]
pub(super) struct Looks {
    pub(super) first: Options,
    pub(super) later: Options,
    /// It is also looked who can still be woken.
    pub(super) examine: bool,
}

/// One run of a program in a process: another `exec` is another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Incarnation {
    file: FileId,
    /// Where its stack begins, which the kernel chooses anew for each.
    stack: Option<u64>,
}

impl Incarnation {
    fn of(pid: Pid) -> Option<Self> {
        Some(Self { file: Executable::id_of_process(pid).ok()?, stack: process::stack_start(pid) })
    }
}

/// A process that is read.
struct Looked {
    wanted: Wanted,
    memory: ProcessMemory,
    reader: Option<(Incarnation, LoadBias, OwnedReader)>,
    due: Instant,
    began: Option<Instant>,
    /// When what was lost last has settled, if no look has begun since.
    settles: Option<Instant>,
    took: Duration,
    on_the_way: Vec<Weak<Snapshot>>,
    /// When it is to be looked again who can still be woken; `None` where that cannot be found out.
    examine_due: Option<Instant>,
    /// How often it has been.
    examined: u32,
    ended: Option<MonotonicNs>,
    /// The run of the program that the last snapshot was of.
    told: Option<Incarnation>,
    failures: u32,
    /// Looks in a row at which it did not run the program.
    misses: u32,
}

/// What became of a look.
enum Seen {
    Taken(Box<Taken>),
    /// Try again soon.
    NotNow,
    /// It runs another program now.
    Replaced,
    Failed(SnapshotError),
}

/// The thread.
pub(super) struct Snapshots {
    asked: Receiver<Ask>,
    requests: Sender<Request>,
    pace: Pace,
    looks: Looks,
    pulse: Pulse,
    looked: BTreeMap<Pid, Looked>,
    /// Look for processes that run this.
    search: Option<Search>,
    /// What has been complained of.
    told: HashSet<String>,
    rest_until: Instant,
    /// Processes whose first reading was given up because nobody waited for it any more.
    unread: Vec<Pid>,
}

/// Where processes come from when no probe tells of them.
struct Search {
    executable: Arc<Executable>,
    due: Instant,
    /// The last look began then.
    looked: Option<MonotonicNs>,
    /// Processes whose program may not be looked at were told of.
    has_told: bool,
}

impl Snapshots {
    pub(super) fn new(
        asked: Receiver<Ask>,
        requests: Sender<Request>,
        pace: Pace,
        looks: Looks,
        pulse: Pulse,
        search: Option<Arc<Executable>>,
    ) -> Self {
        let now = Instant::now();
        let search = search.map(|executable| Search { executable, due: now, looked: None, has_told: false });
        Self {
            asked,
            requests,
            pace,
            looks,
            pulse,
            looked: BTreeMap::new(),
            search,
            told: HashSet::new(),
            rest_until: now,
            unread: Vec::new(),
        }
    }

    /// The thread's body: until it is stopped, or nobody is there to ask. Returns the processes whose first reading that has
    /// ended.
    pub(super) fn run(mut self) -> Vec<Pid> {
        loop {
            let next = self.next_due();
            let wait = next.map_or(Duration::from_secs(3600), |(due, _)| {
                due.max(self.rest_until).saturating_duration_since(Instant::now())
            });
            match self.asked.recv_timeout(wait) {
                Ok(Ask::Stop) | Err(RecvTimeoutError::Disconnected) => {
                    // Whose first reading has not even begun.
                    let untold = self.looked.iter().filter(|(_, looked)| looked.has_told_nothing());
                    self.unread.extend(untold.map(|(pid, _)| *pid));
                    return self.unread;
                }
                Ok(ask) => self.take(ask),
                Err(RecvTimeoutError::Timeout) => match next {
                    Some((_, Some(pid))) => self.look(pid),
                    Some((_, None)) => self.search(),
                    None => {}
                },
            }
        }
    }

    fn take(&mut self, ask: Ask) {
        match ask {
            Ask::Start(wanted) => _ = self.looked.insert(wanted.pid, Looked::new(wanted)),
            Ask::End(pid) => _ = self.looked.remove(&pid),
            Ask::Lost => {
                let now = Instant::now();
                for looked in self.looked.values_mut() {
                    looked.settles = Some(now + AFTER_LOSS);
                    if looked.began.is_some() {
                        looked.due = looked.due.min(now + AFTER_LOSS);
                    }
                }
            }
            Ask::Stop => {}
        }
    }

    /// Which process is to be read next, and when; no process for the search.
    fn next_due(&self) -> Option<(Instant, Option<Pid>)> {
        let reads = self.looked.iter().map(|(pid, looked)| (looked.due, Some(*pid)));
        reads.chain(self.search.iter().map(|search| (search.due, None))).min_by_key(|(due, _)| *due)
    }

    fn look(&mut self, pid: Pid) {
        let pace = self.pace;
        let Some(looked) = self.looked.get_mut(&pid) else { return };
        looked.on_the_way.retain(|snapshot| snapshot.strong_count() > 0);
        let most = if pace == Pace::Adaptive { 1 } else { MOST_ON_THE_WAY };
        let now = Instant::now();
        if looked.on_the_way.len() >= most {
            looked.due = now + SOON;
            return;
        }
        let before = looked.due;
        looked.began = Some(now);
        let seen = looked.look(self.looks, &self.pulse);
        let took = now.elapsed();
        match seen {
            Seen::Taken(taken) => {
                looked.took = took;
                let round: Duration = self.looked.values().map(|looked| looked.took).sum();
                let due = match pace {
                    Pace::Adaptive => now + took + LEAST_INTERVAL.max(round * PART),
                    // A look that came late does not make the next one come early.
                    Pace::Every(interval) => (before + interval).max(now + interval / 2).max(now + took * 2),
                };
                self.rest_until = match pace {
                    Pace::Adaptive => now + took * (REST + 1),
                    Pace::Every(_) => now,
                };
                if let Some(looked) = self.looked.get_mut(&pid) {
                    // What was lost just before may not be in it yet.
                    looked.settles = looked.settles.filter(|settles| *settles > now);
                    looked.due = looked.settles.map_or(due, |settles| settles.min(due));
                }
                let snapshot = Arc::clone(&taken.snapshot);
                self.request(Request::Snapshot(*taken));
                if self.looks.examine {
                    self.examine(pid, &snapshot);
                }
            }
            Seen::NotNow => {
                looked.misses = looked.misses.saturating_add(1);
                looked.due = Instant::now() + if looked.misses < TRIES { SOON } else { AFTER_LOSS };
            }
            Seen::Replaced => {
                looked.due = Instant::now() + AFTER_LOSS;
                self.request(Request::Replaced(pid));
            }
            Seen::Failed(SnapshotError::Memory(MemoryError::Unwanted)) => {
                self.unread.extend(looked.has_told_nothing().then_some(pid));
            }
            Seen::Failed(error) => self.failed(pid, &error, took),
        }
    }

    /// Finds out who can still be woken, if that is due: it takes several times as long as a snapshot.
    fn examine(&mut self, pid: Pid, snapshot: &Snapshot) {
        let Some(looked) = self.looked.get_mut(&pid) else { return };
        let began = Instant::now();
        if looked.examine_due.is_none_or(|due| due > began) {
            return;
        }
        let reach = looked.examine(snapshot, &self.pulse);
        let (now, took) = (Instant::now(), began.elapsed());
        looked.examined = looked.examined.saturating_add(1);
        let least = if looked.examined < EAGER { LEAST_INTERVAL } else { EXAMINE_INTERVAL };
        looked.examine_due = Some(now + least.max(took * EXAMINE_PART));
        self.rest_until =
            self.rest_until.max(now + if self.pace == Pace::Adaptive { took * REST } else { took });
        let reach = match reach {
            Ok(Some(reach)) => Some(reach),
            // Of a process that is another one by now, or has ended, it is no matter.
            Ok(None) | Err(ReachError::Memory(_)) => return,
            Err(error) => {
                looked.examine_due = looked.examine_due.filter(|_| may_pass(&error));
                let why = error.to_string();
                if self.told.insert(why.clone()) {
                    tracing::warn!(%pid, "who waits where nobody can come is not found out: {why}");
                }
                None
            }
        };
        let (at, ended) = (snapshot.started, snapshot.ended);
        self.request(Request::Examined(Box::new(Examined { pid, reach, at, ended })));
    }

    fn failed(&mut self, pid: Pid, error: &SnapshotError, took: Duration) {
        let Some(looked) = self.looked.get_mut(&pid) else { return };
        looked.failures += 1;
        let for_good = match error {
            // Its end is told by whoever waits for it.
            SnapshotError::Memory(MemoryError::Ended(_)) => {
                self.looked.remove(&pid);
                return;
            }
            SnapshotError::Offsets(_)
            | SnapshotError::Global(_)
            | SnapshotError::Memory(MemoryError::Refused { .. }) => true,
            SnapshotError::Memory(
                MemoryError::Failed { .. } | MemoryError::OutOfTime(_) | MemoryError::Unwanted,
            )
            | SnapshotError::OtherProgram { .. }
            | SnapshotError::List(_)
            | SnapshotError::CutShort(_) => false,
        };
        if for_good {
            self.looked.remove(&pid);
        } else {
            let is_slow = matches!(
                error,
                SnapshotError::Memory(MemoryError::OutOfTime(_)) | SnapshotError::CutShort(_)
            );
            let pause = if looked.failures < TRIES { SOON } else { LEAST_INTERVAL };
            looked.due = Instant::now() + if is_slow { took * PART } else { pause };
            if looked.failures != TRIES && !is_slow {
                return;
            }
        }
        let why = error.to_string();
        if self.told.insert(why.clone()) {
            tracing::warn!(%pid, "no snapshot: {why}; goroutines that were there before are told as they act");
        }
        self.request(Request::NoSnapshot(pid, why));
    }

    /// Finds processes that run the program and were not known.
    fn search(&mut self) {
        let Some(search) = &mut self.search else { return };
        let began = Instant::now();
        let at = MonotonicNs(host::monotonic_ns());
        let (running, hidden) = process::running(search.executable.id());
        if hidden > 0 && !std::mem::replace(&mut search.has_told, true) {
            tracing::warn!("what {hidden} processes run may not be looked at without CAP_SYS_PTRACE");
        }
        for pid in running {
            if self.looked.contains_key(&pid) {
                continue;
            }
            let wanted = Wanted {
                pid,
                executable: Arc::clone(&search.executable),
                announced: false,
                since: search.looked,
            };
            self.looked.insert(pid, Looked::new(wanted));
        }
        search.looked = Some(at);
        search.due = Instant::now() + LEAST_SCAN.max(began.elapsed() * PART);
    }

    fn request(&self, request: Request) {
        // A thread that is gone says why when it is joined.
        let _ = self.requests.send(request);
    }
}

impl Looked {
    fn new(wanted: Wanted) -> Self {
        Self {
            memory: ProcessMemory::of(wanted.pid),
            wanted,
            reader: None,
            due: Instant::now(),
            began: None,
            settles: None,
            took: Duration::ZERO,
            on_the_way: Vec::new(),
            examine_due: Some(Instant::now()),
            examined: 0,
            ended: None,
            told: None,
            failures: 0,
            misses: 0,
        }
    }

    fn look(&mut self, looks: Looks, pulse: &Pulse) -> Seen {
        let pid = self.wanted.pid;
        let Some(before) = Incarnation::of(pid) else { return Seen::NotNow };
        if before.file != self.wanted.executable.id() {
            return if self.reader.take().is_some() { Seen::Replaced } else { Seen::NotNow };
        }
        let options = if self.ended.is_none() { looks.first } else { looks.later };
        let snapshot = self.prepare(before).and_then(|()| self.take(options, pulse));
        if Incarnation::of(pid) != Some(before) {
            return Seen::NotNow;
        }
        let snapshot = match snapshot {
            Ok(Some(snapshot)) => Arc::new(snapshot),
            Ok(None) => return Seen::NotNow,
            Err(error) => return Seen::Failed(error),
        };
        (self.failures, self.misses) = (0, 0);
        let bias = self.reader.as_ref().map_or(LoadBias(0), |(_, bias, _)| *bias);
        let first = self.ended.is_none();
        let is_new = self.told.replace(before) != Some(before);
        let start = (is_new && !(first && self.wanted.announced)).then(|| ProcessStart {
            pid,
            executable: Arc::clone(&self.wanted.executable),
            bias,
        });
        let since = if first { self.wanted.since } else { self.ended };
        self.ended = Some(snapshot.ended);
        self.on_the_way.push(Arc::downgrade(&snapshot));
        Seen::Taken(Box::new(Taken { pid, snapshot, start, since }))
    }

    /// There was neither a snapshot yet nor a word on why there is none.
    fn has_told_nothing(&self) -> bool {
        self.ended.is_none() && self.failures == 0
    }

    /// Makes a reader for this run of the program.
    fn prepare(&mut self, incarnation: Incarnation) -> Result<(), SnapshotError> {
        if self.reader.as_ref().is_some_and(|(known, ..)| *known == incarnation) {
            return Ok(());
        }
        self.reader = None;
        let executable = &self.wanted.executable;
        let binary = executable.binary();
        let bias = if binary.is_pie() {
            match process::load_bias(self.wanted.pid, binary.image().lowest_address()) {
                Ok(bias) => bias,
                // It has ended, or is not mapped yet.
                Err(_) => return Ok(()),
            }
        } else {
            LoadBias(0)
        };
        let reader = OwnedReader::try_new(Arc::clone(executable), |executable| {
            let known = Known::new(executable.binary(), bias);
            Reader::new(executable.binary(), bias).map(|reader| Reading { reader, known })
        })?;
        self.reader = Some((incarnation, bias, reader));
        Ok(())
    }

    /// Who can still be woken; `None` where the process is another one by now.
    fn examine(&mut self, snapshot: &Snapshot, pulse: &Pulse) -> Result<Option<Reach>, ReachError> {
        let memory = Limited::new(&self.memory, Some(self.wanted.pid), LIMIT, pulse);
        let Some((incarnation, _, reader)) = &mut self.reader else { return Ok(None) };
        let limits = Limits { bytes: MOST_BYTES, until: Some(Instant::now() + LIMIT) };
        let reach = reader.with_dependent_mut(|_, Reading { reader, known }| {
            Reach::of(reader, &memory, snapshot, known, limits)
        })?;
        Ok(Some(reach).filter(|_| Incarnation::of(self.wanted.pid) == Some(*incarnation)))
    }

    fn take(&mut self, options: Options, pulse: &Pulse) -> Result<Option<Snapshot>, SnapshotError> {
        let memory = Limited::new(&self.memory, Some(self.wanted.pid), LIMIT, pulse);
        let Some((_, _, reader)) = &mut self.reader else { return Ok(None) };
        let snapshot = reader.with_dependent_mut(|_, reading| reading.reader.take(&memory, options))?;
        if let Some(why) = snapshot.cut_short() {
            return Err(SnapshotError::CutShort(why.to_owned()));
        }
        // A runtime that has not made its first goroutine yet is not one to tell of.
        Ok(Some(snapshot).filter(|snapshot| !snapshot.goroutines.is_empty()))
    }
}

/// It may be found out another time.
fn may_pass(error: &ReachError) -> bool {
    match error {
        ReachError::Global(_) | ReachError::NoModule => false,
        ReachError::Heap(_)
        | ReachError::List(_)
        | ReachError::Memory(_)
        | ReachError::TooLarge(_)
        | ReachError::TooSlow(_) => true,
    }
}

impl Ask {
    /// The process of `exit` is not there any more.
    pub(super) fn end_of(exit: ProcessExit) -> Self {
        Self::End(exit.pid)
    }
}
