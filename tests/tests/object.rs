//! The eBPF object is reproducible: what a user builds is what a reviewer built.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use goflow_tests::repository;
use tempfile::TempDir;

/// By the very build script that embeds the object, in two copies of the sources whose paths differ in length too.
#[test]
fn two_clean_builds_in_two_directories_give_the_same_bytes() -> Result<()> {
    let scratch = TempDir::new()?;
    let build_script = scratch.path().join("build-script");
    succeed(
        Command::new("rustc")
            .args(["--edition", "2024", "-o"])
            .arg(&build_script)
            .arg(repository().join("goflow-user/build.rs"))
            .current_dir(repository()),
    )?;
    let first = clean_build(&build_script, &scratch.path().join("a"))?;
    let second = clean_build(&build_script, &scratch.path().join("a longer path/to another place"))?;
    ensure!(first.starts_with(b"\x7fELF"), "not an object");
    ensure!(first == second, "the objects differ ({} and {} bytes)", first.len(), second.len());
    for path in [scratch.path().to_owned(), repository()] {
        let name = path.as_os_str().as_encoded_bytes();
        let found = first.windows(name.len()).any(|bytes| bytes == name);
        ensure!(!found, "the object names {}", path.display());
    }
    Ok(())
}

fn clean_build(build_script: &Path, directory: &Path) -> Result<Vec<u8>> {
    let sources = directory.join("goflow");
    copy(&repository(), &sources)?;
    let out = directory.join("out");
    fs::create_dir_all(&out)?;
    succeed(
        Command::new(build_script)
            .current_dir(&sources)
            .env("CARGO", "cargo")
            .env("RUSTC", "rustc")
            .env("CARGO_MANIFEST_DIR", sources.join("goflow-user"))
            .env("OUT_DIR", &out)
            .env_remove("GOFLOW_BPF_OBJECT")
            .env_remove("GOFLOW_BPF_TARGET_DIR")
            .env_remove("CARGO_TARGET_DIR"),
    )?;
    fs::read(out.join("goflow.bpf.o")).context("the build script left no object")
}

/// The sources without what is built from them.
fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from).with_context(|| from.display().to_string())? {
        let entry = entry?;
        let name = entry.file_name();
        let (from, to): (PathBuf, PathBuf) = (entry.path(), to.join(&name));
        if name == "target" || name == ".git" {
            continue;
        }
        if entry.file_type()?.is_dir() {
            copy(&from, &to)?;
        } else {
            fs::copy(&from, &to)?;
        }
    }
    Ok(())
}

fn succeed(command: &mut Command) -> Result<()> {
    let output = command.output().with_context(|| format!("cannot run {command:?}"))?;
    let said = [output.stdout, output.stderr].concat();
    ensure!(output.status.success(), "{command:?}: {}: {}", output.status, String::from_utf8_lossy(&said));
    Ok(())
}
