//! From facts to checks and a verdict; pure, so that every machine can be tested here.
//!
//! A check fails only where tracing would not work; what makes it slower or poorer is a warning; what an unprivileged
//! caller cannot learn is unknown.

use std::io;

use rustix::thread::CapabilitySet;
use serde::Serialize;

use super::facts::Facts;
use crate::probe::feature::{self, Support, TRIAL_HITS};
use crate::probe::load::AttachMethod;
use crate::target::host::{is_out_of_files, kernel_version};

/// The first kernel with multi-uprobe links, for a caller who may not ask it.
const MULTI_UPROBE_SINCE: (u32, u32) = (6, 6);

/// [`feature::capabilities_needed`] for one method, in the words of each place where they are given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Least {
    method: AttachMethod,
    needed: &'static str,
    /// For setcap(8), with the capability to read other users' processes.
    pub(super) setcap: &'static str,
    kubernetes: &'static str,
    container: &'static str,
    /// Measured for one process on Linux 6.18; each further one takes two at most.
    open_files: u64,
    open_files_needed: &'static str,
}

const LEAST_BY_LINK: Least = Least {
    method: AttachMethod::UprobeMulti,
    needed: "CAP_BPF and CAP_PERFMON, or CAP_SYS_ADMIN, to place uprobes",
    setcap: "cap_bpf,cap_perfmon,cap_sys_ptrace",
    kubernetes: "in the pod's spec: securityContext: {runAsUser: 0, capabilities: {add: [BPF, PERFMON, SYS_PTRACE]}}",
    container: "start the container as root with --cap-add BPF --cap-add PERFMON --cap-add SYS_PTRACE",
    open_files: 30,
    open_files_needed: "30 to trace one process, and one or two for each more",
};

const LEAST_BY_PERF_EVENT: Least = Least {
    method: AttachMethod::PerfEvent,
    needed: "CAP_SYS_ADMIN to place uprobes; with multi-uprobe links CAP_BPF and CAP_PERFMON would do",
    setcap: "cap_sys_admin,cap_sys_ptrace",
    kubernetes: "in the pod's spec: securityContext: {runAsUser: 0, capabilities: {add: [SYS_ADMIN, SYS_PTRACE]}}",
    container: "start the container as root with --cap-add SYS_ADMIN --cap-add SYS_PTRACE",
    open_files: 40,
    open_files_needed: "40 to trace one process, and one for each probe in each more",
};

/// The least privilege that works on this kernel.
pub(super) fn least(facts: &Facts) -> Least {
    let has_links = match facts.multi_uprobe {
        Support::Yes => true,
        Support::No => false,
        Support::Unknown(_) => {
            kernel_version(&facts.release).is_some_and(|version| version >= MULTI_UPROBE_SINCE)
        }
    };
    if has_links { LEAST_BY_LINK } else { LEAST_BY_PERF_EVENT }
}

/// The oldest kernel that goflow is tested on has ring buffers.
const OLDEST_KERNEL: (u32, u32) = (5, 8);

/// From here on BPF memory is charged to the control group and not to the limit of locked memory.
const NO_MEMLOCK_SINCE: (u32, u32) = (5, 11);

/// Locked memory for the default ring buffer, the programs and the maps.
const MEMLOCK_NEEDED: u64 = 16 << 20;

const AS_ROOT: &str = "sudo goflow doctor";

/// How a check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Status {
    /// As needed.
    Ok,
    /// Tracing works, but slower or with less.
    Warn,
    /// Tracing does not work.
    Fail,
    /// Could not be told.
    Unknown,
}

/// Would tracing work?
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Verdict {
    /// Yes.
    Yes,
    /// No.
    No,
    /// Could not tell.
    Unknown,
}

/// One requirement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Check {
    /// Its name, for people and programs.
    pub(super) id: &'static str,
    /// How it came out.
    pub(super) status: Status,
    /// The value found.
    pub(super) found: String,
    /// The value needed, and for what.
    pub(super) needed: &'static str,
    /// The command or step that mends it.
    pub(super) fix: Option<String>,
}

impl Check {
    fn new(id: &'static str, status: Status, found: impl Into<String>, needed: &'static str) -> Self {
        Self { id, status, found: found.into(), needed, fix: None }
    }

    /// Adds what mends it, unless nothing is to be mended.
    fn mend(mut self, fix: impl Into<String>) -> Self {
        if self.status != Status::Ok {
            self.fix = Some(fix.into());
        }
        self
    }
}

