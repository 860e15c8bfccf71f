//! Puts the probes in, and takes them out.
//!
//! In: verified programs and a plan; out: an [`Attached`] session. Every probe of a session goes in together: where the
//! kernel has multi-uprobe, one link for the sites of each level, because what that adds is taken out and put in again while
//! the others stay, or one for all sites where nobody does that; else one perf event per site. The kernel removes the breakpoints when
//! the descriptors close, which a [`Keeper`] holds, so that a SIGKILL to goflow cannot come between.

use super::catalog::Level;
use super::feature;
use super::keeper::{Keep, Keeper, KeeperError};
use super::link::{self, Order, Place, Refusal};
use super::load::{AttachMethod, GoidMemory, LoadError, Programs, WaitEpoch};
use super::plan::Plan;
use crate::target::Pid;
use goflow_common::probe::ProbeId;
use rustix::thread::{CapabilitySet, capabilities};
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};
use thiserror::Error;

/// `ENOTSUPP`, which the kernel returns for an instruction it cannot probe, and which has no name in libc.
const ENOTSUPP: i32 = 524;

/// What comes of a process that is ended while it places or removes probes.
const LEFT_BEHIND: &str = "breakpoints may be left in the target, which cost it some time; the same trace once more takes \
                           them out";

/// Why probes could not be attached.
#[derive(Debug, Error)]
pub enum AttachError {
    /// The kernel says that the caller may not.
    #[error("no permission to attach uprobes: {0}")]
    Permission(&'static str),
    /// The process ended before the probes were in.
    #[error("process {0} ended before the probes were in")]
    Gone(Pid),
    /// The kernel cannot put a breakpoint on one of the instructions.
    #[error("the kernel cannot probe one of the {sites} chosen instructions of this binary")]
    Unprobeable {
        /// How many sites the link had.
        sites: usize,
    },
    /// Any other refusal.
    #[error("the kernel refused to attach {sites} probe sites: {error}")]
    Refused {
        /// How many sites the link had.
        sites: usize,
        /// The kernel's error.
        #[source]
        error: io::Error,
    },
    /// One perf-event uprobe was refused.
    #[error("the kernel refused the probe on {function}: {error}")]
    PerfEvent {
        /// The probed function.
        function: &'static str,
        /// The kernel's error.
        #[source]
        error: io::Error,
    },
    /// The kernel was not asked.
    #[error("the probes cannot be attached: {0}")]
    NotAsked(String),
    /// The process that puts the probes in has ended while it did.
    #[error("the process that puts the probes in was ended while it did: {LEFT_BEHIND} ({0})")]
    KeeperEnded(io::Error),
    /// A program is not there.
    #[error(transparent)]
    Load(#[from] LoadError),
}

/// Which processes a session's probes fire for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Every process that maps the file, now and later.
    AllProcesses,
    /// Only these. Other processes of the same file pay nothing.
    Processes(Vec<Pid>),
}

/// Probes that are in place.
pub struct Attached {
    links: Links,
    goid_memory: Option<GoidMemory>,
    wait_epoch: Option<WaitEpoch>,
    took: Duration,
}

/// Who holds what the breakpoints hang on.
enum Links {
    Here(Option<link::Links>),
    Kept { keeper: Arc<Keeper>, number: u32 },
}

/// The best method that this kernel has: tested, not derived from its version.
#[must_use]
pub fn supported_method() -> AttachMethod {
    if feature::multi_uprobe().is_yes() { AttachMethod::UprobeMulti } else { AttachMethod::PerfEvent }
}

/// The first kernel whose multi-uprobe link applies its pid to the process and not to one thread.
const PROCESS_SCOPE_SINCE: (u32, u32) = (6, 10);

/// True when `Scope::Processes` must be enforced by the programs themselves, since the kernel cannot.
#[must_use]
pub fn needs_target_filter(method: AttachMethod, kernel: (u32, u32), scope: &Scope) -> bool {
    *scope != Scope::AllProcesses && method == AttachMethod::UprobeMulti && kernel < PROCESS_SCOPE_SINCE
}

/// Attaches every site of `plan` to `executable`, or up to the level that the keeper is to begin with. Without a keeper this
/// process does that itself, and a SIGKILL in the middle of it, or of detaching, leaves breakpoints.
///
/// # Errors
/// See [`AttachError`]; nothing stays attached after one.
pub fn attach(
    programs: &Programs,
    plan: &Plan,
    executable: BorrowedFd<'_>,
    scope: &Scope,
    kernel: (u32, u32),
    keep: Option<Keep<'_>>,
) -> Result<Attached, AttachError> {
    let start = Instant::now();
    let everybody = needs_target_filter(programs.method(), kernel, scope);
    let level = keep.and_then(|keep| keep.level);
    let everybody = if everybody { &Scope::AllProcesses } else { scope };
    let (order, programs) = order(programs, plan, everybody, level)?;
    let links = match keep {
        None => link::create(&order, executable, &programs)
            .map(|links| Links::Here(Some(links)))
            .map_err(|refusal| explain(refusal, plan))?,
        Some(Keep { keeper, lease, level: _ }) => {
            let number =
                keeper.attach(order, executable, &programs, lease).map_err(|error| told(error, plan))?;
            Links::Kept { keeper: Arc::clone(keeper), number }
        }
    };
    Ok(Attached { links, goid_memory: None, wait_epoch: None, took: start.elapsed() })
}

/// What is to be probed, and the programs that its places count from.
fn order<'a>(
    programs: &'a Programs,
    plan: &Plan,
    scope: &Scope,
    level: Option<Level>,
) -> Result<(Order, Vec<BorrowedFd<'a>>), LoadError> {
    let method = programs.method();
    let mut names: Vec<&'static str> = plan.sites.iter().map(|planned| planned.spec.program).collect();
    names.dedup();
    if method == AttachMethod::UprobeMulti {
        names.truncate(1);
    }
    let index = |name| names.iter().position(|known| *known == name).unwrap_or(0);
    let places = plan.sites.iter().map(|planned| Place {
        offset: planned.offset.0,
        cookie: planned.spec.probe as u64,
        program: index(planned.spec.program),
        group: level.map_or(0, |_| group_of(planned.spec.level)),
    });
    let pids = match scope {
        Scope::AllProcesses => None,
        Scope::Processes(pids) => Some(pids.iter().map(|pid| pid.0).collect()),
    };
    let order = Order { method, places: places.collect(), first: level.map_or(0, group_of), pids };
    let programs = names.into_iter().map(|name| programs.find(name)).collect::<Result<_, _>>()?;
    Ok((order, programs))
}

