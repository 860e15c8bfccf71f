//! The processes that a process has started, and those that these have started, as /proc has them.
//!
//! In: a pid; out: [`Member`]s. Who ends while it is read is left out. A pid does not tell what runs: an `exec` changes the program
//! of a process, and a pid is given again, so each member has a [`RunId`].

use super::Pid;
use super::process::stat_of;
use std::collections::HashSet;
use std::fs;

/// A process that another has started, itself or through others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its pid.
    pub pid: Pid,
    /// Who has to take note of its end: who started it, or whoever adopted it.
    pub parent: Pid,
    /// It has ended, and nobody has taken note of that.
    pub is_zombie: bool,
    /// What it runs now.
    pub run: RunId,
}

/// One run of a program: an `exec` makes another of it, also of the same file, and so does a pid that is given again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RunId {
    /// When the process started, clock ticks since boot.
    started: u64,
    /// Where its stack begins, for which the kernel chooses another place at each `exec`; 0 where that may not be known.
    stack: u64,
}

/// What `pid` runs now; `None` where there is no such process.
#[must_use]
pub fn run_of(pid: Pid) -> Option<RunId> {
    Some(member(pid, &stat_of(pid)?)?.run)
}

/// The processes that `of` has started, itself or through others, in no order.
#[must_use]
pub fn descendants(of: Pid) -> Vec<Member> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok().map(Pid));
    below(of, pids.filter_map(|pid| member(pid, &stat_of(pid)?)).collect())
}

/// From /proc/PID/stat.
fn member(pid: Pid, stat: &str) -> Option<Member> {
    // proc_pid_stat(5): the name, field 2, may contain anything but ends at the last `)`; field 3 is the state, 4 the parent,
    // 22 the start time, 28 the start of the stack.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_ascii_whitespace().collect();
    Some(Member {
        pid,
        parent: Pid(fields.get(1)?.parse().ok()?),
        is_zombie: matches!(*fields.first()?, "Z" | "X"),
        run: RunId { started: fields.get(19)?.parse().ok()?, stack: fields.get(25)?.parse().ok()? },
    })
}

/// Those of `all` that descend from `root`.
fn below(root: Pid, mut all: Vec<Member>) -> Vec<Member> {
    let (mut family, mut parents) = (Vec::new(), HashSet::from([root]));
    loop {
        let (found, rest): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|member| parents.contains(&member.parent));
        if found.is_empty() {
            return family;
        }
        parents.extend(found.iter().map(|member| member.pid));
        family.extend(found);
        all = rest;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(state: &str, parent: u32, started: u64, stack: u64) -> String {
        let (before, between) = ("0 ".repeat(17), "0 ".repeat(5));
        format!("7 (a name) with (parentheses)) {state} {parent} {before}{started} {between}{stack} 0 0\n")
    }

    #[test]
    fn a_process_is_read_whatever_it_is_called() {
        let read = member(Pid(7), &line("S", 3, 1234, 0x7ffc_0000)).unwrap();
        let run = RunId { started: 1234, stack: 0x7ffc_0000 };
        assert_eq!(read, Member { pid: Pid(7), parent: Pid(3), is_zombie: false, run });
        assert!(member(Pid(7), &line("Z", 3, 1234, 0)).unwrap().is_zombie);
        assert_eq!(member(Pid(7), "7 (cut short) S 3"), None);
    }

    #[test]
    fn who_was_started_through_others_belongs_to_the_family_and_neighbours_do_not() {
        let of = |pid, parent| Member {
            pid: Pid(pid),
            parent: Pid(parent),
            is_zombie: false,
            run: RunId { started: 0, stack: 0 },
        };
        let all = vec![of(13, 12), of(12, 11), of(11, 1), of(20, 1), of(14, 11), of(30, 20)];
        let mut found: Vec<u32> = below(Pid(11), all.clone()).iter().map(|member| member.pid.0).collect();
        found.sort_unstable();
        assert_eq!(found, [12, 13, 14]);
        assert_eq!(below(Pid(13), all), []);
    }

    #[test]
    fn a_child_is_found_and_another_program_in_it_is_another_run() {
        let mut child = std::process::Command::new("/bin/sh")
            .args(["-c", "read line; exec sleep 60"])
            .stdin(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let (pid, own) = (Pid(child.id()), Pid(std::process::id()));
        let before = run_of(pid).unwrap();
        assert!(descendants(own).iter().any(|member| member.pid == pid && member.parent == own));
        drop(child.stdin.take());
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while run_of(pid) == Some(before) {
            assert!(std::time::Instant::now() < deadline, "no other run after an exec");
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(run_of(pid), None);
    }
}
