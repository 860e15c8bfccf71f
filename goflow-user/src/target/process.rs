//! One process: a handle that cannot be confused by pid reuse, its CPU time, and where its executable is mapped.

use super::Pid;
use super::executable::{Executable, FileId};
use crate::binary::addr::{LinkAddr, LoadBias, RuntimeAddr};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{PidfdFlags, pidfd_open};
use rustix::time::Timespec;
use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::thread;
use std::time::Duration;

/// A process that existed when this was opened.
pub struct Process {
    pid: Pid,
    pidfd: OwnedFd,
}

impl Process {
    /// Opens a handle to `pid`.
    ///
    /// # Errors
    /// `ESRCH` when there is no such process (any more); `InvalidInput` when it is a thread, with the process it is of.
    pub fn open(pid: Pid) -> io::Result<Self> {
        let raw = i32::try_from(pid.0).ok().and_then(rustix::process::Pid::from_raw);
        let raw = raw.ok_or_else(|| io::Error::from_raw_os_error(libc::ESRCH))?;
        match pidfd_open(raw, PidfdFlags::empty()) {
            Ok(pidfd) => Ok(Self { pid, pidfd }),
            // The kernel's word for a thread is not the same in all its versions.
            Err(error) => Err(thread_of(pid).map_or_else(|| error.into(), |of| is_thread(pid, of))),
        }
    }

    /// Its pid.
    #[must_use]
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// True once the process has ended (it may still be a zombie).
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.ends_within(Duration::ZERO)
    }

    /// Waits for its end, for less than a second; `false` when it has not come. A process that is about to end has no
    /// executable and no memory any more some time before it has ended.
    #[must_use]
    pub fn ends_within(&self, limit: Duration) -> bool {
        let mut fds = [PollFd::new(&self.pidfd, PollFlags::IN)];
        let limit = Timespec { tv_sec: 0, tv_nsec: limit.subsec_nanos().into() };
        matches!(poll(&mut fds, Some(&limit)), Ok(ready) if ready > 0)
    }

    /// CPU time it has used since it started, all threads, user and system, in nanoseconds; `None` once it has ended and
    /// its parent has taken note of that.
    #[must_use]
    pub fn cpu_ns(&self) -> Option<u64> {
        let used = cpu_ns_of(self.pid)?;
        // Asked afterwards: a pid that still belongs to this process belonged to it at the reading.
        (!self.has_ended() || self.keeps_its_pid()).then_some(used)
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
        let stat = stat_of(self.pid)?;
        // proc_pid_stat(5): starttime is field 22; the name, field 2, may contain anything but ends at the last `)`.
        let ticks: u64 = stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(19)?.parse().ok()?;
        Some(ticks * (1_000_000_000 / rustix::param::clock_ticks_per_second()))
    }
}

/// Where the stack of `pid` begins: for each `exec` the kernel chooses another place. `None` where it may not be known.
#[must_use]
pub fn stack_start(pid: Pid) -> Option<u64> {
    let stat = stat_of(pid)?;
    // proc_pid_stat(5): startstack is field 28; the name, field 2, ends at the last `)`.
    let start = stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(25)?.parse().ok()?;
    Some(start).filter(|start| *start != 0)
}

/// The processes that run `file` now, and how many there are of which that may not be known.
#[must_use]
pub fn running(file: FileId) -> (Vec<Pid>, usize) {
    let (mut running, mut hidden) = (Vec::new(), 0);
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()).map(Pid) else {
            continue;
        };
        match Executable::id_of_process(pid) {
            Ok(id) if id == file => running.push(pid),
            Ok(_) => {}
            Err(error) => hidden += usize::from(error.kind() == io::ErrorKind::PermissionDenied),
        }
    }
    (running, hidden)
}

/// What /proc/PID/stat has of a process, if there is one.
pub(super) fn stat_of(pid: Pid) -> Option<String> {
    text_of(&format!("/proc/{pid}/stat"))
}

/// The name of a process is in it, which is any bytes: the kernel cuts it after 15, also in the middle of a letter.
fn text_of(path: &str) -> Option<String> {
    Some(String::from_utf8_lossy(&fs::read(path).ok()?).into_owned())
}

/// The process that `tid` is a thread of, unless it is a process itself.
fn thread_of(tid: Pid) -> Option<Pid> {
    let status = text_of(&format!("/proc/{tid}/status"))?;
    let tgid = status.lines().find_map(|line| line.strip_prefix("Tgid:"))?.trim().parse().ok().map(Pid)?;
    (tgid != tid).then_some(tgid)
}

fn is_thread(tid: Pid, of: Pid) -> io::Error {
    let message = format!("{tid} is a thread of process {of}; use --pid {of}");
    io::Error::new(io::ErrorKind::InvalidInput, message)
}

