//! Go programs as their vendors ship them, for tests: unpacked into the cache, never installed, never started here.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::debian::{self, Scratch};
use super::list::Look;
use crate::cmd::{find_program, is_executable, run};
use crate::ctx::Ctx;

/// How these come.
pub(super) const UNPACKED: &str = "Debian's package, unpacked into the cache and not installed";

/// Version of npm's esbuild.
const ESBUILD: &str = "0.28.2";

/// Is the program in the cache?
pub(super) fn look(ctx: &Ctx, name: &str) -> Look {
    let file = ctx.services().join(name);
    if is_executable(&file) { Look::Here(file.display().to_string()) } else { Look::Missing }
}

/// Takes `/usr/bin/<program>` out of a Debian package.
pub(super) fn unpack(ctx: &Ctx, package: &str, program: &str) -> Result<()> {
    let scratch = Scratch::new(&ctx.cache, package)?;
    debian::unpack(ctx, &[package], &scratch.0)?;
    keep(ctx, &scratch.0.join("usr/bin").join(program), program)
}

/// npm is only asked for where it will be used.
pub(super) fn look_npm(ctx: &Ctx) -> Look {
    match look(ctx, "esbuild") {
        Look::Here(_) => Look::Here("not needed any more: esbuild is there".to_owned()),
        Look::Missing => {
            find_program("npm").map_or(Look::Missing, |npm| Look::Here(npm.display().to_string()))
        }
    }
}

/// Fetches esbuild's platform package by `npm pack`, which runs nothing of it.
pub(super) fn get_esbuild(ctx: &Ctx) -> Result<()> {
    let arch = if cfg!(target_arch = "aarch64") { "arm64" } else { "x64" };
    let scratch = Scratch::new(&ctx.cache, "esbuild")?;
    run(ctx
        .command("npm")
        .args(["pack", "--silent", &format!("@esbuild/linux-{arch}@{ESBUILD}"), "--pack-destination"])
        .arg(&scratch.0))?;
    let tarball = scratch.0.join(format!("esbuild-linux-{arch}-{ESBUILD}.tgz"));
    run(ctx.command("tar").arg("-xzf").arg(tarball).arg("-C").arg(&scratch.0))?;
    keep(ctx, &scratch.0.join("package/bin/esbuild"), "esbuild")
}

fn keep(ctx: &Ctx, file: &Path, name: &str) -> Result<()> {
    let services = ctx.services();
    fs::create_dir_all(&services)?;
    fs::rename(file, services.join(name)).with_context(|| format!("the package has no {}", file.display()))
}