/// Any failure is a no; without one, anything unknown leaves the answer open.
pub(super) fn verdict(checks: &[Check]) -> Verdict {
    let any = |status| checks.iter().any(|check| check.status == status);
    if any(Status::Fail) {
        Verdict::No
    } else if any(Status::Unknown) {
        Verdict::Unknown
    } else {
        Verdict::Yes
    }
}

/// Every check, in the order in which they are worth mending.
pub(super) fn judge(facts: &Facts) -> Vec<Check> {
    let mut checks = vec![
        architecture(facts),
        kernel(facts),
        capabilities(facts),
        user_namespace(facts),
        pid_namespace(facts),
        bpf(facts),
        ring_buffer(facts),
        uprobes(facts),
        trial(facts),
        multi_uprobe(facts),
        cookies(facts),
        btf(facts),
        jit(facts),
        memory_reads(facts),
        open_files(facts),
    ];
    checks.extend(
        [memlock(facts), paranoid(facts), lockdown(facts), seccomp(facts), hidepid(facts)]
            .into_iter()
            .flatten(),
    );
    checks
}

fn architecture(facts: &Facts) -> Check {
    let status = if facts.architecture == "x86_64" { Status::Ok } else { Status::Fail };
    Check::new("architecture", status, facts.architecture, "x86_64, the one goflow knows Go's registers of")
        .mend("run goflow on an x86-64 machine")
}

fn kernel(facts: &Facts) -> Check {
    let status = match kernel_version(&facts.release) {
        // Vendors bring BPF to older kernels, so the features below have the last word.
        Some(version) if version < OLDEST_KERNEL => Status::Warn,
        Some(_) => Status::Ok,
        None => Status::Warn,
    };
    Check::new("kernel", status, &facts.release, "Linux 5.8 or later, unless every feature below is there")
        .mend("install a newer kernel of your distribution")
}

fn has(facts: &Facts, capability: CapabilitySet) -> bool {
    facts.capabilities.as_ref().is_ok_and(|set| set.contains(capability))
}

/// True when this process may place probes, as far as capabilities go.
fn may_probe(facts: &Facts) -> bool {
    facts.capabilities.as_ref().is_ok_and(|held| feature::may_probe(*held, least(facts).method))
}

fn capabilities(facts: &Facts) -> Check {
    let least = least(facts);
    let status = match &facts.capabilities {
        // What has just worked is not missing anything.
        _ if facts.trial.is_ok() || may_probe(facts) => Status::Ok,
        Ok(_) => Status::Fail,
        Err(_) => Status::Unknown,
    };
    let found = match &facts.capabilities {
        Ok(set) => held(*set),
        Err(error) => format!("the capabilities of this process could not be read: {error}"),
    };
    let fix = match facts.container {
        None => {
            format!("run goflow with sudo, or once: sudo setcap {}+ep $(command -v goflow)", least.setcap)
        }
        Some("Kubernetes") => least.kubernetes.to_owned(),
        Some(_) => least.container.to_owned(),
    };
    Check::new("capabilities", status, found, least.needed).mend(fix)
}

/// Those of the capabilities that matter here which are held.
fn held(set: CapabilitySet) -> String {
    let held = feature::capability_names(set);
    if held.is_empty() { "none of those that tracing needs".to_owned() } else { held.join(", ") }
}

fn user_namespace(facts: &Facts) -> Check {
    let (status, found) = match facts.in_initial_user_namespace {
        Some(true) => (Status::Ok, "the initial one"),
        Some(false) => (Status::Fail, "one of its own: capabilities here mean nothing to the kernel"),
        None => (Status::Unknown, "could not be read"),
    };
    Check::new("user namespace", status, found, "the initial user namespace")
        .mend("run goflow outside, or in a container that is not rootless and not remapped")
}

fn pid_namespace(facts: &Facts) -> Check {
    let (status, found) = match facts.in_initial_pid_namespace {
        Some(true) => (Status::Ok, "the initial one"),
        Some(false) => {
            (Status::Fail, "one of a container: the kernel reports other pids than those seen here")
        }
        None => (Status::Unknown, "could not be read"),
    };
    let fix = match facts.container {
        Some("Kubernetes") => "hostPID: true in the pod's spec",
        Some(_) | None => "start the container with --pid=host, or run goflow on the host",
    };
    Check::new("pid namespace", status, found, "the initial pid namespace, as the kernel reports pids")
        .mend(fix)
}

