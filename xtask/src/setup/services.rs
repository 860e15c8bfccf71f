//! Go programs as their vendors ship them, for tests: unpacked into the cache, never installed, never started here.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use super::debian::{self, Scratch};
use super::list::Look;
use crate::cmd::{find_program, is_executable, run};
use crate::ctx::Ctx;

/// How these come.
pub(super) const UNPACKED: &str = "Debian's package, unpacked into the cache and not installed";

/// npm's esbuild as its package for this platform has it.
const ESBUILD: &str =
    if cfg!(target_arch = "aarch64") { "@esbuild/linux-arm64@0.28.2" } else { "@esbuild/linux-x64@0.28.2" };

/// One of December 2020, built by Go 1.16, which is older than anything goflow supports.
const ANCIENT_ESBUILD: &str =
    if cfg!(target_arch = "aarch64") { "esbuild-linux-arm64@0.8.57" } else { "esbuild-linux-64@0.8.57" };

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

/// The server, and what checks metrics by its rules.
pub(super) fn look_prometheus(ctx: &Ctx) -> Look {
    match (look(ctx, "prometheus"), look(ctx, "promtool")) {
        (Look::Here(one), Look::Here(other)) => Look::Here(format!("{one}, {other}")),
        _ => Look::Missing,
    }
}

/// Takes both out of their package.
pub(super) fn get_prometheus(ctx: &Ctx) -> Result<()> {
    let scratch = Scratch::new(&ctx.cache, "prometheus")?;
    debian::unpack(ctx, &["prometheus"], &scratch.0)?;
    ["prometheus", "promtool"]
        .into_iter()
        .try_for_each(|program| keep(ctx, &scratch.0.join("usr/bin").join(program), program))
}

/// npm is only asked for where it will be used.
pub(super) fn look_npm(ctx: &Ctx) -> Look {
    match look_esbuilds(ctx) {
        Look::Here(_) => Look::Here("not needed any more: esbuild is there".to_owned()),
        Look::Missing => {
            find_program("npm").map_or(Look::Missing, |npm| Look::Here(npm.display().to_string()))
        }
    }
}

/// Both versions of esbuild.
pub(super) fn look_esbuilds(ctx: &Ctx) -> Look {
    match (look(ctx, "esbuild"), look(ctx, "esbuild-0.8.57")) {
        (Look::Here(one), Look::Here(other)) => Look::Here(format!("{one}, {other}")),
        _ => Look::Missing,
    }
}

/// Fetches both.
pub(super) fn get_esbuilds(ctx: &Ctx) -> Result<()> {
    get_esbuild(ctx, ESBUILD, "esbuild")?;
    get_esbuild(ctx, ANCIENT_ESBUILD, "esbuild-0.8.57")
}

/// By `npm pack`, which runs nothing of the package.
fn get_esbuild(ctx: &Ctx, package: &str, name: &str) -> Result<()> {
    let scratch = Scratch::new(&ctx.cache, name)?;
    run(ctx.command("npm").args(["pack", "--silent", package, "--pack-destination"]).arg(&scratch.0))?;
    let packed: Vec<_> = fs::read_dir(&scratch.0)?.collect::<std::io::Result<_>>()?;
    let [tarball] = packed.as_slice() else {
        bail!("npm packed {} files of {package}, not one", packed.len())
    };
    run(ctx.command("tar").arg("-xzf").arg(tarball.path()).arg("-C").arg(&scratch.0))?;
    keep(ctx, &scratch.0.join("package/bin/esbuild"), name)
}

fn keep(ctx: &Ctx, file: &Path, name: &str) -> Result<()> {
    let services = ctx.services();
    fs::create_dir_all(&services)?;
    fs::rename(file, services.join(name)).with_context(|| format!("the package has no {}", file.display()))
}
