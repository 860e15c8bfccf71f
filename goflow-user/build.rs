//! Compiles `goflow-ebpf` for the BPF target and hands the object to the crate as `$OUT_DIR/goflow.bpf.o`.
//!
//! In: `$GOFLOW_BPF_OBJECT` (a prebuilt object, taken as it is), or a toolchain that `cargo xtask setup` has completed.
//! It installs nothing; a missing piece ends the build with one line that names the setup command. The hard thing is
//! reproducibility: every path that could reach the object is remapped, and debug information is stripped but BTF.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, exit};
use std::{env, fs};

/// Where the object is built: shared by all profiles, because the object does not depend on them.
const TARGET: &str = "bpfel-unknown-none";

fn main() {
    println!("cargo::rerun-if-env-changed=GOFLOW_BPF_OBJECT");
    println!("cargo::rerun-if-env-changed=GOFLOW_BPF_LINKER");
    println!("cargo::rerun-if-env-changed=GOFLOW_LLVM_OBJCOPY");
    let object = PathBuf::from(require_env("OUT_DIR")).join("goflow.bpf.o");
    match env::var_os("GOFLOW_BPF_OBJECT") {
        Some(prebuilt) => copy_prebuilt(Path::new(&prebuilt), &object),
        None => build(&object),
    }
}

fn copy_prebuilt(prebuilt: &Path, object: &Path) {
    println!("cargo::rerun-if-changed={}", prebuilt.display());
    if let Err(error) = fs::copy(prebuilt, object) {
        fail(&format!("GOFLOW_BPF_OBJECT={} cannot be copied: {error}", prebuilt.display()));
    }
}

fn build(object: &Path) {
    let workspace = PathBuf::from(require_env("CARGO_MANIFEST_DIR")).join("..");
    let workspace = workspace.canonicalize().unwrap_or(workspace);
    for input in ["goflow-ebpf", "goflow-common", "Cargo.lock"] {
        println!("cargo::rerun-if-changed={}", workspace.join(input).display());
    }
    let toolchain = Toolchain::find();
    let target_dir =
        env::var_os("GOFLOW_BPF_TARGET_DIR").map_or_else(|| shared_target_dir(&workspace), PathBuf::from);
    compile(&toolchain, &workspace, &target_dir);
    strip(&target_dir.join(TARGET).join("release/goflow-ebpf"), object);
}

fn shared_target_dir(workspace: &Path) -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace.join("target"), PathBuf::from).join("bpf")
}

/// A compiler whose LLVM is the one `bpf-linker` was built with, and its sources of `core`.
struct Toolchain {
    cargo: OsString,
    rustc: OsString,
    sysroot: PathBuf,
    linker: PathBuf,
}

impl Toolchain {
    /// Prefers the toolchain that runs this build; else Debian's `rustc-web`, which setup unpacks into the cache where
    /// rustup's server cannot be reached, under this build's cargo.
    fn find() -> Self {
        let linker = find_tool("GOFLOW_BPF_LINKER", "bpf-linker", &cached_tools());
        let unpacked = cached_tools().into_iter().map(|tools| tools.join("rustc-web").into_os_string());
        for rustc in std::iter::once(require_env("RUSTC")).chain(unpacked) {
            let Some(sysroot) = sysroot_of(&rustc) else { continue };
            if sysroot.join("lib/rustlib/src/rust/library/core").is_dir() {
                return Self { cargo: require_env("CARGO"), rustc, sysroot, linker };
            }
        }
        fail("the sources of Rust's core library are missing")
    }
}

fn sysroot_of(rustc: &OsString) -> Option<PathBuf> {
    let output = Command::new(rustc).args(["--print", "sysroot"]).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| PathBuf::from(text.trim()))
}