/// A check of a feature that tracing cannot do without.
fn feature(id: &'static str, support: &Support, needed: &'static str, facts: &Facts) -> Check {
    match support {
        Support::Yes => Check::new(id, Status::Ok, "yes", needed),
        Support::No => Check::new(id, Status::Fail, "no", needed).mend("use a kernel that has it"),
        Support::Unknown(error) => {
            let status = if is_seccomp_refusal(error, facts) { Status::Fail } else { Status::Unknown };
            let check = Check::new(id, status, format!("the kernel would not say: {error}"), needed);
            check.mend(if status == Status::Fail { NO_SECCOMP } else { how_to_ask(error) })
        }
    }
}

/// What lets the kernel be asked.
fn how_to_ask(error: &io::Error) -> &'static str {
    if is_out_of_files(error) { "see open files" } else { AS_ROOT }
}

const NO_SECCOMP: &str = "start the container with --security-opt seccomp=unconfined, or privileged";

/// With the capability and a filter in place, it is the filter that refuses.
fn is_seccomp_refusal(error: &io::Error, facts: &Facts) -> bool {
    error.kind() == io::ErrorKind::PermissionDenied
        && facts.seccomp == Some(2)
        && may_probe(facts)
        && facts.in_initial_user_namespace == Some(true)
}

fn bpf(facts: &Facts) -> Check {
    feature("bpf", &facts.programs, "bpf(2) with programs for probes (CONFIG_BPF_EVENTS)", facts)
}

fn ring_buffer(facts: &Facts) -> Check {
    feature("ring buffer", &facts.ring_buffer, "BPF ring buffers (Linux 5.8)", facts)
}

fn uprobes(facts: &Facts) -> Check {
    let needed = "the uprobe PMU (CONFIG_UPROBE_EVENTS)";
    match &facts.uprobe_pmu {
        Ok(number) => Check::new("uprobes", Status::Ok, format!("PMU {number}"), needed),
        Err(error) => {
            let status = if facts.multi_uprobe.is_yes() { Status::Warn } else { Status::Fail };
            Check::new("uprobes", status, format!("no PMU: {error}"), needed)
                .mend("mount /sys, or use a kernel built with CONFIG_UPROBE_EVENTS=y")
        }
    }
}

fn trial(facts: &Facts) -> Check {
    let needed = "a probe in goflow's own code is placed and hit";
    let check = |status, found: String| Check::new("trial", status, found, needed);
    match &facts.trial {
        // Another goflow that tries at the same moment hits the same probe.
        Ok(hits @ TRIAL_HITS..) => check(Status::Ok, format!("{hits} hits of {TRIAL_HITS} counted")),
        Ok(hits) => check(Status::Fail, format!("{hits} hits of {TRIAL_HITS} counted"))
            .mend("this kernel or sandbox does not run uprobes as Linux does; use another"),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            let fix = if is_seccomp_refusal(error, facts) { NO_SECCOMP } else { "see capabilities" };
            check(Status::Fail, format!("refused: {error}")).mend(fix)
        }
        Err(error) if is_out_of_files(error) => {
            check(Status::Fail, format!("not tried: {error}")).mend("see open files")
        }
        Err(error) => check(Status::Fail, format!("refused: {error}"))
            .mend("is the executable on a file system without page cache? copy goflow to a local disk"),
    }
}

fn multi_uprobe(facts: &Facts) -> Check {
    let needed = "links for many uprobes (Linux 6.6); without, attaching takes seconds on a busy machine";
    match &facts.multi_uprobe {
        Support::Yes => Check::new("multi-uprobe", Status::Ok, "yes", needed),
        Support::No => Check::new("multi-uprobe", Status::Warn, "no: one perf event for each probe", needed)
            .mend("nothing needs mending; Linux 6.6 or later attaches faster"),
        Support::Unknown(error) => {
            Check::new("multi-uprobe", Status::Unknown, format!("the kernel would not say: {error}"), needed)
                .mend(how_to_ask(error))
        }
    }
}

/// Only multi-uprobe links need cookies, and every kernel with those has them: never a reason not to trace.
fn cookies(facts: &Facts) -> Check {
    let found = match &facts.cookies {
        Support::Yes => "yes".to_owned(),
        Support::No => "no: one program for each probe instead".to_owned(),
        Support::Unknown(error) => format!("the kernel would not say: {error}; not required"),
    };
    Check::new("cookies", Status::Ok, found, "nothing; cookies (Linux 5.15) save programs")
}