/// Tries again while an attempt fails because a process has nothing to look at, although it lives: in the middle of an
/// `exec` the kernel says of it that there is none, and of one that another thread than its first executes a program in, for
/// as long as the other threads take to end, that it has no file. `absent` says which process an error is about.
pub fn despite_exec<T, E>(
    attempt: impl Fn() -> Result<T, E>,
    absent: impl Fn(&E) -> Option<Pid>,
) -> Result<T, E> {
    const ATTEMPTS: u32 = 10;
    const PAUSE: Duration = Duration::from_millis(5);
    let lives = |pid| Process::open(pid).is_ok_and(|process| !process.has_ended());
    for _ in 1..ATTEMPTS {
        match attempt() {
            Err(error) if absent(&error).is_some_and(lives) => thread::sleep(PAUSE),
            done => return done,
        }
    }
    attempt()
}

/// What runs no file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fileless {
    /// A thread of the kernel.
    KernelThread,
    /// A process that has ended and that its parent has not taken note of.
    Zombie,
}

impl Fileless {
    /// Which of them `pid` is, if it is one.
    #[must_use]
    pub fn of(pid: Pid) -> Option<Self> {
        /// include/linux/sched.h.
        const PF_KTHREAD: u32 = 0x0020_0000;
        let stat = stat_of(pid)?;
        // proc_pid_stat(5): state is field 3 and flags field 9; the name, field 2, ends at the last `)`.
        let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
        let state = fields.next()?;
        if fields.nth(5)?.parse::<u32>().ok()? & PF_KTHREAD != 0 {
            return Some(Self::KernelThread);
        }
        // That is its first thread's. Others may run, and one of them may be about to take its place by an `exec`.
        let has_ended = || Process::open(pid).is_ok_and(|process| process.has_ended());
        (matches!(state, "Z" | "X") && has_ended()).then_some(Self::Zombie)
    }
}

/// Why a process that lives does not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standstill {
    /// A signal stopped it.
    Stopped,
    /// A debugger stopped it.
    Traced,
    /// Its cgroup is frozen, as by `docker pause`.
    Frozen,
}

impl Standstill {
    /// Whether `pid` stands still, as far as that can be read.
    #[must_use]
    pub fn of(pid: Pid) -> Option<Self> {
        let stat = stat_of(pid)?;
        // proc_pid_stat(5): state is field 3; the name, field 2, ends at the last `)`.
        match stat.rsplit_once(')')?.1.split_ascii_whitespace().next()? {
            "T" => return Some(Self::Stopped),
            "t" => return Some(Self::Traced),
            _ => {}
        }
        let cgroups = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
        is_frozen(&cgroups, |path| fs::read_to_string(path).ok()).then_some(Self::Frozen)
    }

    /// What it does, for the end of a sentence.
    #[must_use]
    pub fn state(self) -> &'static str {
        match self {
            Self::Stopped => "is stopped by a signal",
            Self::Traced => "is stopped by a debugger",
            Self::Frozen => "is frozen with its cgroup",
        }
    }

    /// What to tell whoever waits for events of it.
    #[must_use]
    pub fn sentence(self) -> String {
        let until = match self {
            Self::Stopped => "it continues (SIGCONT)",
            Self::Traced => "that lets it continue",
            Self::Frozen => "that is thawed",
        };
        format!("{}: no event comes until {until}", self.state())
    }
}

/// Whether one of the cgroups that /proc/PID/cgroup lists is frozen; `read` gives the content of a file.
fn is_frozen(cgroups: &str, read: impl Fn(&str) -> Option<String>) -> bool {
    cgroups.lines().any(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        match (fields.next(), fields.next()) {
            // cgroups(7), version 2: the hierarchy without controllers; `unified` where version 1 is mounted beside it.
            (Some(""), Some(path)) => ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"].iter().any(|root| {
                read(&format!("{root}{path}/cgroup.events"))
                    .is_some_and(|events| events.lines().any(|line| line == "frozen 1"))
            }),
            (Some(controllers), Some(path)) if controllers.split(',').any(|name| name == "freezer") => {
                read(&format!("/sys/fs/cgroup/freezer{path}/freezer.state"))
                    .is_some_and(|state| state.trim() != "THAWED")
            }
            _ => false,
        }
    })
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
    let maps = fs::read(format!("/proc/{pid}/maps"))?;
    first_mapping(&maps, executable.as_os_str().as_bytes())
        .map(|start| LoadBias::between(page_floor(lowest_segment), start))
        .ok_or_else(|| {
            let message = format!("process {pid} does not map its executable");
            io::Error::new(io::ErrorKind::NotFound, message)
        })
}

/// The lowest address at which `file` is mapped by /proc/PID/maps.
fn first_mapping(maps: &[u8], file: &[u8]) -> Option<RuntimeAddr> {
    // proc_pid_maps(5): a newline in a path stands there in octal, and nothing else does.
    let shown: Vec<u8> = file
        .iter()
        .flat_map(|byte| match byte {
            b'\n' => b"\\012".as_slice(),
            byte => std::slice::from_ref(byte),
        })
        .copied()
        .collect();
    let mut lines = maps.split(|&byte| byte == b'\n').filter(|line| line.ends_with(&shown));
    let start = lines.find_map(|line| line.split(|&byte| byte == b'-').next())?;
    u64::from_str_radix(std::str::from_utf8(start).ok()?, 16).ok().map(RuntimeAddr)
}

