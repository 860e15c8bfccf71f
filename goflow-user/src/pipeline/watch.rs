//! The processes of a session: which have ended, and the CPU time they use while every probe is in.
//!
//! In: processes that are known from the start, and under `--binary` those that the ingest thread meets ([`Doorbell`]);
//! out: ends, and a sum. The hard thing: the clock of a process that has ended can be read only until its parent takes
//! note of the end. A process that was gone too early for a reading that tells makes the sum unknown, not wrong. And the
//! clock of one that runs is late by up to a tick, which is nothing of a second and much of a window: for those there are
//! clocks of every thread ([`Watch::count_exactly`]).

use crate::ingest::event::MonotonicNs;
use crate::probe::task_clock::{Readiness, TaskClocks};
use crate::target::executable::{Executable, FileId};
use crate::target::process::{self, Process};
use crate::target::{Pid, host};
use crossbeam_channel::{Receiver, Sender, unbounded};
use std::collections::{HashMap, HashSet};
use std::io::{self, Read as _, Write as _};
use std::mem;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// The last reading of a process that has ended counts if it is not older than this part of the time it was watched.
const STALE_PART: u32 = 10;

/// A process whose end is waited for.
pub(super) struct Watched {
    process: Process,
    /// The file it is to run; `None` where that does not matter.
    file: Option<FileId>,
    /// It runs that file, or has. A command does not before it is let go.
    has_run: bool,
    /// Where its stack began when it was last seen to run that file.
    stack: Option<u64>,
    /// When that was.
    seen: MonotonicNs,
    cpu: Option<CpuSpan>,
}

impl Watched {
    /// A process that runs `file`.
    pub(super) fn new(process: Process, file: FileId) -> Self {
        let stack = process::stack_start(process.pid());
        Self { process, file: Some(file), has_run: true, stack, seen: now(), cpu: None }
    }

    /// A process that will execute `file`.
    pub(super) fn of_command(process: Process, file: FileId) -> Self {
        Self { has_run: false, stack: None, ..Self::new(process, file) }
    }

    /// A process that was met by an event of its own, whatever it runs by now.
    fn arrived(process: Process, cpu: Option<CpuSpan>) -> Self {
        Self { process, file: None, has_run: true, stack: None, seen: now(), cpu }
    }

    fn runs_something_else(&mut self) -> bool {
        let Some(file) = self.file else { return false };
        let Ok(now) = Executable::id_of_process(self.process.pid()) else { return false };
        self.has_run |= now == file;
        self.has_run && now != file
    }

    /// Whether it has executed its file once more since this was last asked, and if so when it was last seen not to have.
    fn executed_anew_since(&mut self) -> Option<MonotonicNs> {
        let (pid, looked) = (self.process.pid(), now());
        let (Some(file), true) = (self.file, self.has_run) else { return None };
        let (stack, runs) = (process::stack_start(pid)?, Executable::id_of_process(pid).ok()?);
        let seen = mem::replace(&mut self.seen, looked);
        let before = self.stack.replace(stack)?;
        (before != stack && runs == file).then_some(seen)
    }
}

/// What a process used since it was first looked at.
#[derive(Clone, Copy)]
struct CpuSpan {
    since: Instant,
    from_ns: u64,
    last_ns: u64,
    read: Instant,
}

impl CpuSpan {
    fn start(process: &Process) -> Option<Self> {
        let now_ns = process.cpu_ns()?;
        let now = Instant::now();
        Some(Self { since: now, from_ns: now_ns, last_ns: now_ns, read: now })
    }

    fn read(&mut self, process: &Process) {
        if let Some(now_ns) = process.cpu_ns() {
            self.last_ns = now_ns;
            self.read = Instant::now();
        }
    }

    fn used_ns(&self) -> u64 {
        self.last_ns.saturating_sub(self.from_ns)
    }

    /// Does the last reading tell what a process used that was found ended at `end`?
    fn is_telling(&self, end: Instant) -> bool {
        (end - self.read) * STALE_PART <= end - self.since
    }
}

