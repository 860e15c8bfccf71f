//! Debian packages: installed by apt-get as root, or unpacked into a directory as the caller.
//!
//! Refuses other systems with the list of packages, so that their users know what to look for.

use std::ffi::OsString;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::cmd::{capture, find_program, headline, run};
use crate::ctx::Ctx;

/// Installs `packages`. Nothing to install is no work.
pub(super) fn install(ctx: &Ctx, packages: &[&str]) -> Result<()> {
    if packages.is_empty() {
        return Ok(());
    }
    headline(&format!("setup: Debian packages {}", packages.join(" ")));
    let unknown =
        || packages.iter().copied().filter(|package| candidate(package).is_none()).collect::<Vec<_>>();
    if !unknown().is_empty() {
        refresh_lists(ctx, packages)?;
    }
    let unknown = unknown();
    if !unknown.is_empty() {
        bail!(
            "apt knows no package {}; Debian 12 and 13 have it in their main and security archives, \
             check /etc/apt/sources.list",
            unknown.join(", ")
        );
    }
    run(apt_get(ctx)?.args(["install", "--yes", "--quiet", "--no-install-recommends"]).args(packages))
}

/// Version that apt would install of `package`; `None` when its lists know none.
pub(super) fn candidate(package: &str) -> Option<String> {
    let policy = capture(std::process::Command::new("apt-cache").args(["policy", package])).ok()?;
    let version = policy.lines().find_map(|line| line.trim().strip_prefix("Candidate: "))?;
    (version != "(none)").then(|| version.to_owned())
}

/// Fetches `packages` and unpacks them into `into`, which then has their `usr`, `etc` and so on. Runs as the caller,
/// runs no maintainer script.
pub(super) fn unpack(ctx: &Ctx, packages: &[&str], into: &Path) -> Result<()> {
    let debs = Scratch::new(&ctx.cache, "debs")?;
    let mut download = ctx.command("apt-get");
    download
        .current_dir(&debs.0)
        .args(["download", "--quiet", "-o", "APT::Sandbox::User=root"])
        .args(packages);
    if run(&mut download).is_err() {
        // No lists yet, or lists that name a superseded version.
        refresh_lists(ctx, packages)?;
        run(&mut download)?;
    }
    fs::create_dir_all(into).with_context(|| format!("cannot create {}", into.display()))?;
    for entry in fs::read_dir(&debs.0)? {
        run(ctx.command("dpkg").arg("--extract").arg(entry?.path()).arg(into))?;
    }
    Ok(())
}

/// Brings apt's package lists up to date. Refuses a system without apt, naming what is wanted.
pub(super) fn refresh_lists(ctx: &Ctx, packages: &[&str]) -> Result<()> {
    if find_program("apt-get").is_none() {
        bail!(
            "this system has no apt-get; install what these Debian packages contain by its own means, then run this again: {}",
            packages.join(" ")
        );
    }
    // A third-party source that is down must not keep us from Debian's own.
    if let Err(error) = run(apt_get(ctx)?.args(["update", "--quiet"])) {
        eprintln!("warning: {error:#}; going on with the package lists that are there");
    }
    Ok(())
}

fn apt_get(ctx: &Ctx) -> Result<std::process::Command> {
    ctx.as_root("apt-get", &[("DEBIAN_FRONTEND", OsString::from("noninteractive"))])
}

/// A directory in the cache (so that a rename out of it stays on one file system), removed when dropped.
pub(super) struct Scratch(pub(super) std::path::PathBuf);

impl Scratch {
    /// Makes `<cache>/tmp/<name>-<pid>`, empty.
    pub(super) fn new(cache: &Path, name: &str) -> Result<Self> {
        let dir = cache.join(format!("tmp/{name}-{}", std::process::id()));
        fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
        Ok(Self(dir))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Left behind it would only waste space, and there is nobody to tell.
        let _ = fs::remove_dir_all(&self.0);
    }
}
