//! The kernel objects that breakpoints hang on.
//!
//! In: an [`Order`], the file and the loaded programs; out: [`Links`], whose drop takes the breakpoints out again. The places
//! of a group go in and out together, while others stay. What is hard: the kernel writes to the text of the target in the course of the calling thread, and cannot once that thread has
//! been sent a SIGKILL. Who must survive that lets a [`super::keeper::Keeper`] call this. And a thread that has just met the
//! last breakpoint of its process must still be recognised after that has gone: see [`Links`].

use super::load::AttachMethod;
use super::{feature, sys};
use rustix::thread::{MembarrierCommand, membarrier};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::ffi::{CStr, CString};
use std::io;
use std::mem;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::thread;
use thiserror::Error;

/// What is to be probed.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Order {
    pub(super) method: AttachMethod,
    pub(super) places: Vec<Place>,
    /// Groups up to this one are in from the start.
    pub(super) first: usize,
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
    /// With which others it goes in and out.
    pub(super) group: usize,
}

/// Why the probes are not in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error, Serialize, Deserialize)]
pub(super) enum Refusal {
    /// The kernel's no.
    #[error("{}", io::Error::from_raw_os_error(*errno))]
    Kernel {
        errno: i32,
        /// For which process, where there was a choice.
        pid: Option<u32>,
        /// For which of the places, where that is known.
        place: Option<usize>,
    },
    /// The kernel was not asked: the request has no file, no place or no program.
    #[error("the request came without its file or a program; this is a defect of goflow")]
    Incomplete,
    /// The kernel was not asked: the request is longer than a message.
    #[error("it is too much for one request; trace fewer processes, or --binary")]
    TooLong,
    /// The kernel was not asked: perf events are not put in anew.
    #[error("a perf event does not tell whether it has lost its process")]
    NotAnew,
}

impl Refusal {
    pub(super) fn of(error: &io::Error, pid: Option<u32>, place: Option<usize>) -> Self {
        Self::Kernel { errno: error.raw_os_error().unwrap_or(libc::EIO), pid, place }
    }
}

/// Probes that are in. Dropping this takes them out.
///
/// A thread that has met a breakpoint reaches the kernel a moment later. If the breakpoint has gone by then, the kernel
/// looks whether the process has uprobes at all (`MMF_HAS_UPROBES`, kernel/events/uprobes.c): if so it lets the thread run
/// the instruction again, if not it ends the process by SIGTRAP. It takes that mark away as soon as another late thread finds
/// none of the file's uprobes left, so where the last ones go while two threads are on their way, the second would end the
/// process. An anchor keeps the mark: one more uprobe of the file, for this process only, which does not run the file, so that
/// no breakpoint comes of it. It goes when every processor has left the part of the kernel where such a thread may be.
pub(super) struct Links {
    /// By group, then by place for perf events, then by process; `None` for a process that has ended before. A group that is
    /// out is empty.
    groups: Vec<Vec<Option<OwnedFd>>>,
    /// Dropped after the others, as the last thing.
    _anchor: OwnedFd,
}

impl Links {
    /// Takes the breakpoints of every group out. What dropping does beyond that need not be waited for.
    pub(super) fn take_out(&mut self) {
        close_side_by_side(self.groups.drain(..));
    }

    /// Takes the breakpoints of these groups out.
    pub(super) fn withdraw(&mut self, groups: &[usize]) {
        let is_meant = |(group, _): &(usize, &mut Vec<_>)| groups.contains(group);
        close_side_by_side(
            self.groups.iter_mut().enumerate().filter(is_meant).map(|(_, links)| mem::take(links)),
        );
    }
}

/// Most of it is waiting for the kernel's grace periods.
fn close_side_by_side(groups: impl Iterator<Item = Vec<Option<OwnedFd>>>) {
    thread::scope(|scope| {
        for group in groups.filter(|group| !group.is_empty()) {
            // One that cannot have a thread goes as its closure is dropped.
            let _ = thread::Builder::new().spawn_scoped(scope, move || drop(group));
        }
    });
}

impl Drop for Links {
    fn drop(&mut self) {
        self.take_out();
        // A thread between its breakpoint and the kernel's look has interrupts off, and this waits for a grace period of RCU.
        // Kernels that refuse it (nohz_full) wait for one as they close the links, at least since 6.12.
        let _ = membarrier(MembarrierCommand::Global);
    }
}

