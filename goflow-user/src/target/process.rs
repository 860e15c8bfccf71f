//! One process: a handle that cannot be confused by pid reuse, its CPU time, and where its executable is mapped.

use super::Pid;
use crate::binary::addr::{LinkAddr, LoadBias, RuntimeAddr};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{PidfdFlags, pidfd_open};
use rustix::time::Timespec;
use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

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

    /// CPU time it has used since it started, all threads, user and system, in nanoseconds; `None` once it is gone.
    #[must_use]
    pub fn cpu_ns(&self) -> Option<u64> {
        // The per-process CPU clock of clock_getcpuclockid(3): nanoseconds, where /proc/PID/stat has ticks of 10 ms.
        let clock = (!(self.pid.0 as libc::clockid_t) << 3) | 2;
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: `time` is valid for writing; an unknown clock id is an error, not undefined.
        let result = unsafe { libc::clock_gettime(clock, &raw mut time) };
        if result != 0 || self.has_ended() {
            return None;
        }
        Some(time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64)
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