/// goflow reads no kernel structs, so it brings its own types and needs none of the kernel's.
fn btf(facts: &Facts) -> Check {
    let found = if facts.has_btf { "/sys/kernel/btf/vmlinux" } else { "absent; not required" };
    Check::new("btf", Status::Ok, found, "nothing; goflow reads no kernel structs")
}

fn jit(facts: &Facts) -> Check {
    let needed = "1; an interpreted program makes each hit slower for the target";
    match facts.bpf_jit {
        // The file is readable by root alone on some distributions, and absent where the JIT is always on.
        None => Check::new("bpf jit", Status::Ok, "always on, or not readable", needed),
        Some(0) => Check::new("bpf jit", Status::Warn, "net.core.bpf_jit_enable = 0", needed)
            .mend("sudo sysctl net.core.bpf_jit_enable=1"),
        Some(value) => {
            Check::new("bpf jit", Status::Ok, format!("net.core.bpf_jit_enable = {value}"), needed)
        }
    }
}

/// Names of element types are read from the target's memory, and its executable from `/proc`.
fn memory_reads(facts: &Facts) -> Check {
    let needed = "CAP_SYS_PTRACE, and kernel.yama.ptrace_scope below 3, to read processes of other users";
    if facts.ptrace_scope == Some(3) {
        return Check::new(
            "memory reads",
            Status::Warn,
            "kernel.yama.ptrace_scope = 3 forbids them to all",
            needed,
        )
        .mend("reboot with a lower kernel.yama.ptrace_scope in /etc/sysctl.d: 3 cannot be taken back");
    }
    if has(facts, CapabilitySet::SYS_PTRACE) {
        return Check::new("memory reads", Status::Ok, "CAP_SYS_PTRACE", needed);
    }
    // Documentation/admin-guide/LSM/Yama.rst: 1 leaves a process its descendants, 2 leaves none without the capability.
    let found = match facts.ptrace_scope {
        None | Some(0) => "only processes of this user",
        Some(1) => "only of commands that goflow starts: kernel.yama.ptrace_scope = 1",
        Some(_) => "none: kernel.yama.ptrace_scope = 2",
    };
    Check::new("memory reads", Status::Warn, found, needed)
        .mend("run goflow with sudo, or give it CAP_SYS_PTRACE")
}

/// What goflow can do here where it cannot probe: whose memory it may read.
pub(super) fn without_probes(facts: &Facts) -> Option<&'static str> {
    if facts.architecture != "x86_64" || facts.in_initial_pid_namespace != Some(true) {
        return None;
    }
    match (facts.ptrace_scope, has(facts, CapabilitySet::SYS_PTRACE)) {
        (Some(3..), _) => None,
        (_, true) => Some("goflow snapshot --pid PID, goflow trace --level snapshot --pid PID"),
        (None | Some(0), false) => Some(
            "goflow snapshot --pid PID, goflow trace --level snapshot --pid PID, of processes of this user",
        ),
        (Some(_), false) => None,
    }
}

/// A trace of processes raises its own limit as far as it may; one that starts a command leaves it as that is to have it.
fn open_files(facts: &Facts) -> Check {
    let least = least(facts);
    let is_enough = |limit: Option<u64>| limit.is_none_or(|limit| limit >= least.open_files);
    let (soft, hard) = facts.open_files;
    let status = match (is_enough(soft), is_enough(hard)) {
        (true, _) => Status::Ok,
        (false, true) => Status::Warn,
        (false, false) => Status::Fail,
    };
    let found = soft.map_or("unlimited".to_owned(), |limit| limit.to_string());
    let fix = match status {
        Status::Warn => {
            "ulimit -n 1024, for `goflow trace -- CMD`; a trace of running processes allows itself more"
        }
        _ => "ulimit -n 1024; LimitNOFILE= of a systemd unit, nofile of a container",
    };
    Check::new("open files", status, found, least.open_files_needed).mend(fix)
}