/// What the processes that have ended used.
#[derive(Default)]
struct Account {
    processes: u64,
    used_ns: u64,
    /// Of those, how many ended before a reading that tells.
    untold: u64,
}

impl Account {
    fn close(&mut self, cpu: Option<CpuSpan>) {
        self.processes += 1;
        match cpu.filter(|cpu| cpu.is_telling(Instant::now())) {
            Some(cpu) => self.used_ns += cpu.used_ns(),
            None => self.untold += 1,
        }
    }
}

/// The processes of a session.
pub(super) struct Watch {
    watched: Vec<Watched>,
    arrivals: Option<Arrivals>,
    ended: Account,
    readiness: Option<Readiness>,
    exact: Option<Exact>,
    /// CPU time that was told: it does not become less when the clocks of the processes are asked again.
    told_ns: u64,
}

/// CPU time by the clocks of every thread.
struct Exact {
    clocks: TaskClocks,
    /// What was known when they started.
    from_ns: u64,
    used_ns: u64,
}

/// Where processes come from that were not known from the start.
struct Arrivals {
    queue: Receiver<Arrival>,
    bell: UnixStream,
}

struct Arrival {
    pid: Pid,
    process: io::Result<Process>,
    cpu: Option<CpuSpan>,
}

/// The ingest thread's end: tells control of a process that it meets for the first time.
pub(super) struct Doorbell {
    queue: Sender<Arrival>,
    bell: UnixStream,
    /// When all probes were in, since boot.
    opened_ns: u64,
    /// The clocks of those that ran then: their first event may come much later.
    present: HashMap<Pid, CpuSpan>,
    /// Who has been announced and has not ended.
    announced: HashSet<Pid>,
}

impl Watch {
    /// Processes that are known from the start; the session ends with the last of them.
    pub(super) fn of(watched: Vec<Watched>) -> Self {
        Self { watched, arrivals: None, ended: Account::default(), readiness: None, exact: None, told_ns: 0 }
    }

    /// Nobody from the start, and whoever comes.
    pub(super) fn of_arrivals() -> Self {
        Self::of(Vec::new())
    }

    /// From now on CPU time counts. Without processes from the start, returns what announces those that come to run one of
    /// `files`.
    ///
    /// # Errors
    /// The system has no more descriptors.
    pub(super) fn open(&mut self, files: &[FileId]) -> io::Result<Option<Doorbell>> {
        for watched in &mut self.watched {
            watched.cpu = CpuSpan::start(&watched.process);
        }
        if !self.watched.is_empty() {
            return Ok(None);
        }
        let (read, write) = UnixStream::pair()?;
        read.set_nonblocking(true)?;
        write.set_nonblocking(true)?;
        let (sender, receiver) = unbounded();
        self.arrivals = Some(Arrivals { queue: receiver, bell: read });
        Ok(Some(Doorbell {
            queue: sender,
            bell: write,
            opened_ns: host::boot_ns(),
            present: present(files),
            announced: HashSet::new(),
        }))
    }

    /// Reads every clock, and returns the processes that have ended since the last look.
    pub(super) fn look(&mut self) -> Vec<Pid> {
        let mut gone = self.admit();
        let ended = &mut self.ended;
        self.watched.retain_mut(|watched| {
            // In this order: the reading of a process found ended is its last.
            let has_ended = watched.process.has_ended();
            if let Some(cpu) = &mut watched.cpu {
                cpu.read(&watched.process);
            }
            if has_ended {
                ended.close(watched.cpu);
                gone.push(watched.process.pid());
            }
            !has_ended
        });
        gone
    }

    /// Reads the clocks of all that are known.
    pub(super) fn read_clocks(&mut self) {
        for watched in &mut self.watched {
            if let Some(cpu) = &mut watched.cpu {
                cpu.read(&watched.process);
            }
        }
        let Some(exact) = &mut self.exact else { return };
        match exact.clocks.used_ns() {
            Ok(used) => exact.used_ns = used,
            Err(error) => {
                tracing::debug!(%error, "the CPU time of threads cannot be read any more");
                self.count_roughly();
            }
        }
    }

