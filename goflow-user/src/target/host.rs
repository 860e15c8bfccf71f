//! The machine goflow runs on, as far as a session must know it.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::time::{ClockId, clock_getres, clock_gettime};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::thread;
use std::time::Duration;
use thiserror::Error;

/// Inode of the initial pid namespace, fixed by the kernel (`PROC_PID_INIT_INO`, include/linux/proc_ns.h).
pub const INITIAL_PID_NAMESPACE: u64 = 0xefff_fffc;

/// Kernel release, as `uname -r` prints it.
#[must_use]
pub fn kernel_release() -> String {
    rustix::system::uname().release().to_string_lossy().into_owned()
}

/// Major and minor of a kernel release; `None` when it does not start with two numbers.
#[must_use]
pub fn kernel_version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// Nanoseconds of `CLOCK_MONOTONIC`, the clock of every event.
#[must_use]
pub fn monotonic_ns() -> u64 {
    clock_ns(ClockId::Monotonic) as u64
}

/// Waits for the next tick of the kernel's timer if the last one is not of just now. The CPU time of a process is as of then: what
/// its threads have used since is added when a tick finds them running, or when they stop (`thread_group_cputime`,
/// kernel/sched/cputime.c). Of a window of ten milliseconds a tick is up to four tenths.
pub fn await_tick() {
    /// A tick of so long ago is of just now.
    const FRESH: Duration = Duration::from_micros(300);
    /// Until its handler has run on every CPU.
    const HANDLED: Duration = Duration::from_micros(100);
    // Its value is the time of the last tick, and its resolution the time between two.
    let since = clock_ns(ClockId::Monotonic).saturating_sub(clock_ns(ClockId::MonotonicCoarse));
    let since = Duration::from_nanos(u64::try_from(since).unwrap_or(0));
    let tick = Duration::try_from(clock_getres(ClockId::MonotonicCoarse)).unwrap_or_default();
    if (FRESH..tick).contains(&since) {
        thread::sleep(tick - since + HANDLED);
    }
}

/// Lets the calling thread run before others, where that is allowed (`CAP_SYS_NICE`): on a machine whose every CPU is busy
/// it would else wait some tens of milliseconds for each of its turns, and what it empties would overflow.
pub fn run_before_others() {
    /// Of nice(2), whose range is −20 to 19: its turns come soon, and are as short as before.
    const NICENESS: i32 = -10;
    if let Err(error) = rustix::process::setpriority_process(None, NICENESS) {
        tracing::debug!(%error, "goflow waits for its turns like everybody");
    }
}

/// How many files goflow may have open at a time (`ulimit -n`), and how many it could allow itself; `None` is unlimited.
#[must_use]
pub fn open_files_limits() -> (Option<u64>, Option<u64>) {
    let limit = getrlimit(Resource::Nofile);
    (limit.current, limit.maximum)
}

/// Raises that limit as far as it may be: each process that is traced takes a descriptor or two, each perf event one, and a
/// shell's usual limit is 1,024. Not for a goflow that starts a command, which would inherit it.
pub fn allow_many_files() {
    let limit = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }) {
        tracing::debug!(%error, "the limit of open files stays as it is");
    }
}

/// Whether it is this limit, or that of the whole system, which an error is about.
#[must_use]
pub fn is_out_of_files(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE))
}

/// A thread or a process of goflow's own that could not be started.
#[derive(Debug, Error)]
#[error("{what} cannot be started: {error}")]
pub struct NoTask {
    what: String,
    #[source]
    error: io::Error,
}

impl NoTask {
    /// What could not be started, for an error of whoever tried.
    pub fn of(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        |error| Self { what: what.into(), error }
    }

    /// What to do, where it is a limit.
    #[must_use]
    pub fn advice(&self) -> Option<String> {
        is_out_of_tasks(&self.error).then(advice_on_tasks)
    }
}

/// Whether an error of starting a thread or a process is about a limit (fork(2), mmap(2)).
#[must_use]
pub fn is_out_of_tasks(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::ENOMEM))
}

