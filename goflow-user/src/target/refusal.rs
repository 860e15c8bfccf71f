//! Why the kernel does not let goflow look at a process, as far as that can be known.
//!
//! In: what stands in /proc and /sys; out: sentences. What is hard: ptrace(2) lists five reasons ("Ptrace access mode
//! checking"), all of which are one and the same EPERM or EACCES. The capability is only the most frequent of them.

use rustix::thread::{CapabilitySet, capabilities};
use std::fs;

/// What decides on it besides the two processes' users.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// goflow has CAP_SYS_PTRACE, in its user namespace.
    has_capability: bool,
    in_initial_user_namespace: bool,
    /// `kernel.yama.ptrace_scope`; `None` where there is no Yama.
    ptrace_scope: Option<u32>,
    /// The active security modules, as the kernel lists them; empty where it does not tell.
    modules: String,
}

/// Security modules that have rules about who may trace whom; Yama has a switch instead.
const WITH_RULES: [&str; 5] = ["selinux", "apparmor", "smack", "tomoyo", "landlock"];

impl Refusal {
    /// That of this process, now.
    #[must_use]
    pub fn detect() -> Self {
        let read = |path: &str| fs::read_to_string(path).ok();
        Self {
            has_capability: capabilities(None)
                .is_ok_and(|sets| sets.effective.contains(CapabilitySet::SYS_PTRACE)),
            // user_namespaces(7): the initial one maps every id to itself.
            in_initial_user_namespace: read("/proc/self/uid_map")
                .is_none_or(|map| map.split_ascii_whitespace().eq(["0", "0", "4294967295"])),
            ptrace_scope: read("/proc/sys/kernel/yama/ptrace_scope")
                .and_then(|text| text.trim().parse().ok()),
            modules: read("/sys/kernel/security/lsm").unwrap_or_default(),
        }
    }

    /// What to say behind "process N may not be looked at".
    #[must_use]
    pub fn sentence(&self) -> &'static str {
        match (self.has_capability, self.in_initial_user_namespace) {
            (_, false) => "without CAP_SYS_PTRACE in the initial user namespace (goflow is in another)",
            (false, true) => "without CAP_SYS_PTRACE (run goflow with sudo)",
            (true, true) => "although goflow has CAP_SYS_PTRACE",
        }
    }

    /// What to do about memory that may not be read.
    #[must_use]
    pub fn advice_to_read(&self) -> String {
        // Yama restricts only what attaching needs as well (Documentation/admin-guide/LSM/Yama.rst).
        if self.ptrace_scope == Some(3) {
            return "kernel.yama.ptrace_scope is 3, which forbids it to everybody: reboot with a lower one"
                .to_owned();
        }
        self.advice_to_look()
    }

    /// What to do about a process whose program may not be opened.
    #[must_use]
    pub fn advice_to_look(&self) -> String {
        if !self.in_initial_user_namespace {
            let why = "in a user namespace CAP_SYS_PTRACE is not that of the host";
            return format!(
                "{why}: run goflow on the host, or in a container without a user namespace of its own"
            );
        }
        if !self.has_capability {
            return "reading a process needs CAP_SYS_PTRACE, or the same user, a process that may dump core, and \
                    kernel.yama.ptrace_scope=0: run it with sudo"
                .to_owned();
        }
        let active: Vec<&str> =
            self.modules.trim().split(',').filter(|module| WITH_RULES.contains(module)).collect();
        let which = if active.is_empty() { String::new() } else { format!(" ({})", active.join(", ")) };
        format!(
            "goflow has CAP_SYS_PTRACE, so a security module{which} or a sandbox forbids it: \
             `dmesg` or the audit log names the rule"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn free() -> Refusal {
        Refusal {
            has_capability: true,
            in_initial_user_namespace: true,
            ptrace_scope: Some(1),
            modules: "lockdown,capability,yama,apparmor,bpf\n".to_owned(),
        }
    }

    #[test]
    fn a_capability_that_goflow_has_is_not_to_blame() {
        assert_eq!(free().sentence(), "although goflow has CAP_SYS_PTRACE");
        assert!(
            free().advice_to_look().contains("a security module (apparmor) or a sandbox"),
            "{}",
            free().advice_to_look()
        );
        let bare = Refusal { modules: String::new(), ..free() };
        assert!(
            bare.advice_to_look().contains("a security module or a sandbox"),
            "{}",
            bare.advice_to_look()
        );
    }

    #[test]
    fn what_certainly_forbids_it_is_named_first() {
        let locked = Refusal { ptrace_scope: Some(3), ..free() };
        assert!(locked.advice_to_read().contains("ptrace_scope is 3"), "{}", locked.advice_to_read());
        assert_eq!(locked.advice_to_look(), free().advice_to_look());
        let contained = Refusal { in_initial_user_namespace: false, ..free() };
        assert!(contained.sentence().contains("initial user namespace"));
        assert!(
            contained.advice_to_read().contains("run goflow on the host"),
            "{}",
            contained.advice_to_read()
        );
    }

    #[test]
    fn without_the_capability_that_is_what_helps() {
        let user = Refusal { has_capability: false, ptrace_scope: None, ..free() };
        assert!(user.sentence().contains("run goflow with sudo"));
        assert!(
            user.advice_to_read().contains("CAP_SYS_PTRACE, or the same user"),
            "{}",
            user.advice_to_read()
        );
    }

    #[test]
    fn root_has_the_capability() {
        if rustix::process::geteuid().is_root() && Refusal::detect().in_initial_user_namespace {
            let sets = fs::read_to_string("/proc/self/status").unwrap();
            let effective = sets.lines().find_map(|line| line.strip_prefix("CapEff:")).unwrap().trim();
            // capability.h: CAP_SYS_PTRACE is 19.
            let has = u64::from_str_radix(effective, 16).unwrap() & (1 << 19) != 0;
            assert_eq!(Refusal::detect().has_capability, has);
        }
    }
}