    /// CPU time in nanoseconds since [`Watch::open`], as of the last reading, as far as it is known.
    pub(super) fn known_cpu_ns(&self) -> u64 {
        let alive = self.watched.iter().filter_map(|watched| watched.cpu);
        let by_processes = || self.ended.used_ns + alive.map(|cpu| cpu.used_ns()).sum::<u64>();
        self.exact.as_ref().map_or_else(by_processes, |exact| exact.from_ns + exact.used_ns).max(self.told_ns)
    }

    /// [`Watch::count_exactly`] can be called from here on, if the kernel does that.
    pub(super) fn be_ready(&mut self, readiness: io::Result<Readiness>) {
        match readiness {
            Ok(readiness) => self.readiness = Some(readiness),
            Err(error) => tracing::debug!(%error, "the CPU time of a window is known to a tick only"),
        }
    }

    /// From here on [`Watch::known_cpu_ns`] is exact. Returns false where the kernel does not do that, or not for these processes.
    pub(super) fn count_exactly(&mut self) -> bool {
        if self.readiness.is_none() {
            return false;
        }
        if self.exact.is_none() {
            match TaskClocks::start(&self.pids()) {
                Ok(clocks) => {
                    self.read_clocks();
                    self.exact = Some(Exact { clocks, from_ns: self.known_cpu_ns(), used_ns: 0 });
                    self.read_clocks();
                }
                Err(error) => tracing::debug!(%error, "the CPU time of threads cannot be counted"),
            }
        }
        self.exact.is_some()
    }

    /// Whether it is.
    pub(super) fn counts_exactly(&self) -> bool {
        self.exact.is_some()
    }

    /// That is not needed any more. It costs the targets something at each turn of a thread.
    pub(super) fn count_roughly(&mut self) {
        self.told_ns = self.known_cpu_ns();
        self.exact = None;
    }

    /// Takes in who has come; returns who has gone again already.
    fn admit(&mut self) -> Vec<Pid> {
        let Some(arrivals) = &self.arrivals else { return Vec::new() };
        // Emptied before the queue: who rings in between is seen now, and rings in vain.
        while (&arrivals.bell).read(&mut [0; 64]).is_ok_and(|count| count > 0) {}
        let (mut gone, mut has_come) = (Vec::new(), false);
        for Arrival { pid, process, cpu } in arrivals.queue.try_iter() {
            match process {
                Ok(process) => {
                    self.watched.push(Watched::arrived(process, cpu));
                    has_come = true;
                }
                Err(error) => {
                    self.ended.close(None);
                    if error.raw_os_error() == Some(libc::ESRCH) {
                        gone.push(pid);
                    } else {
                        tracing::warn!(%pid, %error, "a process cannot be watched; its end will not be told");
                    }
                }
            }
        }
        // Its threads are not among those that are counted.
        if has_come {
            self.count_roughly();
        }
        gone
    }

    /// CPU time in nanoseconds since [`Watch::open`], as of the last look; or why it is not known.
    pub(super) fn cpu_ns(&self) -> Result<u64, String> {
        let alive = self.watched.iter().map(|watched| watched.cpu.map(|cpu| cpu.used_ns()));
        let unread = self.ended.untold + alive.clone().filter(Option::is_none).count() as u64;
        if unread > 0 {
            let all = self.ended.processes + self.watched.len() as u64;
            return Err(format!(
                "the CPU time of {unread} of {all} processes could not be read to their end"
            ));
        }
        Ok(self.ended.used_ns + alive.flatten().sum::<u64>())
    }

    /// Those that lived at the last look.
    pub(super) fn pids(&self) -> Vec<Pid> {
        self.watched.iter().map(|watched| watched.process.pid()).collect()
    }