/// What to do about the limit that keeps a thread or a process from being started.
#[must_use]
pub fn advice_on_tasks() -> String {
    raise(getrlimit(Resource::As).current, getrlimit(Resource::Nproc).current)
}

/// What to do about an error where it is this limit: there are few addresses, and no memory was to be had.
#[must_use]
pub fn advice_on_addresses(error: &io::Error) -> Option<String> {
    raise_addresses(getrlimit(Resource::As).current).filter(|_| error.raw_os_error() == Some(libc::ENOMEM))
}

fn raise_addresses(limit: Option<u64>) -> Option<String> {
    let kib = limit.filter(|bytes| *bytes < FEW_ADDRESSES)? / 1024;
    Some(format!(
        "the limit on addresses is {kib} KiB, and goflow needs about 200 MB of them: raise it (`ulimit -v unlimited`)"
    ))
}

/// Below this, addresses are what lacks: each thread takes 2 MB for its stack, and as much again for its heap.
const FEW_ADDRESSES: u64 = 256 << 20;

fn raise(addresses: Option<u64>, tasks: Option<u64>) -> String {
    if let Some(advice) = raise_addresses(addresses) {
        return advice;
    }
    let now = tasks.map_or("none".to_owned(), |limit| limit.to_string());
    format!(
        "a limit on threads and processes: raise that of the user (`ulimit -u`, which is {now}), TasksMax= of a systemd unit, \
         or pids of a container"
    )
}

/// CPU time that goflow itself has used, all threads, user and system, in nanoseconds.
#[must_use]
pub fn own_cpu_ns() -> u64 {
    clock_ns(ClockId::ProcessCPUTime) as u64
}

/// CPU time of all CPUs together since the machine started, nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MachineTimes {
    /// Used by anybody.
    pub busy_ns: u64,
    /// Used by nobody.
    pub idle_ns: u64,
    /// How many there are.
    pub cpus: u32,
}

/// What the CPUs do; `None` where /proc does not tell.
#[must_use]
pub fn machine_times() -> Option<MachineTimes> {
    times_in(&std::fs::read_to_string("/proc/stat").ok()?)
}

/// Of the first line of proc_stat(5): `cpu`, then user, nice, system, idle, iowait, irq, softirq and steal in ticks. What a
/// hypervisor stole was nobody's here. A line `cpu0` and so on for each CPU comes next.
fn times_in(stat: &str) -> Option<MachineTimes> {
    let ticks: Vec<u64> = stat
        .strip_prefix("cpu ")?
        .lines()
        .next()?
        .split_whitespace()
        .map_while(|word| word.parse().ok())
        .collect();
    let [user, nice, system, idle, iowait, irq, softirq, ..] = *ticks.as_slice() else { return None };
    let ns = |ticks: u64| ticks.saturating_mul(1_000_000_000 / rustix::param::clock_ticks_per_second());
    let cpus = stat.lines().skip(1).take_while(|line| line.starts_with("cpu")).count().max(1) as u32;
    Some(MachineTimes { busy_ns: ns(user + nice + system + irq + softirq), idle_ns: ns(idle + iowait), cpus })
}

/// What of goflow's memory is in RAM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OwnMemory {
    /// Now, bytes.
    pub resident: u64,
    /// At most so far, bytes.
    pub peak: u64,
}

/// The memory of goflow itself; `None` where /proc does not tell.
#[must_use]
pub fn own_memory() -> Option<OwnMemory> {
    memory_in(&std::fs::read_to_string("/proc/self/status").ok()?)
}

