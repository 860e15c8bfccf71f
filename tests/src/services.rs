//! Production programs as their vendors ship them, stripped: Debian's etcd, caddy and prometheus, npm's esbuild.
//!
//! In: a name; out: an executable under `services/` of goflow's cache. What setup has not put there is fetched, by the
//! vendor's own client, unpacked and never installed.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::cache_dir;

/// A program that somebody else built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// Debian's etcd.
    Etcd,
    /// Debian's caddy.
    Caddy,
    /// Debian's prometheus.
    Prometheus,
    /// npm's esbuild, today's.
    Esbuild,
    /// npm's esbuild of December 2020, built by Go 1.16: before anything goflow supports.
    AncientEsbuild,
}

impl Service {
    /// Its name in the cache.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Etcd => "etcd",
            Self::Caddy => "caddy",
            Self::Prometheus => "prometheus",
            Self::Esbuild => "esbuild",
            Self::AncientEsbuild => "esbuild-0.8.57",
        }
    }

    /// The executable.
    ///
    /// # Errors
    /// It is not in the cache and cannot be fetched.
    pub fn executable(self) -> Result<PathBuf> {
        let services = cache_dir()?.join("services");
        fs::create_dir_all(&services)?;
        let executable = services.join(self.name());
        let lock = File::create(services.join(format!("{}.lock", self.name())))?;
        lock.lock()?;
        if !executable.exists() {
            let scratch = tempfile::tempdir_in(&services)?;
            let fetched = self.fetch(scratch.path()).with_context(|| {
                format!("{} is not in the cache and cannot be fetched; run `cargo xtask setup`", self.name())
            })?;
            fs::rename(fetched, &executable)?;
        }
        Ok(executable)
    }

    fn fetch(self, scratch: &Path) -> Result<PathBuf> {
        match self {
            Self::Etcd => debian("etcd-server", "usr/bin/etcd", scratch),
            Self::Caddy => debian("caddy", "usr/bin/caddy", scratch),
            Self::Prometheus => debian("prometheus", "usr/bin/prometheus", scratch),
            Self::Esbuild => npm("@esbuild/linux-x64", scratch),
            Self::AncientEsbuild => npm("esbuild-linux-64@0.8.57", scratch),
        }
    }
}

fn debian(package: &str, file: &str, scratch: &Path) -> Result<PathBuf> {
    succeed(Command::new("apt-get").args(["download", package]).current_dir(scratch))?;
    let archive = only_file(scratch, "deb")?;
    let unpacked = scratch.join("unpacked");
    succeed(Command::new("dpkg").arg("--extract").arg(archive).arg(&unpacked))?;
    Ok(unpacked.join(file))
}

fn npm(package: &str, scratch: &Path) -> Result<PathBuf> {
    succeed(Command::new("npm").args(["pack", "--silent", package]).current_dir(scratch))?;
    let archive = only_file(scratch, "tgz")?;
    succeed(Command::new("tar").arg("--extract").arg("--file").arg(archive).current_dir(scratch))?;
    Ok(scratch.join("package/bin/esbuild"))
}

fn only_file(directory: &Path, extension: &str) -> Result<PathBuf> {
    let files: Vec<PathBuf> =
        fs::read_dir(directory)?.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>()?;
    let found = files.into_iter().find(|file| file.extension().is_some_and(|found| found == extension));
    found.with_context(|| format!("no .{extension} came"))
}

fn succeed(command: &mut Command) -> Result<()> {
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("cannot run {command:?}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?} ended with {}: {said}", output.status);
    Ok(())
}