    /// Whether processes may come that were not known from the start.
    pub(super) fn waits_for_arrivals(&self) -> bool {
        self.arrivals.is_some()
    }

    /// One that has ended, without taking note of that.
    pub(super) fn find_ended(&self) -> Option<Pid> {
        self.watched
            .iter()
            .map(|watched| &watched.process)
            .find(|process| process.has_ended())
            .map(Process::pid)
    }

    /// True once every process that was there from the start has ended.
    pub(super) fn is_over(&self) -> bool {
        self.arrivals.is_none() && self.watched.is_empty()
    }

    /// True once every process that lives runs another program than the one that is traced.
    pub(super) fn is_replaced(&mut self) -> bool {
        // Each is asked: whoever is seen to run its file later counts when it no longer does.
        let others = self.watched.iter_mut().map(Watched::runs_something_else).filter(|&other| other).count();
        others > 0 && others == self.watched.len()
    }

    /// Those of the processes from the start that have executed their file once more since the last call, and when they were
    /// last seen not to have.
    pub(super) fn executed_anew(&mut self) -> Vec<(Pid, MonotonicNs)> {
        let anew = self.watched.iter_mut().filter_map(|watched| {
            let pid = watched.process.pid();
            watched.executed_anew_since().map(|since| (pid, since))
        });
        anew.collect()
    }

    /// What becomes readable when there is something to [`Watch::look`] at.
    pub(super) fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let bell = self.arrivals.iter().map(|arrivals| arrivals.bell.as_fd());
        self.watched.iter().map(|watched| watched.process.as_fd()).chain(bell)
    }
}

fn now() -> MonotonicNs {
    MonotonicNs(host::monotonic_ns())
}

/// The clocks of the processes that run one of `files`.
fn present(files: &[FileId]) -> HashMap<Pid, CpuSpan> {
    let pids = files.iter().flat_map(|&file| process::running(file).0);
    let clocks = pids.filter_map(|pid| Some((pid, CpuSpan::start(&Process::open(pid).ok()?)?)));
    clocks.collect()
}

/// A tick of the clock in which the kernel tells the start of a process (`USER_HZ`, 100 on every architecture of ours).
const TICK_NS: u64 = 10_000_000;

impl Doorbell {
    /// Tells of a process whose first event has come. Once for each: a process may execute its program anew.
    pub(super) fn announce(&mut self, pid: Pid) {
        if !self.announced.insert(pid) {
            return;
        }
        let process = Process::open(pid);
        let cpu = process.as_ref().ok().and_then(|process| self.first_reading(process));
        // Control may have ended already, and a bell that is full rings anyway.
        let _ = self.queue.send(Arrival { pid, process, cpu });
        let _ = self.bell.write(&[1]);
    }

    /// The pid of a process that has ended may come again.
    pub(super) fn forget(&mut self, pid: Pid) {
        self.announced.remove(&pid);
    }