fn page_floor(address: LinkAddr) -> LinkAddr {
    LinkAddr(address.0 & !0xfff)
}

/// CPU time that whoever has this pid now has used since it started, in nanoseconds; `None` where nobody has it.
#[must_use]
pub fn cpu_ns_of(pid: Pid) -> Option<u64> {
    // The per-process CPU clock of clock_getcpuclockid(3): nanoseconds, where /proc/PID/stat has ticks of 10 ms.
    let clock = (!(pid.0 as libc::clockid_t) << 3) | 2;
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is valid for writing; an unknown clock id is an error, not undefined.
    let result = unsafe { libc::clock_gettime(clock, &raw mut time) };
    (result == 0).then(|| time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_is_told_from_a_process() {
        let (send, receive) = std::sync::mpsc::channel();
        let (stop, stopped) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::spawn(move || {
            send.send(rustix::thread::gettid().as_raw_nonzero().get()).unwrap();
            let _ = stopped.recv();
        });
        let tid = receive.recv().unwrap();
        let own = std::process::id();
        let error = Process::open(Pid(tid as u32)).err().unwrap();
        assert_eq!(error.to_string(), format!("{tid} is a thread of process {own}; use --pid {own}"));
        drop(stop);
        thread.join().unwrap();
        assert!(Process::open(Pid(own)).is_ok());
    }

    #[test]
    fn an_executable_is_found_among_the_mappings_whatever_it_is_called() {
        let maps = b"\
            00400000-00480000 r-xp 00000000 08:01 7 /opt/a\\012b\n\
            00500000-00580000 r-xp 00000000 08:01 8 /opt/\xff c\n\
            00600000-00680000 r-xp 00000000 08:01 9 /opt/plain (deleted)\n\
            00680000-00690000 rw-p 00080000 08:01 9 /opt/plain (deleted)\n\
            7ffc0000-7ffd0000 rw-p 00000000 00:00 0 [stack]\n";
        for (file, start) in [
            (&b"/opt/a\nb"[..], Some(0x40_0000)),
            (b"/opt/\xff c", Some(0x50_0000)),
            (b"/opt/plain (deleted)", Some(0x60_0000)),
            (b"/opt/other", None),
        ] {
            assert_eq!(first_mapping(maps, file), start.map(RuntimeAddr), "{}", file.escape_ascii());
        }
    }

    #[test]
    fn a_process_that_stands_still_is_told_from_one_that_waits() {
        let mut child = std::process::Command::new("/bin/sleep").arg("60").spawn().unwrap();
        let pid = Pid(child.id());
        let signal = |signal| {
            // SAFETY: a child of this process that nobody has waited for.
            assert_eq!(unsafe { libc::kill(pid.0 as libc::pid_t, signal) }, 0);
        };
        let becomes = |expected| {
            (0..1000).any(|_| {
                std::thread::sleep(std::time::Duration::from_millis(1));
                Standstill::of(pid) == expected
            })
        };
        assert!(becomes(None));
        signal(libc::SIGSTOP);
        assert!(becomes(Some(Standstill::Stopped)));
        signal(libc::SIGCONT);
        assert!(becomes(None));
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn a_frozen_cgroup_is_found_in_both_versions() {
        let frozen = |cgroups: &str, file: &'static str, content: &'static str| {
            is_frozen(cgroups, |path| (path == file).then(|| content.to_owned()))
        };
        let (two, events) = ("0::/app.slice\n", "/sys/fs/cgroup/app.slice/cgroup.events");
        assert!(frozen(two, events, "populated 1\nfrozen 1\n"));
        assert!(!frozen(two, events, "populated 1\nfrozen 0\n"));
        let (one, state) =
            ("6:freezer:/a:b\n4:memory:/x\n0::/\n", "/sys/fs/cgroup/freezer/a:b/freezer.state");
        assert!(frozen(one, state, "FROZEN\n") && frozen(one, state, "FREEZING\n"));
        assert!(!frozen(one, state, "THAWED\n"));
        assert!(frozen("0::/a\n", "/sys/fs/cgroup/unified/a/cgroup.events", "frozen 1\n"));
        assert!(!frozen("", events, "frozen 1\n"));
    }

    #[test]
    fn a_zombie_is_told_from_a_process() {
        let mut child = std::process::Command::new("/bin/true").spawn().unwrap();
        let process = Process::open(Pid(child.id())).unwrap();
        while !process.has_ended() {
            std::thread::yield_now();
        }
        assert_eq!(Fileless::of(Pid(child.id())), Some(Fileless::Zombie));
        child.wait().unwrap();
        assert_eq!(Fileless::of(Pid(child.id())), None);
        assert_eq!(Fileless::of(Pid(std::process::id())), None);
    }
}
