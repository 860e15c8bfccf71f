//! What the machine says about itself, unjudged.
//!
//! In: `/proc`, `/sys` and the kernel's own answers; out: [`Facts`]. What cannot be read is `None` or `Unknown`, never a
//! default.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;

use rustix::process::{Resource, getrlimit};
use rustix::thread::{CapabilitySet, capabilities};

use crate::probe::attach;
use crate::probe::feature::{self, Support};
use crate::target::host;

/// Inode of the initial user namespace (`PROC_USER_INIT_INO`).
const INITIAL_USER_NAMESPACE: u64 = 0xEFFF_FFFD;
/// Inode of the initial control group namespace (`PROC_CGROUP_INIT_INO`).
const INITIAL_CGROUP_NAMESPACE: u64 = 0xEFFF_FFFB;
/// Inode of the initial UTS namespace (`PROC_UTS_INIT_INO`).
const INITIAL_UTS_NAMESPACE: u64 = 0xEFFF_FFFE;

/// One machine, as seen by this process.
#[derive(Debug)]
pub(super) struct Facts {
    /// `x86_64` and so on, as Rust names it: what this binary was built for.
    pub(super) architecture: &'static str,
    /// As `uname -r`.
    pub(super) release: String,
    pub(super) programs: Support,
    pub(super) ring_buffer: Support,
    pub(super) cookies: Support,
    pub(super) multi_uprobe: Support,
    /// Number of the PMU.
    pub(super) uprobe_pmu: io::Result<u32>,
    /// Hits that the kernel counted in the trial.
    pub(super) trial: io::Result<u64>,
    /// Whether the kernel publishes its types.
    pub(super) has_btf: bool,
    /// Effective capabilities.
    pub(super) capabilities: io::Result<CapabilitySet>,
    pub(super) in_initial_user_namespace: Option<bool>,
    pub(super) in_initial_pid_namespace: Option<bool>,
    /// Which container runtime started this process, if one did.
    pub(super) container: Option<&'static str>,
    /// Soft limit of locked memory in bytes; `None` is unlimited.
    pub(super) memlock: Option<u64>,
    /// How many files goflow may have open, and how many it could allow itself; `None` is unlimited.
    pub(super) open_files: (Option<u64>, Option<u64>),
    /// `kernel.perf_event_paranoid`.
    pub(super) perf_event_paranoid: Option<i64>,
    /// `kernel.unprivileged_bpf_disabled`.
    pub(super) unprivileged_bpf_disabled: Option<i64>,
    /// `kernel.yama.ptrace_scope`; `None` also where Yama is not built in.
    pub(super) ptrace_scope: Option<i64>,
    /// `net.core.bpf_jit_enable`.
    pub(super) bpf_jit: Option<i64>,
    /// The active word of `/sys/kernel/security/lockdown`; `None` also where it is not built in.
    pub(super) lockdown: Option<String>,
    /// Seccomp mode of this process: 0 none, 1 strict, 2 filter.
    pub(super) seccomp: Option<i64>,
    /// The `hidepid` option of `/proc`; `None` when it is not set.
    pub(super) hidepid: Option<String>,
}

/// Asks the machine.
pub(super) fn gather() -> Facts {
    let read = |path: &str| fs::read_to_string(path).ok();
    Facts {
        architecture: std::env::consts::ARCH,
        release: host::kernel_release(),
        programs: feature::programs(),
        ring_buffer: feature::ring_buffer(),
        cookies: feature::cookies(),
        multi_uprobe: feature::multi_uprobe(),
        uprobe_pmu: feature::uprobe_pmu(),
        trial: feature::uprobe_trial(attach::supported_method()),
        has_btf: fs::exists("/sys/kernel/btf/vmlinux").unwrap_or(false),
        capabilities: capabilities(None).map(|sets| sets.effective).map_err(Into::into),
        in_initial_user_namespace: is_namespace("user", INITIAL_USER_NAMESPACE),
        in_initial_pid_namespace: host::in_initial_pid_namespace(),
        container: container(),
        memlock: getrlimit(Resource::Memlock).current,
        open_files: host::open_files_limits(),
        perf_event_paranoid: number(read("/proc/sys/kernel/perf_event_paranoid")),
        unprivileged_bpf_disabled: number(read("/proc/sys/kernel/unprivileged_bpf_disabled")),
        ptrace_scope: number(read("/proc/sys/kernel/yama/ptrace_scope")),
        bpf_jit: number(read("/proc/sys/net/core/bpf_jit_enable")),
        lockdown: read("/sys/kernel/security/lockdown").as_deref().and_then(active_word),
        seccomp: number(read("/proc/self/status").as_deref().and_then(seccomp_mode)),
        hidepid: read("/proc/self/mountinfo").as_deref().and_then(hidepid),
    }
}

