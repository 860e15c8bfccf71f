//! The compiler side of the eBPF build: the source of `core`, bpf-linker, and the components that tests use.
//!
//! Compiler, its LLVM and bpf-linker are pinned together: an object of another LLVM is refused by the linker
//! ("Invalid record"). `goflow-user/build.rs` finds what is put here by looking, in the same order.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::debian;
use super::list::Look;
use crate::cmd::{capture, is_executable, run};
use crate::ctx::Ctx;

/// Version of bpf-linker; its default LLVM is newer than the compiler's, so the feature is chosen by hand.
const LINKER_VERSION: &str = "0.13.0";

/// LLVM that rustc 1.95 was built with, as Debian installs it.
const LLVM_PREFIX: &str = "/usr/lib/llvm-22";

/// The toolchain that rust-toolchain.toml names.
fn pinned_toolchain(ctx: &Ctx) -> Result<String> {
    let file = ctx.root.join("rust-toolchain.toml");
    let text = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    let channel = text.lines().find_map(|line| line.strip_prefix("channel = "));
    let channel = channel.with_context(|| format!("{} names no channel", file.display()))?;
    Ok(channel.trim().trim_matches('"').to_owned())
}

/// The source of `core`: rustup's, else the one of Debian's rustc-web.
pub(super) fn look_source(ctx: &Ctx) -> Look {
    if let Some(source) = source_of_toolchain(ctx) {
        return Look::Here(format!("{} (rustup's rust-src)", source.display()));
    }
    let debian = wrapper(ctx);
    if is_executable(&debian) {
        return Look::Here(format!("{} (Debian's rustc-web)", debian.display()));
    }
    Look::Missing
}

fn source_of_toolchain(ctx: &Ctx) -> Option<PathBuf> {
    let sysroot = capture(ctx.command("rustc").args(["--print", "sysroot"])).ok()?;
    let library = Path::new(&sysroot).join("lib/rustlib/src/rust/library");
    library.join("core/src/lib.rs").exists().then_some(library)
}

/// Recipe 1, else recipe 2; says which.
pub(super) fn get_source(ctx: &Ctx) -> Result<()> {
    let toolchain = pinned_toolchain(ctx)?;
    let rustup = run(ctx.command("rustup").args(["component", "add", "rust-src", "--toolchain", &toolchain]));
    match rustup {
        Ok(()) => {
            eprintln!("setup: the eBPF programs will be compiled by rustup's {toolchain} with its rust-src");
            Ok(())
        }
        Err(error) => {
            eprintln!("setup: {error:#}; taking Debian's rustc-web instead");
            unpack_rustc_web(ctx)?;
            eprintln!(
                "setup: the eBPF programs will be compiled by Debian's rustc-web, {}",
                wrapper(ctx).display()
            );
            Ok(())
        }
    }
}

fn wrapper(ctx: &Ctx) -> PathBuf {
    ctx.tools().join("rustc-web")
}

/// Unpacked, not installed: the package conflicts with Debian's rustup and rustc and would remove them. rustup's cargo
/// drives it; its LLVM is the one that bpf-linker needs anyway.
fn unpack_rustc_web(ctx: &Ctx) -> Result<()> {
    debian::install(ctx, &["libllvm22"])?;
    let root = ctx.cache.join("tools/rust-web");
    let library = standard_library_package(ctx)?;
    debian::unpack(ctx, &["rustc-web", "libstd-rust-web-dev", &library, "rust-web-src"], &root)?;
    let libraries = root.join(format!("usr/lib/{}-linux-gnu", std::env::consts::ARCH));
    let script = format!(
        "#!/bin/sh\n# Written by cargo xtask setup.\nLD_LIBRARY_PATH='{}' exec '{}' \"$@\"\n",
        libraries.display(),
        root.join("usr/bin/rustc").display()
    );
    let wrapper = wrapper(ctx);
    fs::create_dir_all(ctx.tools())?;
    fs::write(&wrapper, script).with_context(|| format!("cannot write {}", wrapper.display()))?;
    fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755))?;
    Ok(())
}

/// The package with rustc's shared library carries the version in its name: `libstd-rust-web-1.96`.
fn standard_library_package(ctx: &Ctx) -> Result<String> {
    let depends = capture(ctx.command("apt-cache").args(["depends", "libstd-rust-web-dev"]))?;
    let words = depends.split_whitespace();
    words
        .filter(|word| {
            word.strip_prefix("libstd-rust-web-").is_some_and(|rest| rest.starts_with(char::is_numeric))
        })
        .map(str::to_owned)
        .next()
        .context("Debian's libstd-rust-web-dev depends on no libstd-rust-web-<version>")
}

/// Works only if it runs, which needs its libLLVM.
pub(super) fn look_linker(ctx: &Ctx) -> Look {
    let linker = ctx.tools().join("bpf-linker");
    match capture(ctx.command(&linker).arg("--version")) {
        Ok(version) if version.ends_with(LINKER_VERSION) => {
            Look::Here(format!("{version}, {}", linker.display()))
        }
        _ => Look::Missing,
    }
}

/// Builds bpf-linker against Debian's LLVM.
pub(super) fn get_linker(ctx: &Ctx) -> Result<()> {
    let mut install = ctx.cargo();
    install
        .env("LLVM_PREFIX", LLVM_PREFIX)
        .args(["install", "bpf-linker", "--version", LINKER_VERSION, "--locked", "--force"])
        .args(["--no-default-features", "--features", "llvm-22", "--root"])
        .arg(ctx.cache.join("tools"));
    run(&mut install)
}

/// Both of the components that the test command calls.
pub(super) fn look_components(ctx: &Ctx) -> Look {
    let version = |program: &str| capture(ctx.cargo().args([program, "--version"])).ok();
    match (version("fmt"), version("clippy")) {
        (Some(rustfmt), Some(clippy)) => Look::Here(format!("{rustfmt}; {clippy}")),
        _ => Look::Missing,
    }
}

/// By rustup.
pub(super) fn get_components(ctx: &Ctx) -> Result<()> {
    let toolchain = pinned_toolchain(ctx)?;
    run(ctx.command("rustup").args(["component", "add", "rustfmt", "clippy", "--toolchain", &toolchain]))
}
