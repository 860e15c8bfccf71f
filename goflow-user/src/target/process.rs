//! One process: a handle that cannot be confused by pid reuse, its CPU time, and where its executable is mapped.

use super::Pid;
use crate::binary::addr::{LinkAddr, LoadBias, RuntimeAddr};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{PidfdFlags, pidfd_open};
use rustix::time::Timespec;
use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};

/// A process that existed when this was opened.
pub struct Process {
    pid: Pid,
    pidfd: OwnedFd,
}

impl Process {
    /// Opens a handle to `pid`.
    ///
    /// # Errors
    /// `ESRCH` when there is no such process (any more).
    pub fn open(pid: Pid) -> io::Result<Self> {
        let raw = i32::try_from(pid.0).ok().and_then(rustix::process::Pid::from_raw);
        let raw = raw.ok_or_else(|| io::Error::from_raw_os_error(libc::ESRCH))?;
        Ok(Self { pid, pidfd: pidfd_open(raw, PidfdFlags::empty())? })
    }

    /// Its pid.
    #[must_use]
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// True once the process has ended (it may still be a zombie).
    #[must_use]
    pub fn has_ended(&self) -> bool {
        let mut fds = [PollFd::new(&self.pidfd, PollFlags::IN)];
        matches!(poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })), Ok(ready) if ready > 0)
    }

    /// CPU time it has used since it started, all threads, user and system, in nanoseconds; `None` once it has ended and
    /// its parent has taken note of that.
    #[must_use]
    pub fn cpu_ns(&self) -> Option<u64> {
        // The per-process CPU clock of clock_getcpuclockid(3): nanoseconds, where /proc/PID/stat has ticks of 10 ms.
        let clock = (!(self.pid.0 as libc::clockid_t) << 3) | 2;
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: `time` is valid for writing; an unknown clock id is an error, not undefined.
        let result = unsafe { libc::clock_gettime(clock, &raw mut time) };
        // Asked afterwards: a pid that still belongs to this process belonged to it at the reading.
        if result != 0 || self.has_ended() && !self.keeps_its_pid() {
            return None;
        }
        Some(time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64)
    }

    /// False once the parent has taken note of the end, from when on the pid may be another process's.
    fn keeps_its_pid(&self) -> bool {
        // pidfd_open(2): `Pid` in the descriptor's fdinfo is -1 for a process that has been reaped.
        let info = fs::read_to_string(format!("/proc/self/fdinfo/{}", self.pidfd.as_raw_fd()));
        info.is_ok_and(|info| {
            let pid = info.lines().find_map(|line| line.strip_prefix("Pid:"));
            pid.and_then(|pid| pid.trim().parse::<i32>().ok()).is_some_and(|pid| pid > 0)
        })
    }

    /// When it started, in nanoseconds since boot, in steps of a clock tick (10 ms); `None` once it is gone.
    #[must_use]
    pub fn started_ns(&self) -> Option<u64> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid)).ok()?;
        // proc_pid_stat(5): starttime is field 22; the name, field 2, may contain anything but ends at the last `)`.
        let ticks: u64 = stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(19)?.parse().ok()?;
        Some(ticks * (1_000_000_000 / rustix::param::clock_ticks_per_second()))
    }
}

impl AsFd for Process {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }
}

/// How far the loader moved the executable of `pid`: the lowest mapping of the executable against the lowest
/// link-time address of its segments.
///
/// # Errors
/// The process is gone, or its memory map may not be read.
pub fn load_bias(pid: Pid, lowest_segment: LinkAddr) -> io::Result<LoadBias> {
    let executable = fs::read_link(format!("/proc/{pid}/exe"))?;
    let maps = fs::read_to_string(format!("/proc/{pid}/maps"))?;
    let executable = executable.to_string_lossy();
    maps.lines()
        .filter(|line| line.ends_with(&*executable))
        .find_map(|line| u64::from_str_radix(line.split('-').next()?, 16).ok())
        .map(|start| LoadBias::between(page_floor(lowest_segment), RuntimeAddr(start)))
        .ok_or_else(|| io::Error::other(format!("process {pid} does not map its executable")))
}

fn page_floor(address: LinkAddr) -> LinkAddr {
    LinkAddr(address.0 & !0xfff)
}