    /// All that a process has used counts if it started after the probes were in, and else what it has used since then; since
    /// now where it was not found then, as where it runs the same file under another name.
    fn first_reading(&mut self, process: &Process) -> Option<CpuSpan> {
        let cpu = CpuSpan::start(process)?;
        if let Some(mut present) = self.present.remove(&process.pid()) {
            present.read(process);
            return Some(present);
        }
        // The kernel tells the start in whole ticks: one that started within the same tick was not there either.
        let started = process.started_ns().map(|started| started + TICK_NS);
        let Some(age) = started.and_then(|started| started.checked_sub(self.opened_ns)) else {
            return Some(cpu);
        };
        let lived = Duration::from_nanos(host::boot_ns().saturating_sub(self.opened_ns + age));
        Some(CpuSpan { from_ns: 0, since: cpu.since.checked_sub(lived).unwrap_or(cpu.since), ..cpu })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    fn child(script: &str) -> (std::process::Child, Process) {
        let child = Command::new("sh").args(["-c", script]).stdin(Stdio::piped()).spawn().unwrap();
        let process = Process::open(Pid(child.id())).unwrap();
        (child, process)
    }

    /// A look every 10 ms until somebody has ended.
    fn first_end(watch: &mut Watch) -> Vec<Pid> {
        for _ in 0..1000 {
            let ended = watch.look();
            if !ended.is_empty() {
                return ended;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("nobody ended");
    }

    #[test]
    fn the_clock_of_a_process_that_ended_is_read_while_its_parent_has_not_taken_note() {
        let (mut child, process) = child("i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done");
        let pid = process.pid();
        let mut watch = Watch::of(vec![Watched::arrived(process, None)]);
        watch.open(&[]).unwrap();
        while !Process::open(pid).unwrap().has_ended() {
            std::thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(watch.look(), [pid]);
        assert!(watch.is_over());
        assert!(watch.cpu_ns().unwrap() > 1_000_000, "{:?}", watch.cpu_ns());
        child.wait().unwrap();
    }

    #[test]
    fn a_process_that_was_gone_before_a_telling_reading_makes_the_sum_unknown() {
        let (mut child, process) = child("read line < /dev/null");
        let mut watch = Watch::of(vec![Watched::arrived(process, None)]);
        watch.open(&[]).unwrap();
        child.wait().unwrap();
        std::thread::sleep(Duration::from_millis(50));
        first_end(&mut watch);
        let why = watch.cpu_ns().unwrap_err();
        assert_eq!(why, "the CPU time of 1 of 1 processes could not be read to their end");
    }

    #[test]
    fn of_a_process_that_was_there_all_counts_that_it_used_since_although_it_is_announced_late() {
        let (mut child, process) =
            child("read line; i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; read line");
        let shell = Executable::id_of_process(process.pid()).unwrap();
        let mut watch = Watch::of_arrivals();
        let mut doorbell = watch.open(&[shell]).unwrap().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(b"\n").unwrap();
        std::thread::sleep(Duration::from_millis(300));
        doorbell.announce(process.pid());
        watch.look();
        assert!(watch.cpu_ns().unwrap() > 1_000_000, "{:?}", watch.cpu_ns());
        drop(stdin);
        child.wait().unwrap();
    }

    #[test]
    fn what_was_counted_exactly_is_not_taken_back_by_a_clock_that_is_late() {
        let (mut child, process) = child("while :; do :; done");
        let mut watch = Watch::of(vec![Watched::arrived(process, None)]);
        watch.open(&[]).unwrap();
        assert!(!watch.count_exactly());
        watch.be_ready(Readiness::new());
        let mut told = Vec::new();
        for is_exact in [true, false, true, false] {
            if is_exact {
                assert!(watch.count_exactly());
            } else {
                watch.count_roughly();
            }
            assert_eq!(watch.counts_exactly(), is_exact);
            for _ in 0..20 {
                std::thread::sleep(Duration::from_millis(1));
                watch.read_clocks();
                told.push(watch.known_cpu_ns());
            }
        }
        assert!(told.is_sorted() && told[79] > told[0], "{told:?}");
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn a_process_that_comes_later_is_watched_from_its_own_start_to_its_end() {
        let mut watch = Watch::of_arrivals();
        let mut doorbell = watch.open(&[]).unwrap().unwrap();
        assert!(!watch.is_over());
        std::thread::sleep(Duration::from_millis(30));
        let (mut child, process) = child("i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; sleep 0.2");
        std::thread::sleep(Duration::from_millis(100));
        doorbell.announce(process.pid());
        assert_eq!(first_end(&mut watch), [process.pid()]);
        child.wait().unwrap();
        doorbell.forget(process.pid());
        // Also what it used before it was announced.
        assert!(watch.cpu_ns().unwrap() > 1_000_000, "{:?}", watch.cpu_ns());
        doorbell.announce(process.pid());
        assert_eq!(first_end(&mut watch), [process.pid()]);
        assert!(watch.cpu_ns().unwrap_err().contains("of 1 of 2 processes"), "{:?}", watch.cpu_ns());
    }
}