/// The probes that a level adds to those before it go in and out together.
fn group_of(level: Level) -> usize {
    level as usize
}

fn told(error: KeeperError, plan: &Plan) -> AttachError {
    match error {
        KeeperError::Refused(refusal) => explain(refusal, plan),
        KeeperError::Ended(error) => AttachError::KeeperEnded(error),
    }
}

fn explain(refusal: Refusal, plan: &Plan) -> AttachError {
    let sites = plan.sites.len();
    let Refusal::Kernel { errno, pid, place } = refusal else {
        return AttachError::NotAsked(refusal.to_string());
    };
    match (errno, pid) {
        (libc::EPERM | libc::EACCES, _) => AttachError::Permission(why_not()),
        (libc::ESRCH, Some(pid)) => AttachError::Gone(Pid(pid)),
        (ENOTSUPP, _) => AttachError::Unprobeable { sites },
        _ => {
            let error = io::Error::from_raw_os_error(errno);
            match place.and_then(|place| plan.sites.get(place)) {
                Some(planned) => AttachError::PerfEvent { function: planned.function, error },
                None => AttachError::Refused { sites, error },
            }
        }
    }
}

/// What a caller lacks whose capabilities were found to be enough before.
fn why_not() -> &'static str {
    match capabilities(None) {
        Ok(sets) if sets.effective.contains(CapabilitySet::SYS_ADMIN) => {
            "goflow has CAP_SYS_ADMIN, so a security module or the lockdown of this kernel forbids it"
        }
        _ => "this kernel asks for CAP_SYS_ADMIN, which goflow lacks",
    }
}