/// Whether goflow was started with this signal ignored.
///
/// # Errors
/// There is no such signal.
pub fn is_ignored(signal: i32) -> io::Result<bool> {
    let mut action = std::mem::MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: nothing is set, and `action` is valid for writing.
    if unsafe { libc::sigaction(signal, std::ptr::null(), action.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call above has filled it; zeroes are a valid value as well.
    Ok(unsafe { action.assume_init() }.sa_sigaction == libc::SIG_IGN)
}

/// Of the text of proc_pid_status(5), whose sizes are in KiB.
fn memory_in(status: &str) -> Option<OwnMemory> {
    let bytes = |key: &str| {
        let value = status.lines().find_map(|line| line.strip_prefix(key))?;
        value.trim().strip_suffix(" kB")?.parse::<u64>().ok()?.checked_mul(1024)
    };
    Some(OwnMemory { resident: bytes("VmRSS:")?, peak: bytes("VmHWM:")? })
}

/// Nanoseconds since boot, suspended time included: the clock of a process's start time.
#[must_use]
pub fn boot_ns() -> u64 {
    clock_ns(ClockId::Boottime) as u64
}

/// What to add to a monotonic time to get nanoseconds since the Unix epoch, now.
#[must_use]
pub fn wall_clock_offset_ns() -> i64 {
    clock_ns(ClockId::Realtime) - clock_ns(ClockId::Monotonic)
}

/// Pids mean here what they mean to the kernel's programs: this is the initial pid namespace. `None` where /proc does not
/// tell.
#[must_use]
pub fn in_initial_pid_namespace() -> Option<bool> {
    Some(std::fs::metadata("/proc/self/ns/pid").ok()?.ino() == INITIAL_PID_NAMESPACE)
}

fn clock_ns(clock: ClockId) -> i64 {
    let time = clock_gettime(clock);
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_times_of_all_cpus_are_those_of_the_first_line() {
        let stat = "cpu  10 2 30 400 50 6 7 8 0 0\ncpu0 5 1 15 200 25 3 3 4 0 0\ncpu1 5 1 15 200 25 3 4 4 0 0\nintr 1\n";
        let tick = 1_000_000_000 / rustix::param::clock_ticks_per_second();
        assert_eq!(times_in(stat), Some(MachineTimes { busy_ns: 55 * tick, idle_ns: 450 * tick, cpus: 2 }));
        for broken in ["", "cpu ", "cpu  1 2 x", "cpu0 1 2 3 4 5 6 7"] {
            assert_eq!(times_in(broken), None, "{broken:?}");
        }
        assert!(machine_times().is_some_and(|times| times.busy_ns > 0));
    }

    #[test]
    fn the_limit_that_keeps_a_thread_from_starting_is_named() {
        let of_addresses = raise(Some(10_000 << 10), Some(7));
        assert!(of_addresses.contains("10000 KiB") && of_addresses.contains("ulimit -v"), "{of_addresses}");
        for addresses in [None, Some(8 << 30)] {
            let of_tasks = raise(addresses, Some(7));
            assert!(of_tasks.contains("`ulimit -u`, which is 7"), "{of_tasks}");
        }
        let told = |errno| NoTask::of("a thread")(io::Error::from_raw_os_error(errno));
        assert!(told(libc::EAGAIN).advice().is_some() && told(libc::EPERM).advice().is_none());
        assert!(told(libc::EAGAIN).to_string().starts_with("a thread cannot be started: "));
    }

    #[test]
    fn memory_is_read_in_bytes_or_not_at_all() {
        let status = "Name:\tgoflow\nVmHWM:\t   21508 kB\nVmRSS:\t   20480 kB\nThreads:\t1\n";
        assert_eq!(memory_in(status), Some(OwnMemory { resident: 20_480 << 10, peak: 21_508 << 10 }));
        // A kernel thread has none, and what is no number is none.
        assert_eq!(memory_in("Name:\tkthreadd\n"), None);
        assert_eq!(memory_in("VmHWM:\tmuch kB\nVmRSS:\t1 kB\n"), None);
        let own = own_memory().unwrap();
        assert!(own.resident > 100_000 && own.peak >= own.resident, "{own:?}");
    }

    #[test]
    fn kernel_versions_of_every_distribution_style_are_read() {
        assert_eq!(kernel_version("6.18.44-fc-v657"), Some((6, 18)));
        assert_eq!(kernel_version("5.10.0-32-cloud-amd64"), Some((5, 10)));
        assert_eq!(kernel_version("7.3~rc7-1"), Some((7, 3)));
        assert_eq!(kernel_version("6.8-rc1"), Some((6, 8)));
        assert_eq!(kernel_version("linux"), None);
    }
}