fn is_namespace(kind: &str, initial: u64) -> Option<bool> {
    Some(fs::metadata(format!("/proc/self/ns/{kind}")).ok()?.ino() == initial)
}

fn number(text: Option<String>) -> Option<i64> {
    text?.trim().parse().ok()
}

/// Files and variables that container runtimes leave, believed only where a namespace confirms them: images of virtual
/// machines are often made from containers. A hint for wording, never for the verdict.
fn container() -> Option<&'static str> {
    let confirmed = [
        ("cgroup", INITIAL_CGROUP_NAMESPACE),
        ("uts", INITIAL_UTS_NAMESPACE),
        ("pid", host::INITIAL_PID_NAMESPACE),
    ]
    .into_iter()
    .any(|(kind, initial)| is_namespace(kind, initial) == Some(false));
    if !confirmed {
        return None;
    }
    let exists = |path| fs::exists(path).unwrap_or(false);
    if std::env::var_os("KUBERNETES_SERVICE_HOST").is_some() {
        Some("Kubernetes")
    } else if exists("/.dockerenv") {
        Some("Docker")
    } else if exists("/run/.containerenv") {
        Some("Podman")
    } else {
        None
    }
}

/// `none [integrity] confidentiality` is `integrity`.
fn active_word(text: &str) -> Option<String> {
    let (_, rest) = text.split_once('[')?;
    Some(rest.split_once(']')?.0.to_owned())
}

fn seccomp_mode(status: &str) -> Option<String> {
    let mode = status.lines().find_map(|line| line.strip_prefix("Seccomp:"))?;
    Some(mode.trim().to_owned())
}

/// The value of `hidepid` among the options of the last mount on `/proc`, which is the one that is seen.
fn hidepid(mountinfo: &str) -> Option<String> {
    let is_proc = |line: &&str| line.split(' ').nth(4) == Some("/proc");
    let line = mountinfo.lines().rfind(is_proc)?;
    let mut options = line.split([' ', ',']).filter_map(|option| option.strip_prefix("hidepid="));
    options.next_back().filter(|value| !matches!(*value, "0" | "off")).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_active_lockdown_level_is_the_word_in_brackets() {
        assert_eq!(active_word("none [integrity] confidentiality\n").as_deref(), Some("integrity"));
        assert_eq!(active_word(""), None);
    }

    #[test]
    fn hidepid_is_read_from_the_mount_that_is_seen() {
        let mounts = "22 27 0:21 / /proc rw,relatime - proc proc rw,hidepid=invisible\n\
                      23 27 0:22 / /procx rw - proc proc rw,hidepid=2";
        assert_eq!(hidepid(mounts).as_deref(), Some("invisible"));
        assert_eq!(hidepid("22 27 0:21 / /proc rw,relatime - proc proc rw,hidepid=0"), None);
        assert_eq!(hidepid("22 27 0:21 / /proc rw,relatime - proc proc rw"), None);
        let over = format!("{mounts}\n30 27 0:21 / /proc rw - proc proc rw");
        assert_eq!(hidepid(&over), None);
    }

    #[test]
    fn the_seccomp_mode_is_found_among_the_lines_of_status() {
        assert_eq!(seccomp_mode("NoNewPrivs:\t0\nSeccomp:\t2\nSeccomp_filters:\t1\n").as_deref(), Some("2"));
        assert_eq!(seccomp_mode("Name:\tx\n"), None);
    }

    #[test]
    fn gathering_works_whoever_asks() {
        let facts = gather();
        assert!(host::kernel_version(&facts.release).is_some(), "{facts:?}");
        assert!(facts.capabilities.is_ok());
    }
}