/// Puts the probes in of the groups that are wanted from the start.
///
/// # Errors
/// The kernel's first refusal; what was in by then is out again.
pub(super) fn create(
    order: &Order,
    file: BorrowedFd<'_>,
    programs: &[BorrowedFd<'_>],
) -> Result<Links, Refusal> {
    let (path, pids) = (path_of(file)?, order.processes());
    // The anchor first, since a refusal half-way takes out what is in by then.
    let mut links = Links { groups: Vec::new(), _anchor: anchor(order, &path, programs)? };
    for group in 0..order.groups() {
        let is_wanted = group <= order.first;
        let of_group = if is_wanted { put_in(order, &path, programs, group, &pids)? } else { Vec::new() };
        links.groups.push(of_group);
    }
    Ok(links)
}

/// Puts the probes of one group in again, for those of `alive` that it was ordered for, or for everybody; nothing where they
/// are in. `links` are what [`create`] made of the same order.
///
/// # Errors
/// The kernel's first refusal. A process that has ended meanwhile is none.
pub(super) fn restore(
    order: &Order,
    file: BorrowedFd<'_>,
    programs: &[BorrowedFd<'_>],
    links: &mut Links,
    group: usize,
    alive: &[u32],
) -> Result<(), Refusal> {
    let path = path_of(file)?;
    let Some(out) = links.groups.get_mut(group).filter(|links| links.is_empty()) else { return Ok(()) };
    let is_alive = |pid: &Option<u32>| pid.is_none_or(|pid| alive.contains(&pid));
    let mut pids: Vec<Option<u32>> = order.processes().into_iter().filter(is_alive).collect();
    loop {
        match put_in(order, &path, programs, group, &pids) {
            Ok(links) => {
                *out = order.by_process(links, &pids);
                return Ok(());
            }
            Err(Refusal::Kernel { errno: libc::ESRCH, pid: gone @ Some(_), .. }) => {
                pids.retain(|pid| *pid != gone);
            }
            Err(refusal) => return Err(refusal),
        }
    }
}

fn put_in(
    order: &Order,
    path: &CStr,
    programs: &[BorrowedFd<'_>],
    group: usize,
    pids: &[Option<u32>],
) -> Result<Vec<Option<OwnedFd>>, Refusal> {
    let links = match order.method {
        AttachMethod::UprobeMulti => {
            let places: Vec<Place> = order.of_group(group).map(|(_, place)| *place).collect();
            if places.is_empty() {
                return Ok(Vec::new());
            }
            pids.iter().map(|&pid| multi(&places, path, programs, pid)).collect::<Result<Vec<_>, _>>()?
        }
        AttachMethod::PerfEvent => perf_events(order, path, programs, group, pids)?,
    };
    Ok(links.into_iter().map(Some).collect())
}

/// At the first place, because that is where the kernel can certainly place one, and in a part of the file that processes run.
fn anchor(order: &Order, path: &CStr, programs: &[BorrowedFd<'_>]) -> Result<OwnedFd, Refusal> {
    let own = std::process::id();
    let first = order.places.get(..1).ok_or(Refusal::Incomplete)?;
    match order.method {
        AttachMethod::UprobeMulti => multi(first, path, programs, Some(own)),
        AttachMethod::PerfEvent => feature::uprobe_pmu()
            .and_then(|pmu| sys::open_uprobe(pmu, path, first[0].offset, sys::Whose::Process(own)))
            .map_err(|error| Refusal::of(&error, None, Some(0))),
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
    links: &mut Links,
    pid: u32,
) -> Result<u32, Refusal> {
    let path = path_of(file)?;
    let mut renewed = 0;
    if order.pids.is_none() {
        return Ok(renewed);
    }
    if order.method != AttachMethod::UprobeMulti {
        // Of a perf event the kernel does not tell whether it has, and a second one would tell everything twice.
        return Err(Refusal::NotAnew);
    }
    for (index, links) in links.groups.iter_mut().enumerate() {
        let places: Vec<Place> = order.of_group(index).map(|(_, place)| *place).collect();
        let of_pid = order.processes().into_iter().zip(links).filter(|(of, _)| *of == Some(pid));
        for (pid, link) in of_pid.filter_map(|(pid, link)| Some((pid, link.as_mut()?))) {
            if !sys::has_lost_its_process(link.as_fd()).map_err(|error| Refusal::of(&error, pid, None))? {
                continue;
            }
            match multi(&places, &path, programs, pid) {
                Ok(new) => {
                    *link = new;
                    renewed += 1;
                }
                Err(Refusal::Kernel { errno: libc::ESRCH, .. }) => {}
                Err(refusal) => return Err(refusal),
            }
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

    /// How many groups there are.
    fn groups(&self) -> usize {
        self.places.iter().map(|place| place.group + 1).max().unwrap_or(0)
    }

    /// The places of one, with their index among all.
    fn of_group(&self, group: usize) -> impl Iterator<Item = (usize, &Place)> {
        self.places.iter().enumerate().filter(move |(_, place)| place.group == group)
    }

    /// Links that were made for `pids`, one for each of all processes. Perf events are not told apart by process later.
    fn by_process(&self, links: Vec<Option<OwnedFd>>, pids: &[Option<u32>]) -> Vec<Option<OwnedFd>> {
        if self.method != AttachMethod::UprobeMulti {
            return links;
        }
        let mut made: HashMap<_, _> = pids.iter().zip(links).collect();
        self.processes().iter().map(|pid| made.remove(pid).flatten()).collect()
    }
}

fn multi(
    places: &[Place],
    path: &CStr,
    programs: &[BorrowedFd<'_>],
    pid: Option<u32>,
) -> Result<OwnedFd, Refusal> {
    let program = programs.first().ok_or(Refusal::Incomplete)?;
    let offsets: Vec<u64> = places.iter().map(|place| place.offset).collect();
    let cookies: Vec<u64> = places.iter().map(|place| place.cookie).collect();
    sys::link_multi_uprobe(*program, path, &offsets, &cookies, pid)
        .map_err(|error| Refusal::of(&error, pid, None))
}

fn perf_events(
    order: &Order,
    path: &CStr,
    programs: &[BorrowedFd<'_>],
    group: usize,
    pids: &[Option<u32>],
) -> Result<Vec<OwnedFd>, Refusal> {
    let pmu = feature::uprobe_pmu().map_err(|error| Refusal::of(&error, None, None))?;
    let mut events = Vec::with_capacity(order.places.len() * pids.len());
    for (index, place) in order.of_group(group) {
        let program = programs.get(place.program).ok_or(Refusal::Incomplete)?;
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
