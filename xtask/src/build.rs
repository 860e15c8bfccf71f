//! `cargo xtask build`: the release `goflow`, the one that demo, test and install use.
//!
//! The C library is linked statically, so that the file runs on any Linux of its architecture, musl or old glibc.

use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::cmd::{capture, headline, run};
use crate::ctx::Ctx;
use crate::setup::{self, Scope};

/// Build the release goflow, with the eBPF programs embedded.
///
/// The result is one static file without dependencies, under target/.
#[derive(clap::Args)]
pub(crate) struct Args {}

/// Sets up, builds, says where it is.
pub(crate) fn run_task(ctx: &Ctx, _args: &Args) -> Result<()> {
    setup::ensure(ctx, Scope::Build)?;
    let binary = release(ctx)?;
    println!("{}", binary.display());
    Ok(())
}

/// Builds (or finds fresh) the release binary and returns its path.
pub(crate) fn release(ctx: &Ctx) -> Result<PathBuf> {
    headline("build: goflow (release)");
    run(&mut release_command(ctx)?)?;
    release_path(ctx)
}

/// Where [`release`] puts it.
pub(crate) fn release_path(ctx: &Ctx) -> Result<PathBuf> {
    Ok(ctx.root.join("target").join(host(ctx)?).join("release/goflow"))
}

/// With an explicit target, the flags below reach goflow and not the build scripts and macros.
pub(crate) fn release_command(ctx: &Ctx) -> Result<std::process::Command> {
    let host = host(ctx)?;
    let flags = format!("CARGO_TARGET_{}_RUSTFLAGS", host.to_uppercase().replace('-', "_"));
    let mut cargo = ctx.cargo();
    cargo.env(flags, "-Ctarget-feature=+crt-static");
    cargo.args(["build", "--release", "--package", "goflow-user", "--bin", "goflow", "--target", &host]);
    Ok(cargo)
}

/// The triple that rustc compiles for by default.
pub(crate) fn host(ctx: &Ctx) -> Result<String> {
    let version = capture(ctx.command("rustc").arg("-vV"))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("`rustc -vV` names no host")?.to_owned())
}