fn compile(toolchain: &Toolchain, workspace: &Path, target_dir: &Path) {
    let status = Command::new(&toolchain.cargo)
        .current_dir(workspace)
        .args(["build", "--quiet", "--package", "goflow-ebpf", "--release", "--locked"])
        .args(["-Z", "build-std=core", "--target", TARGET])
        .arg("--target-dir")
        .arg(target_dir)
        .env("RUSTC", &toolchain.rustc)
        // `-Z` on a stable compiler: nightly's LLVM would not match bpf-linker's.
        .env("RUSTC_BOOTSTRAP", "1")
        .env("CARGO_ENCODED_RUSTFLAGS", rustflags(toolchain, workspace).join("\x1f"))
        .env_remove("RUSTFLAGS")
        .env_remove("RUSTC_WRAPPER")
        .env_remove("RUSTC_WORKSPACE_WRAPPER")
        .env_remove("CARGO_BUILD_TARGET")
        .status();
    match status {
        Ok(status) if status.success() => {}
        Ok(_) => fail("goflow-ebpf did not compile for the BPF target (see above)"),
        Err(error) => fail(&format!("{} cannot be run: {error}", toolchain.cargo.display())),
    }
}

fn rustflags(toolchain: &Toolchain, workspace: &Path) -> Vec<String> {
    let home = env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    let cargo_home = env::var_os("CARGO_HOME").map_or_else(|| home.join(".cargo"), PathBuf::from);
    let rust_source = toolchain.sysroot.join("lib/rustlib/src/rust");
    vec![
        format!("-Clinker={}", toolchain.linker.display()),
        "-Cdebuginfo=2".into(),
        "-Clink-arg=--btf".into(),
        // The oldest instruction set, for kernels from 5.8 on.
        "-Ctarget-cpu=generic".into(),
        "--cfg=bpf_target_arch=\"x86_64\"".into(),
        format!("--remap-path-prefix={}=/goflow", workspace.display()),
        format!("--remap-path-prefix={}=/cargo", cargo_home.display()),
        format!("--remap-path-prefix={}=/rust", rust_source.display()),
    ]
}

/// Keeps BTF, drops DWARF: a tenth of the size, and the kernel reads only BTF.
fn strip(built: &Path, object: &Path) {
    let objcopy = find_tool("GOFLOW_LLVM_OBJCOPY", "llvm-objcopy", &[PathBuf::from("/usr/lib/llvm-22/bin")]);
    let status = Command::new(&objcopy).arg("--strip-debug").arg(built).arg(object).status();
    match status {
        Ok(status) if status.success() => {}
        _ => fail(&format!("{} could not strip {}", objcopy.display(), built.display())),
    }
}

/// The directories in which `cargo xtask setup` keeps programs it has built.
fn cached_tools() -> Vec<PathBuf> {
    let set = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let user_cache = || set("XDG_CACHE_HOME").or_else(|| set("HOME").map(|home| home.join(".cache")));
    let cache = set("GOFLOW_CACHE").or_else(|| user_cache().map(|cache| cache.join("goflow")));
    cache.into_iter().map(|cache| cache.join("tools/bin")).collect()
}

fn find_tool(variable: &str, name: &str, directories: &[PathBuf]) -> PathBuf {
    if let Some(path) = env::var_os(variable) {
        return PathBuf::from(path);
    }
    let path = env::var_os("PATH").unwrap_or_default();
    let found = directories.iter().cloned().chain(env::split_paths(&path)).map(|dir| dir.join(name));
    match found.into_iter().find(|candidate| candidate.is_file()) {
        Some(tool) => tool,
        None => fail(&format!("{name} is missing")),
    }
}

fn require_env(name: &str) -> OsString {
    match env::var_os(name) {
        Some(value) => value,
        None => fail(&format!("cargo did not set {name}")),
    }
}

fn fail(what: &str) -> ! {
    println!("cargo::error={what}; run `cargo xtask setup`, or set GOFLOW_BPF_OBJECT to a prebuilt object");
    exit(1)
}
