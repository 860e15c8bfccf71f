//! Each fuzz target, briefly: from its committed seeds, for `$GOFLOW_FUZZ_SECONDS` (10).
//!
//! A finding is written to `artifacts/`; give that file to the target as its only argument to see it again.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context, Result, bail, ensure};
use goflow_tests::repository;

/// Where the instrumented targets are; built once for all tests, in a target directory of their own.
fn executables() -> Result<PathBuf> {
    static BUILT: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let built = BUILT.get_or_init(|| build().map_err(|error| format!("{error:?}")));
    match built {
        Ok(directory) => Ok(directory.clone()),
        Err(error) => bail!("the fuzz targets do not build: {error}"),
    }
}

fn build() -> Result<PathBuf> {
    let here = repository().join("tests/fuzz");
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--release", "--quiet", "--bins", "--target-dir"]).arg(here.join("target"));
    cargo.current_dir(&here).env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS");
    let output = cargo.output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(here.join("target/x86_64-unknown-linux-gnu/release"))
}

fn withstands(target: &str) -> Result<()> {
    let here = repository().join("tests/fuzz");
    let executable = executables()?.join(target);
    let seconds = std::env::var("GOFLOW_FUZZ_SECONDS").unwrap_or_else(|_| "10".to_owned());
    let corpus = tempfile::tempdir()?;
    let artifacts = here.join("artifacts").join(target);
    std::fs::create_dir_all(&artifacts)?;
    let seeds = here.join("seeds").join(target);
    let count = std::fs::read_dir(&seeds).with_context(|| seeds.display().to_string())?.count();
    ensure!(count > 0, "no seeds in {}", seeds.display());
    let output = Command::new(executable)
        .arg(format!("-max_total_time={seconds}"))
        // Seconds for one input, and MiB: goflow has a second for a binary and 40 MiB in all.
        .args([
            "-seed=1",
            "-timeout=2",
            "-rss_limit_mb=512",
            "-malloc_limit_mb=64",
            "-max_len=16384",
            "-print_final_stats=1",
        ])
        .arg(format!("-artifact_prefix={}/", artifacts.display()))
        .arg(corpus.path())
        .arg(&seeds)
        .output()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success(), "{target}: {}\n{said}", output.status);
    // A target that its seeds do not lead into would pass for ever.
    let runs = said.lines().find_map(|line| line.strip_prefix("stat::number_of_executed_units: "));
    let runs: u64 = runs.context("no statistics")?.trim().parse()?;
    ensure!(runs > 1000, "{target}: only {runs} runs in {seconds} s\n{said}");
    Ok(())
}

#[test]
fn an_elf_file() -> Result<()> {
    withstands("elf")
}

#[test]
fn a_build_info() -> Result<()> {
    withstands("buildinfo")
}

#[test]
fn a_function_table() -> Result<()> {
    withstands("pclntab")
}

#[test]
fn debug_information() -> Result<()> {
    withstands("dwarf_offsets")
}

#[test]
fn instructions() -> Result<()> {
    withstands("probe_site")
}

#[test]
fn ring_records() -> Result<()> {
    withstands("ring_records")
}
