//! Production programs as their vendors ship them, stripped: Debian's etcd, caddy and prometheus with its
//! promtool, npm's esbuild.
//!
//! In: a name; out: an executable under `services/` of goflow's cache, where `cargo xtask setup` puts it. Nothing is
//! fetched here.

use std::path::PathBuf;

use anyhow::{Result, ensure};

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
    /// Debian's promtool, which checks metrics.
    Promtool,
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
            Self::Promtool => "promtool",
            Self::Esbuild => "esbuild",
            Self::AncientEsbuild => "esbuild-0.8.57",
        }
    }

    /// The executable.
    ///
    /// # Errors
    /// Setup has not put it into the cache.
    pub fn executable(self) -> Result<PathBuf> {
        let executable = cache_dir()?.join("services").join(self.name());
        ensure!(executable.is_file(), "{} is missing; `cargo xtask setup` gets it", executable.display());
        Ok(executable)
    }
}
