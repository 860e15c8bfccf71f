//! The machine goflow runs on, as far as a session must know it.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::time::{ClockId, clock_gettime};
use std::io;
use std::os::unix::fs::MetadataExt as _;

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

/// CPU time that goflow itself has used, all threads, user and system, in nanoseconds.
#[must_use]
pub fn own_cpu_ns() -> u64 {
    clock_ns(ClockId::ProcessCPUTime) as u64
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
    fn kernel_versions_of_every_distribution_style_are_read() {
        assert_eq!(kernel_version("6.18.44-fc-v657"), Some((6, 18)));
        assert_eq!(kernel_version("5.10.0-32-cloud-amd64"), Some((5, 10)));
        assert_eq!(kernel_version("7.3~rc7-1"), Some((7, 3)));
        assert_eq!(kernel_version("6.8-rc1"), Some((6, 8)));
        assert_eq!(kernel_version("linux"), None);
    }
}
