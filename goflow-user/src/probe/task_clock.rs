//! The CPU time of processes to the microsecond, for as long as somebody looks.
//!
//! The CPU clock of another process is as of the last tick of the kernel's timer: what its threads have used since is added when
//! a tick finds them running, or when they stop (`thread_group_cputime`, kernel/sched/cputime.c). Of a window of ten
//! milliseconds a tick is four tenths. A perf event that counts the time of a thread is asked where the thread runs
//! (`perf_event_read`, kernel/events/core.c), and knows it exactly. It costs something at each turn of a thread, so it is
//! open only while it is needed.

use super::sys;
use crate::target::Pid;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;

/// More threads are not counted one by one: each takes a descriptor and some ten microseconds.
const MOST_THREADS: usize = 256;

/// How often it is tried to find all threads of processes that create some meanwhile.
const ATTEMPTS: u32 = 3;

/// Has the kernel be ready for clocks: it waits for a grace period, of up to tens of milliseconds, before the first perf event of
/// all that is about a thread.
#[derive(Debug)]
pub struct Readiness(#[expect(dead_code, reason = "held, and nothing else")] OwnedFd);

impl Readiness {
    /// Until it is dropped.
    ///
    /// # Errors
    /// The kernel's: such events are not allowed, or there are none before Linux 5.13.
    pub fn new() -> io::Result<Self> {
        sys::open_task_clock(0).map(Self)
    }
}

/// The clocks of every thread of some processes.
#[derive(Debug)]
pub struct TaskClocks {
    events: Vec<OwnedFd>,
}

impl TaskClocks {
    /// Of the threads that these processes have, and those that they create from here on.
    ///
    /// # Errors
    /// The kernel's, or there are too many threads, or they come and go too fast.
    pub fn start(pids: &[Pid]) -> io::Result<Self> {
        let mut tids = threads(pids)?;
        for _ in 0..ATTEMPTS {
            let events = tids.iter().map(|&tid| sys::open_task_clock(tid)).filter(|event| !is_gone(event));
            let events = events.collect::<io::Result<Vec<OwnedFd>>>()?;
            // One that came meanwhile is counted with the one that created it, or not at all.
            let now = threads(pids)?;
            if now.iter().all(|tid| tids.contains(tid)) {
                return Ok(Self { events });
            }
            tids = now;
        }
        Err(io::Error::other("threads come too fast to be counted one by one"))
    }

    /// What they have used since the start, nanoseconds, also those that have ended.
    ///
    /// # Errors
    /// The kernel's.
    pub fn used_ns(&self) -> io::Result<u64> {
        self.events.iter().map(sys::read_count).sum()
    }
}

fn is_gone(event: &io::Result<OwnedFd>) -> bool {
    matches!(event, Err(error) if error.raw_os_error() == Some(libc::ESRCH))
}

/// Their ids; those of a process that has ended are none.
fn threads(pids: &[Pid]) -> io::Result<Vec<u32>> {
    let mut tids = Vec::new();
    for pid in pids {
        let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else { continue };
        tids.extend(tasks.flatten().filter_map(|task| task.file_name().to_str()?.parse::<u32>().ok()));
        if tids.len() > MOST_THREADS {
            return Err(io::Error::other(format!("more than {MOST_THREADS} threads")));
        }
    }
    Ok(tids)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::process;
    use std::process::{Child, Command, Stdio};
    use std::time::{Duration, Instant};

    fn child(script: &str) -> (Child, Pid) {
        let child = Command::new("sh").args(["-c", script]).stdin(Stdio::piped()).spawn().unwrap();
        let pid = Pid(child.id());
        (child, pid)
    }

    #[test]
    fn what_a_process_uses_is_counted_while_it_runs_and_after_it_has_ended() {
        let (mut busy, pid) = child("while :; do :; done");
        let (before, start) = (process::cpu_ns_of(pid).unwrap(), Instant::now());
        let clocks = TaskClocks::start(&[pid]).unwrap();
        std::thread::sleep(Duration::from_millis(300));
        let (used, span) = (clocks.used_ns().unwrap(), start.elapsed().as_nanos() as u64);
        let by_the_clock = process::cpu_ns_of(pid).unwrap() - before;
        assert!(used > 1_000_000 && used <= span, "{used} of {span}");
        // That one is up to some ticks late at both ends.
        assert!(used.abs_diff(by_the_clock) < 25_000_000 + span / 20, "{used} {by_the_clock}");
        busy.kill().unwrap();
        busy.wait().unwrap();
        let then = clocks.used_ns().unwrap();
        assert!(then >= used);
        assert_eq!(clocks.used_ns().unwrap(), then);
    }

    #[test]
    fn a_process_that_another_forks_is_not_counted_with_it() {
        let (mut parent, pid) =
            child("read line; sh -c 'i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done'; read line");
        let clocks = TaskClocks::start(&[pid]).unwrap();
        let mut stdin = parent.stdin.take().unwrap();
        io::Write::write_all(&mut stdin, b"\n").unwrap();
        std::thread::sleep(Duration::from_millis(500));
        let used = clocks.used_ns().unwrap();
        assert!((1..50_000_000).contains(&used), "{used}");
        drop(stdin);
        parent.wait().unwrap();
    }

    #[test]
    fn of_a_process_that_is_gone_nothing_is_counted() {
        let (mut child, pid) = child("exit 0");
        child.wait().unwrap();
        let clocks = TaskClocks::start(&[pid]).unwrap();
        assert_eq!(clocks.used_ns().unwrap(), 0);
    }
}