fn memlock(facts: &Facts) -> Option<Check> {
    if kernel_version(&facts.release)? >= NO_MEMLOCK_SINCE {
        return None;
    }
    let found = facts.memlock.map_or("unlimited".to_owned(), |bytes| format!("{} KiB", bytes / 1024));
    let enough =
        facts.memlock.is_none_or(|bytes| bytes >= MEMLOCK_NEEDED) || has(facts, CapabilitySet::SYS_RESOURCE);
    let status = if enough { Status::Ok } else { Status::Fail };
    let needed = "16 MiB of locked memory or CAP_SYS_RESOURCE, on kernels before 5.11";
    Some(Check::new("memlock", status, found, needed).mend("ulimit -l unlimited, or run goflow with sudo"))
}

/// They do not bind a holder of the capabilities; without those, the capabilities are the thing to mend.
fn paranoid(facts: &Facts) -> Option<Check> {
    let found = format!(
        "kernel.perf_event_paranoid = {}, kernel.unprivileged_bpf_disabled = {}; they bind only who lacks capabilities",
        facts.perf_event_paranoid?,
        facts.unprivileged_bpf_disabled.map_or("?".to_owned(), |value| value.to_string())
    );
    Some(Check::new("sysctls", Status::Ok, found, "nothing, with the capabilities"))
}

/// Lockdown restricts kprobes, kernel memory and writes to user memory, none of which goflow uses; it was not tried.
fn lockdown(facts: &Facts) -> Option<Check> {
    let level = facts.lockdown.as_deref()?;
    let status = if level == "confidentiality" { Status::Warn } else { Status::Ok };
    let needed =
        "none or integrity; what goflow does is not on the list of the third, but it was not tried there";
    Some(
        Check::new("lockdown", status, level, needed)
            .mend("if the trial fails, boot with lockdown=integrity"),
    )
}

/// A filter matters only where it refuses, which the checks of the features show.
fn seccomp(facts: &Facts) -> Option<Check> {
    let filtered = facts.seccomp? == 2;
    let found = if filtered {
        "a filter is in place; the checks above tell whether it matters"
    } else {
        return None;
    };
    Some(Check::new("seccomp", Status::Ok, found, "no filter that refuses bpf(2) or perf_event_open(2)"))
}

