//! The kernel objects that breakpoints hang on.
//!
//! In: an [`Order`], the file and the loaded programs; out: descriptors, whose closing takes the breakpoints out again. What
//! is hard: the kernel writes to the text of the target in the course of the calling thread, and cannot once that thread has
//! been sent a SIGKILL. Who must survive that lets a [`super::keeper::Keeper`] call this.

use super::load::AttachMethod;
use super::{feature, sys};
use serde::{Deserialize, Serialize};
use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};

/// What is to be probed.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Order {
    pub(super) method: AttachMethod,
    pub(super) places: Vec<Place>,
    /// `None` for every process that maps the file.
    pub(super) pids: Option<Vec<u32>>,
}

/// One instruction.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Place {
    /// In the file.
    pub(super) offset: u64,
    pub(super) cookie: u64,
    /// Which of the given programs runs there. A multi-uprobe link has but one.
    pub(super) program: usize,
}

/// What goflow itself refuses, in place of a number of the kernel's.
pub(super) mod own {
    /// A request without the file or without a program.
    pub(in super::super) const INCOMPLETE: i32 = -1;
    /// A request that is longer than a message.
    pub(in super::super) const TOO_LONG: i32 = -2;
    /// Perf events that are to be put in anew.
    pub(in super::super) const NOT_ANEW: i32 = -3;
}

/// The kernel's no, or goflow's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Refusal {
    pub(super) errno: i32,
    /// For which process, where there was a choice.
    pub(super) pid: Option<u32>,
    /// For which of the places, where that is known.
    pub(super) place: Option<usize>,
}

impl Refusal {
    pub(super) fn of(error: &io::Error, pid: Option<u32>, place: Option<usize>) -> Self {
        Self { errno: error.raw_os_error().unwrap_or(libc::EIO), pid, place }
    }

    /// The kernel was not asked.
    pub(super) fn is_own(self) -> bool {
        self.errno < 0
    }

    /// What the kernel said, or why it was not asked.
    pub(super) fn error(self) -> io::Error {
        match self.errno {
            own::INCOMPLETE => {
                io::Error::other("the request came without its file or a program; this is a defect of goflow")
            }
            own::TOO_LONG => {
                io::Error::other("it is too much for one request; trace fewer processes, or --binary")
            }
            own::NOT_ANEW => io::Error::other("a perf event does not tell whether it has lost its process"),
            errno => io::Error::from_raw_os_error(errno),
        }
    }
}

/// Puts the probes in.
///
/// # Errors
/// The kernel's first refusal; what was in by then is out again.
pub(super) fn create(
    order: &Order,
    file: BorrowedFd<'_>,
    programs: &[BorrowedFd<'_>],
) -> Result<Vec<OwnedFd>, Refusal> {
    let (path, pids) = (path_of(file)?, order.processes());
    match order.method {
        AttachMethod::UprobeMulti => pids.into_iter().map(|pid| multi(order, &path, programs, pid)).collect(),
        AttachMethod::PerfEvent => perf_events(order, &path, programs, &pids),
    }
}

/// Puts the probes of process `pid` in anew if it has executed the file from another thread than its first: the kernel has
/// lost sight of it. `links` are what [`create`] made of the same order. Returns for how many that was done. Others are left
/// alone: the kernel has lost sight of those that have ended as well, and their pids may be another's.
///
/// # Errors
/// The kernel's first refusal. A process that has ended meanwhile is none.
pub(super) fn renew(
    order: &Order,
    file: BorrowedFd<'_>,
    programs: &[BorrowedFd<'_>],
    links: &mut [OwnedFd],
    pid: u32,
) -> Result<u32, Refusal> {
    let path = path_of(file)?;
    let mut renewed = 0;
    if order.pids.is_none() {
        return Ok(renewed);
    }
    if order.method != AttachMethod::UprobeMulti {
        // Of a perf event the kernel does not tell whether it has, and a second one would tell everything twice.
        return Err(Refusal { errno: own::NOT_ANEW, pid: None, place: None });
    }
    let of_pid = order.processes().into_iter().zip(links).filter(|(of, _)| *of == Some(pid));
    for (pid, link) in of_pid {
        if !sys::has_lost_its_process(link.as_fd()).map_err(|error| Refusal::of(&error, pid, None))? {
            continue;
        }
        match multi(order, &path, programs, pid) {
            Ok(new) => {
                *link = new;
                renewed += 1;
            }
            Err(refusal) if refusal.errno == libc::ESRCH => {}
            Err(refusal) => return Err(refusal),
        }
    }
    Ok(renewed)
}

/// The descriptor and not a path names the file: whatever is renamed or replaced meanwhile, it is the one that was analysed.
fn path_of(file: BorrowedFd<'_>) -> Result<CString, Refusal> {
    CString::new(format!("/proc/self/fd/{}", file.as_raw_fd()))
        .map_err(|error| Refusal::of(&error.into(), None, None))
}

impl Order {
    /// One link for each.
    fn processes(&self) -> Vec<Option<u32>> {
        match &self.pids {
            None => vec![None],
            Some(pids) => pids.iter().copied().map(Some).collect(),
        }
    }
}

fn multi(
    order: &Order,
    path: &CString,
    programs: &[BorrowedFd<'_>],
    pid: Option<u32>,
) -> Result<OwnedFd, Refusal> {
    let program = programs.first().ok_or(Refusal { errno: own::INCOMPLETE, pid: None, place: None })?;
    let offsets: Vec<u64> = order.places.iter().map(|place| place.offset).collect();
    let cookies: Vec<u64> = order.places.iter().map(|place| place.cookie).collect();
    sys::link_multi_uprobe(*program, path, &offsets, &cookies, pid)
        .map_err(|error| Refusal::of(&error, pid, None))
}

fn perf_events(
    order: &Order,
    path: &CString,
    programs: &[BorrowedFd<'_>],
    pids: &[Option<u32>],
) -> Result<Vec<OwnedFd>, Refusal> {
    let pmu = feature::uprobe_pmu().map_err(|error| Refusal::of(&error, None, None))?;
    let mut events = Vec::with_capacity(order.places.len() * pids.len());
    for (index, place) in order.places.iter().enumerate() {
        let no_program = Refusal { errno: own::INCOMPLETE, pid: None, place: Some(index) };
        let program = programs.get(place.program).ok_or(no_program)?;
        for &pid in pids {
            let whose = pid.map_or(sys::Whose::Everybodys, sys::Whose::Process);
            let event = sys::open_uprobe(pmu, path, place.offset, whose)
                .and_then(|event| sys::run_at(&event, *program).map(|()| event))
                .map_err(|error| Refusal::of(&error, pid, Some(index)))?;
            events.push(event);
        }
    }
    Ok(events)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goflow_refuses_itself_is_not_told_as_the_kernels_word() {
        let refusal = |errno| Refusal { errno, pid: None, place: None };
        for (errno, word) in [
            (own::INCOMPLETE, "defect of goflow"),
            (own::TOO_LONG, "fewer processes"),
            (own::NOT_ANEW, "perf event"),
        ] {
            assert!(refusal(errno).is_own());
            let error = refusal(errno).error();
            assert!(error.raw_os_error().is_none() && error.to_string().contains(word), "{error}");
        }
        assert!(!refusal(libc::EBADF).is_own());
        assert_eq!(refusal(libc::EBADF).error().raw_os_error(), Some(libc::EBADF));
    }
}
