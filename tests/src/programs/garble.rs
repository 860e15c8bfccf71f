//! The obfuscator garble, which people do ship programs with.
//!
//! In: a Go version; out: a command that takes `build` like `go` does. Garble patches Go's linker and therefore refuses a
//! Go that lies in the module cache, which is where fetched toolchains lie; so it gets a copy, of hard links where it can.

use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::{go_command, output_of};
use crate::cache_dir;

/// The release that goes with the newest Go of the matrix.
const GARBLE: &str = "mvdan.cc/garble@v0.18.0";

pub(super) fn command(go: &str) -> Result<Command> {
    let home = cache_dir()?.join("garble");
    fs::create_dir_all(&home)?;
    let lock = File::create(home.join("lock"))?;
    lock.lock()?;
    let garble = install(go, &home)?;
    let goroot = copy_of_goroot(go, &home)?;
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::iter::once(goroot.join("bin")).chain(std::env::split_paths(&path));
    let path: OsString = std::env::join_paths(path)?;
    let mut command = Command::new(garble);
    command.env("PATH", path).env("GOTOOLCHAIN", "local").env_remove("GOROOT");
    Ok(command)
}

fn install(go: &str, home: &Path) -> Result<PathBuf> {
    let garble = home.join("garble");
    if !garble.exists() {
        let mut install = Command::new(go_command()?);
        install.args(["install", GARBLE]).env("GOBIN", home).env("GOTOOLCHAIN", format!("go{go}"));
        output_of(&mut install).context("cannot install garble")?;
    }
    Ok(garble)
}

fn copy_of_goroot(go: &str, home: &Path) -> Result<PathBuf> {
    let copy = home.join(format!("go{go}"));
    if !copy.exists() {
        let mut env = Command::new(go_command()?);
        env.args(["env", "GOROOT"]).env("GOTOOLCHAIN", format!("go{go}"));
        let original = output_of(&mut env)?;
        let unfinished = home.join("unfinished");
        if unfinished.exists() {
            fs::remove_dir_all(&unfinished)?;
        }
        let copy_by =
            |how: &str| output_of(Command::new("cp").args(["--archive", how, &original]).arg(&unfinished));
        copy_by("--link").or_else(|_| copy_by("--force")).context("cannot copy the Go toolchain")?;
        fs::rename(&unfinished, &copy)?;
    }
    Ok(copy)
}