fn hidepid(facts: &Facts) -> Option<Check> {
    let value = facts.hidepid.as_deref()?;
    let status = if has(facts, CapabilitySet::SYS_PTRACE) { Status::Ok } else { Status::Warn };
    let needed = "no hidepid, or CAP_SYS_PTRACE, to see processes of other users";
    Some(
        Check::new("hidepid", status, format!("/proc is mounted with hidepid={value}"), needed)
            .mend("run goflow with sudo, or: sudo mount -o remount,hidepid=0 /proc"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A machine on which everything is as it should be.
    fn healthy() -> Facts {
        Facts {
            architecture: "x86_64",
            release: "6.18.0-cloud-amd64".to_owned(),
            programs: Support::Yes,
            ring_buffer: Support::Yes,
            cookies: Support::Yes,
            multi_uprobe: Support::Yes,
            uprobe_pmu: Ok(9),
            trial: Ok(TRIAL_HITS),
            has_btf: true,
            capabilities: Ok(CapabilitySet::all()),
            in_initial_user_namespace: Some(true),
            in_initial_pid_namespace: Some(true),
            container: None,
            memlock: Some(8 << 20),
            open_files: (Some(1024), Some(1 << 20)),
            perf_event_paranoid: Some(2),
            unprivileged_bpf_disabled: Some(2),
            ptrace_scope: Some(1),
            bpf_jit: Some(1),
            lockdown: None,
            seccomp: Some(0),
            hidepid: None,
        }
    }

    fn refused() -> io::Error {
        io::Error::from_raw_os_error(libc::EPERM)
    }

    /// An ordinary user of the same machine.
    fn unprivileged() -> Facts {
        Facts {
            programs: Support::Unknown(refused()),
            ring_buffer: Support::Unknown(refused()),
            cookies: Support::Unknown(refused()),
            multi_uprobe: Support::Unknown(refused()),
            trial: Err(io::Error::from_raw_os_error(libc::EACCES)),
            capabilities: Ok(CapabilitySet::empty()),
            ..healthy()
        }
    }

    fn check(facts: &Facts, id: &str) -> Check {
        judge(facts).into_iter().find(|check| check.id == id).unwrap_or_else(|| panic!("no check {id}"))
    }

    /// The verdict, and the checks that are not ok.
    fn outcome(facts: &Facts) -> (Verdict, Vec<(&'static str, Status)>) {
        let checks = judge(facts);
        let wrong = checks.iter().filter(|check| check.status != Status::Ok);
        (verdict(&checks), wrong.map(|check| (check.id, check.status)).collect())
    }

    #[test]
    fn a_limit_on_open_files_is_what_is_to_be_mended() {
        let too_many = || io::Error::from_raw_os_error(libc::EMFILE);
        let limited = Facts { trial: Err(too_many()), open_files: (Some(4), Some(4)), ..healthy() };
        assert_eq!(
            outcome(&limited),
            (Verdict::No, vec![("trial", Status::Fail), ("open files", Status::Fail)])
        );
        assert_eq!(check(&limited, "trial").fix.as_deref(), Some("see open files"));
        assert!(check(&limited, "open files").fix.unwrap().contains("ulimit -n 1024"));
        let for_links =
            |soft, hard| check(&Facts { open_files: (soft, hard), ..healthy() }, "open files").status;
        assert_eq!(for_links(Some(29), Some(29)), Status::Fail);
        assert_eq!(for_links(Some(29), None), Status::Warn);
        assert_eq!(for_links(Some(30), Some(30)), Status::Ok);
        let without = Facts { multi_uprobe: Support::No, open_files: (Some(30), Some(30)), ..healthy() };
        assert_eq!(check(&without, "open files").status, Status::Fail);
        let unasked = Facts { multi_uprobe: Support::Unknown(too_many()), ..limited };
        assert_eq!(check(&unasked, "multi-uprobe").fix.as_deref(), Some("see open files"));
    }

    #[test]
    fn a_healthy_machine_gets_a_yes_and_nothing_to_mend() {
        assert_eq!(outcome(&healthy()), (Verdict::Yes, vec![]));
        assert!(judge(&healthy()).iter().all(|check| check.fix.is_none()));
    }

    #[test]
    fn an_ordinary_user_is_told_the_capability_and_the_least_that_works() {
        let (verdict, _) = outcome(&unprivileged());
        assert_eq!(verdict, Verdict::No);
        let capabilities = check(&unprivileged(), "capabilities");
        assert_eq!(capabilities.status, Status::Fail);
        assert!(capabilities.fix.unwrap().contains("setcap cap_bpf,cap_perfmon,cap_sys_ptrace+ep"));
        assert_eq!(check(&unprivileged(), "ring buffer").status, Status::Unknown);
    }

    #[test]
    fn the_least_privilege_depends_on_the_kernel() {
        let narrow = || CapabilitySet::BPF | CapabilitySet::PERFMON | CapabilitySet::SYS_PTRACE;
        let facts = Facts { capabilities: Ok(narrow()), ..healthy() };
        assert_eq!(outcome(&facts), (Verdict::Yes, vec![]));
        let facts = Facts {
            multi_uprobe: Support::No,
            trial: Err(io::Error::from_raw_os_error(libc::EACCES)),
            capabilities: Ok(narrow()),
            ..healthy()
        };
        assert_eq!(outcome(&facts).0, Verdict::No);
        assert!(
            check(&facts, "capabilities").fix.unwrap().contains("setcap cap_sys_admin,cap_sys_ptrace+ep")
        );
        let old = Facts { release: "6.1.0-40-amd64".to_owned(), ..unprivileged() };
        assert!(check(&old, "capabilities").fix.unwrap().contains("cap_sys_admin"));
    }

    #[test]
    fn what_cannot_be_told_is_neither_yes_nor_no() {
        let facts = Facts { ring_buffer: Support::Unknown(refused()), ..healthy() };
        assert_eq!(outcome(&facts), (Verdict::Unknown, vec![("ring buffer", Status::Unknown)]));
    }

    #[test]
    fn everything_that_is_not_ok_says_how_to_mend_it() {
        let all_wrong = Facts {
            architecture: "aarch64",
            release: "4.18.0".to_owned(),
            ring_buffer: Support::No,
            multi_uprobe: Support::No,
            cookies: Support::No,
            uprobe_pmu: Err(io::ErrorKind::NotFound.into()),
            in_initial_user_namespace: Some(false),
            in_initial_pid_namespace: Some(false),
            memlock: Some(64 << 10),
            ptrace_scope: Some(3),
            bpf_jit: Some(0),
            lockdown: Some("confidentiality".to_owned()),
            hidepid: Some("2".to_owned()),
            seccomp: Some(2),
            ..unprivileged()
        };
        let wrong: Vec<_> =
            judge(&all_wrong).into_iter().filter(|check| check.status != Status::Ok).collect();
        assert!(wrong.len() >= 14, "{wrong:#?}");
        for check in wrong {
            assert!(check.fix.is_some() && !check.needed.is_empty() && !check.found.is_empty(), "{check:?}");
        }
    }

    #[test]
    fn an_old_kernel_with_every_feature_still_traces_but_is_warned_about() {
        let facts = Facts {
            release: "4.18.0-553.el8".to_owned(),
            multi_uprobe: Support::No,
            cookies: Support::No,
            memlock: None,
            ..healthy()
        };
        let expected = vec![("kernel", Status::Warn), ("multi-uprobe", Status::Warn)];
        assert_eq!(outcome(&facts), (Verdict::Yes, expected));
    }

    #[test]
    fn locked_memory_matters_only_before_5_11_and_without_the_capability() {
        let old =
            || Facts { release: "5.10.0-32-cloud-amd64".to_owned(), memlock: Some(64 << 10), ..healthy() };
        let without = CapabilitySet::all() - CapabilitySet::SYS_RESOURCE;
        assert_eq!(check(&old(), "memlock").status, Status::Ok);
        assert_eq!(check(&Facts { capabilities: Ok(without), ..old() }, "memlock").status, Status::Fail);
        assert_eq!(
            check(&Facts { capabilities: Ok(without), memlock: None, ..old() }, "memlock").status,
            Status::Ok
        );
        assert!(!judge(&healthy()).iter().any(|check| check.id == "memlock"));
    }

    #[test]
    fn a_container_is_told_in_its_own_words() {
        let facts =
            Facts { container: Some("Kubernetes"), in_initial_pid_namespace: Some(false), ..unprivileged() };
        assert!(check(&facts, "pid namespace").fix.unwrap().contains("hostPID: true"));
        assert!(check(&facts, "capabilities").fix.unwrap().contains("SYS_PTRACE"));
        let facts = Facts { container: Some("Docker"), ..facts };
        assert!(check(&facts, "pid namespace").fix.unwrap().contains("--pid=host"));
    }

    #[test]
    fn a_refusal_to_root_under_a_filter_is_the_filters() {
        let facts = Facts { programs: Support::Unknown(refused()), seccomp: Some(2), ..healthy() };
        let bpf = check(&facts, "bpf");
        assert_eq!(bpf.status, Status::Fail);
        assert!(bpf.fix.unwrap().contains("seccomp"));
    }

    #[test]
    fn a_sandbox_that_accepts_a_probe_but_never_hits_it_is_found_out() {
        let facts = Facts { trial: Ok(0), ..healthy() };
        assert_eq!(outcome(&facts), (Verdict::No, vec![("trial", Status::Fail)]));
    }

    #[test]
    fn what_works_without_probes_is_told_where_the_kernel_lets_it() {
        let facts = |ptrace_scope, capabilities| Facts {
            ptrace_scope,
            capabilities: Ok(capabilities),
            trial: Err(refused()),
            ..healthy()
        };
        let (none, reads) = (CapabilitySet::empty(), CapabilitySet::SYS_PTRACE);
        for scope in [None, Some(0)] {
            let told = without_probes(&facts(scope, none)).unwrap();
            assert!(told.ends_with("of processes of this user"), "{told}");
        }
        for scope in [1, 2, 3] {
            assert_eq!(without_probes(&facts(Some(scope), none)), None, "{scope}");
            let found = check(&facts(Some(scope), none), "memory reads").found;
            assert!(found.contains(&format!("ptrace_scope = {scope}")), "{found}");
            assert_eq!(without_probes(&facts(Some(scope), reads)).is_some(), scope < 3);
        }
        let contained = Facts { in_initial_pid_namespace: Some(false), ..facts(Some(0), none) };
        assert_eq!(without_probes(&contained), None);
    }

    #[test]
    fn without_ptrace_tracing_works_with_less() {
        let without = CapabilitySet::all() - CapabilitySet::SYS_PTRACE;
        let facts = Facts { capabilities: Ok(without), hidepid: Some("1".to_owned()), ..healthy() };
        let expected = vec![("memory reads", Status::Warn), ("hidepid", Status::Warn)];
        assert_eq!(outcome(&facts), (Verdict::Yes, expected));
    }
}
