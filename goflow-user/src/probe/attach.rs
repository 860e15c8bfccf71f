//! Puts the probes in, and takes them out.
//!
//! In: verified programs and a plan; out: an [`Attached`] session. Every probe of a session goes in together: one link
//! for all sites where the kernel has multi-uprobe, else one perf event per site. The kernel removes the breakpoints
//! when the descriptors close, however this process dies. The one gap: with a fatal signal pending it cannot write to the
//! target's text, so a SIGKILL in the middle of attaching or of closing leaves breakpoints (docs/safety.md).

use super::load::{AttachMethod, GoidMemory, LoadError, Programs, uprobe_mut};
use super::plan::Plan;
use super::{feature, sys};
use crate::target::Pid;
use aya::Ebpf;
use aya::programs::uprobe::UProbeScope;
use goflow_common::probe::ProbeId;
use rustix::thread::{CapabilitySet, capabilities};
use std::ffi::CString;
use std::io;
use std::num::NonZeroU32;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::time::{Duration, Instant};
use thiserror::Error;

/// `ENOTSUPP`, which the kernel returns for an instruction it cannot probe, and which has no name in libc.
const ENOTSUPP: i32 = 524;

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
        error: io::Error,
    },
    /// One perf-event uprobe was refused.
    #[error("the kernel refused the probe on {function}: {source}")]
    PerfEvent {
        /// The probed function.
        function: &'static str,
        /// aya's error.
        source: aya::programs::ProgramError,
    },
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
    took: Duration,
}

enum Links {
    Multi(Vec<OwnedFd>),
    /// aya's programs own their links.
    PerfEvents(Box<Ebpf>),
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

/// Attaches every site of `plan` to `executable`.
///
/// # Errors
/// See [`AttachError`]; nothing stays attached after one.
pub fn attach(
    programs: Programs,
    plan: &Plan,
    executable: BorrowedFd<'_>,
    scope: &Scope,
    kernel: (u32, u32),
) -> Result<Attached, AttachError> {
    let start = Instant::now();
    // The descriptor and not a path: whatever is renamed or replaced meanwhile, it is the file that was analysed.
    let path = format!("/proc/self/fd/{}", executable.as_raw_fd());
    let links = match programs {
        Programs::Multi(program) => {
            let scope = if needs_target_filter(AttachMethod::UprobeMulti, kernel, scope) {
                &Scope::AllProcesses
            } else {
                scope
            };
            Links::Multi(link_all(program.as_fd(), plan, &path, scope)?)
        }
        Programs::PerProbe(ebpf) => Links::PerfEvents(attach_each(ebpf, plan, &path, scope)?),
    };
    Ok(Attached { links, goid_memory: None, took: start.elapsed() })
}

fn link_all(
    program: BorrowedFd<'_>,
    plan: &Plan,
    path: &str,
    scope: &Scope,
) -> Result<Vec<OwnedFd>, AttachError> {
    let path = CString::new(path).map_err(|error| refused(plan, error.into()))?;
    let offsets: Vec<u64> = plan.sites.iter().map(|planned| planned.offset.0).collect();
    let cookies: Vec<u64> = plan.sites.iter().map(|planned| planned.spec.probe as u64).collect();
    let pids: Vec<Option<Pid>> = match scope {
        Scope::AllProcesses => vec![None],
        Scope::Processes(pids) => pids.iter().copied().map(Some).collect(),
    };
    pids.into_iter()
        .map(|pid| {
            sys::link_multi_uprobe(program, &path, &offsets, &cookies, pid.map(|pid| pid.0))
                .map_err(|error| explain(error, plan, pid))
        })
        .collect()
}

fn explain(error: io::Error, plan: &Plan, pid: Option<Pid>) -> AttachError {
    match (error.raw_os_error(), pid) {
        (Some(libc::EPERM | libc::EACCES), _) => AttachError::Permission(why_not()),
        (Some(libc::ESRCH), Some(pid)) => AttachError::Gone(pid),
        (Some(ENOTSUPP), _) => AttachError::Unprobeable { sites: plan.sites.len() },
        _ => refused(plan, error),
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

fn refused(plan: &Plan, error: io::Error) -> AttachError {
    AttachError::Refused { sites: plan.sites.len(), error }
}

fn attach_each(
    mut ebpf: Box<Ebpf>,
    plan: &Plan,
    path: &str,
    scope: &Scope,
) -> Result<Box<Ebpf>, AttachError> {
    let scopes: Vec<UProbeScope> = match scope {
        Scope::AllProcesses => vec![UProbeScope::AllProcesses],
        Scope::Processes(pids) => {
            pids.iter().filter_map(|pid| NonZeroU32::new(pid.0)).map(UProbeScope::OneProcess).collect()
        }
    };
    for planned in &plan.sites {
        let program = uprobe_mut(&mut ebpf, planned.spec.program)?;
        for &scope in &scopes {
            program
                .attach(planned.offset.0, PathBuf::from(path), scope)
                .map_err(|source| AttachError::PerfEvent { function: planned.function, source })?;
        }
    }
    Ok(ebpf)
}

impl Attached {
    /// How long attaching took.
    #[must_use]
    pub fn took(&self) -> Duration {
        self.took
    }

    /// Lets the programs remember goids until the probes go out. Without a probe on `newproc1` they never may.
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

    /// Takes every probe out and returns how long that took. Dropping does the same, untimed.
    #[must_use]
    pub fn detach(mut self) -> Duration {
        self.forget_goids();
        let start = Instant::now();
        match self.links {
            Links::Multi(links) => drop(links),
            Links::PerfEvents(ebpf) => drop(ebpf),
        }
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