impl Attached {
    /// How long attaching took.
    #[must_use]
    pub fn took(&self) -> Duration {
        self.took
    }

    /// Lets the programs remember goids while the probe on `newproc1` is in, which is of the lowest level. Without it they
    /// never may.
    ///
    /// # Errors
    /// The kernel refused; then the programs read each goid, which is slower.
    pub fn remember_goids(&mut self, plan: &Plan, mut memory: GoidMemory) -> Result<(), LoadError> {
        if plan.sites.iter().any(|planned| planned.spec.probe == ProbeId::Newproc1) {
            memory.set(true)?;
            self.goid_memory = Some(memory);
        }
        Ok(())
    }

    /// Where waits are recorded or counted as a whole: lets the programs know whenever they did not see all of them.
    pub fn tell_gaps_in_waits(&mut self, epoch: WaitEpoch) {
        self.wait_epoch = Some(epoch);
    }

    /// Puts the probes of `pid` in anew if it has executed the file from another thread than its first, since when the kernel
    /// has not seen it. Returns for how many processes that was done. `plan` is the one they were attached by.
    ///
    /// # Errors
    /// See [`AttachError`]; the probes of other processes stay in.
    pub fn renew(&self, plan: &Plan, pid: Pid) -> Result<u32, AttachError> {
        match &self.links {
            Links::Here(_) => Ok(0),
            Links::Kept { keeper, number } => keeper.renew(*number, pid.0).map_err(|error| told(error, plan)),
        }
    }

    /// Takes out the probes that each of `levels` adds to those before it, until they are asked back; for probes that are
    /// kept by level.
    ///
    /// # Errors
    /// See [`AttachError`].
    pub fn withdraw(&mut self, plan: &Plan, levels: &[Level]) -> Result<(), AttachError> {
        if levels.contains(&Level::Lifecycle) {
            self.forget_goids();
        }
        let Links::Kept { keeper, number } = &self.links else { return Ok(()) };
        let groups = levels.iter().copied().map(group_of).collect();
        keeper.withdraw(*number, groups).map_err(|error| told(error, plan))?;
        if levels.contains(&Level::Blocking)
            && let Some(epoch) = &mut self.wait_epoch
        {
            epoch.advance()?;
        }
        Ok(())
    }

    /// Puts them in again, for those of `alive` that they were for, or for everybody.
    ///
    /// # Errors
    /// See [`AttachError`]; they stay out.
    pub fn restore(&mut self, plan: &Plan, level: Level, alive: &[Pid]) -> Result<(), AttachError> {
        let Links::Kept { keeper, number } = &self.links else { return Ok(()) };
        let alive = alive.iter().map(|pid| pid.0).collect();
        keeper.restore(*number, group_of(level), alive).map_err(|error| told(error, plan))?;
        if level == Level::Lifecycle
            && let Some(memory) = &mut self.goid_memory
        {
            memory.set(true)?;
        }
        Ok(())
    }

    /// Takes every probe out and returns how long that took. Dropping does the same, untimed.
    #[must_use]
    pub fn detach(mut self) -> Duration {
        self.forget_goids();
        let start = Instant::now();
        drop(self.links);
        start.elapsed()
    }

    /// While probes go out one after the other, `newproc1` may be the first.
    fn forget_goids(&mut self) {
        if let Some(memory) = &mut self.goid_memory
            && let Err(error) = memory.set(false)
        {
            tracing::warn!(%error, "goids of the last events may be those of an earlier goroutine");
        }
    }
}

impl Drop for Links {
    fn drop(&mut self) {
        match self {
            Self::Here(links) => drop(links.take()),
            Self::Kept { keeper, number } => {
                if !keeper.detach(*number) {
                    tracing::warn!(
                        "the process that takes the probes out was ended while it did: {LEFT_BEHIND}"
                    );
                }
            }
        }
    }
}
