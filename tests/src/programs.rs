//! Go programs, built on demand and kept.
//!
//! In: a directory of `tests/programs/`, a Go version, a flavour; out: the path of an executable. What was built is kept
//! under goflow's cache by a hash of everything that decides its bytes, so the matrix compiles once. Tests that run side
//! by side, also in different processes, meet at a file lock.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use crate::{cache_dir, repository};

mod garble;

/// How a program is built. The Go linker lays out a binary differently for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Flavour {
    /// `go build`, without cgo: static, with symbols and DWARF.
    Plain,
    /// `-ldflags=-s -w`: neither symbol table nor DWARF, as most are shipped.
    Stripped,
    /// `-buildmode=pie`.
    Pie,
    /// With a call into C: dynamically linked by the system's linker.
    Cgo,
    /// `-trimpath`: no absolute source paths.
    Trimpath,
    /// `-ldflags=-linkmode=external`: the system's linker, without C in the program.
    External,
    /// By garble: names, positions and the line table obfuscated. Not a flavour of the matrix.
    Garbled,
}

impl Flavour {
    /// All of the matrix, in its order.
    pub const MATRIX: [Self; 6] =
        [Self::Plain, Self::Stripped, Self::Pie, Self::Cgo, Self::Trimpath, Self::External];

    /// The word for it in test names.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Stripped => "stripped",
            Self::Pie => "pie",
            Self::Cgo => "cgo",
            Self::Trimpath => "trimpath",
            Self::External => "external",
            Self::Garbled => "garbled",
        }
    }

    fn flags(self) -> &'static [&'static str] {
        match self {
            Self::Plain | Self::Garbled => &[],
            Self::Stripped => &["-ldflags=-s -w"],
            Self::Pie => &["-buildmode=pie"],
            Self::Cgo => &["-tags=withc"],
            Self::Trimpath => &["-trimpath"],
            Self::External => &["-ldflags=-linkmode=external"],
        }
    }

    fn needs_c_compiler(self) -> bool {
        matches!(self, Self::Cgo | Self::External)
    }
}

/// What to build.
#[derive(Clone, Debug)]
pub struct Program {
    name: String,
    go: String,
    flavour: Flavour,
    goarch: &'static str,
    experiment: &'static str,
    asks_for_its_go: bool,
}

impl Program {
    /// `tests/programs/<name>`, by the newest Go, plain.
    #[must_use]
    pub fn named(name: &str) -> Self {
        let go = go_versions().last().map_or_else(String::new, |newest| (*newest).to_owned());
        Self {
            name: name.to_owned(),
            go,
            flavour: Flavour::Plain,
            goarch: "amd64",
            experiment: "",
            asks_for_its_go: false,
        }
    }

    /// By this Go, such as `1.22.12`.
    #[must_use]
    pub fn go(mut self, version: &str) -> Self {
        version.clone_into(&mut self.go);
        self
    }

    /// In this flavour.
    #[must_use]
    pub fn flavour(mut self, flavour: Flavour) -> Self {
        self.flavour = flavour;
        self
    }

    /// For another architecture, as `GOARCH` spells it.
    #[must_use]
    pub fn goarch(mut self, goarch: &'static str) -> Self {
        self.goarch = goarch;
        self
    }

    /// With this `GOEXPERIMENT`.
    #[must_use]
    pub fn experiment(mut self, experiment: &'static str) -> Self {
        self.experiment = experiment;
        self
    }

    /// As if its go.mod asked for the Go that builds it. What a go.mod asks for decides what the language means and how
    /// the runtime behaves (`GODEBUG` defaults); those of `tests/programs/` ask for the oldest.
    #[must_use]
    pub fn asking_for_its_go(mut self) -> Self {
        self.asks_for_its_go = true;
        self
    }

    /// The executable, built if it is not in the cache.
    ///
    /// # Errors
    /// There is no Go, the toolchain of that version cannot be had, or the compiler refuses; with its words.
    pub fn build(&self) -> Result<PathBuf> {
        let sources = repository().join("tests/programs").join(&self.name);
        let programs = cache_dir()?.join("programs");
        fs::create_dir_all(&programs).with_context(|| format!("cannot make {}", programs.display()))?;
        let key = self.key(&sources)?;
        // The executable carries the program's name: it is what users of `ps` and of these tests see.
        let directory = programs.join(key);
        let executable = directory.join(&self.name);
        let lock = File::create(directory.with_extension("lock"))?;
        lock.lock().context("cannot lock the program cache")?;
        if !executable.exists() {
            fs::create_dir_all(&directory)?;
            let unfinished = directory.join("unfinished");
            self.compile(&sources, &unfinished)?;
            File::open(&unfinished)?.sync_all()?;
            fs::rename(&unfinished, &executable)?;
        }
        Ok(executable)
    }

    fn key(&self, sources: &Path) -> Result<String> {
        let mut hasher = DefaultHasher::new();
        (&self.name, &self.go, self.flavour, self.goarch, self.experiment).hash(&mut hasher);
        if self.asks_for_its_go {
            "asks for its Go".hash(&mut hasher);
        }
        self.flavour.flags().hash(&mut hasher);
        let mut files: Vec<PathBuf> = fs::read_dir(sources)
            .with_context(|| format!("no such program: {}", sources.display()))?
            .map(|entry| entry.map(|entry| entry.path()))
            .collect::<Result<_, _>>()?;
        files.sort();
        for file in files {
            file.hash(&mut hasher);
            fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?.hash(&mut hasher);
        }
        Ok(format!("{:016x}", hasher.finish()))
    }

    fn compile(&self, sources: &Path, executable: &Path) -> Result<()> {
        let mut command = if self.flavour == Flavour::Garbled {
            garble::command(&self.go)?
        } else {
            let mut go = Command::new(go_command()?);
            go.env("GOTOOLCHAIN", format!("go{}", self.go));
            go
        };
        command.arg("build").args(self.flavour.flags());
        if self.asks_for_its_go {
            command.arg("-modfile").arg(self.own_module(sources, executable)?);
        }
        command.arg("-o").arg(executable).arg(".");
        command
            .current_dir(sources)
            .env("GOFLAGS", "-buildvcs=false")
            .env("GOWORK", "off")
            .env("GOOS", "linux")
            .env("GOARCH", self.goarch)
            .env("GOEXPERIMENT", self.experiment)
            .env("CGO_ENABLED", if self.flavour.needs_c_compiler() { "1" } else { "0" });
        output_of(&mut command)
            .with_context(|| format!("go{} cannot build {} ({})", self.go, self.name, self.flavour.name()))?;
        Ok(())
    }
}

impl Program {
    /// A copy of its go.mod, and of its go.sum, that asks for the Go that builds it; beside the executable.
    fn own_module(&self, sources: &Path, executable: &Path) -> Result<PathBuf> {
        let (module, sums) = (executable.with_extension("mod"), executable.with_extension("sum"));
        let text = fs::read_to_string(sources.join("go.mod"))?;
        let minor: Vec<&str> = self.go.split('.').take(2).collect();
        let asking = |line: &str| match line.strip_prefix("go ") {
            Some(_) => format!("go {}\n", minor.join(".")),
            None => format!("{line}\n"),
        };
        fs::write(&module, text.lines().map(asking).collect::<String>())?;
        if sources.join("go.sum").exists() {
            fs::copy(sources.join("go.sum"), sums)?;
        }
        Ok(module)
    }
}

/// Runs a command to its end and gives what it printed, or fails with its complaint.
fn output_of(command: &mut Command) -> Result<String> {
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("cannot run {command:?}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?} ended with {}:\n{said}", output.status);
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

/// The Go versions of the matrix, oldest first: `tests/go-versions.txt`.
#[must_use]
pub fn go_versions() -> Vec<&'static str> {
    include_str!("../go-versions.txt")
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .collect()
}

/// A recording of Go's execution tracer as text, one event a line, by the newest Go's own tool.
///
/// # Errors
/// There is no Go, or its tool refuses the recording.
pub fn trace_in_words(recording: &Path) -> Result<String> {
    let newest = go_versions().last().copied().unwrap_or_default();
    let mut tool = Command::new(go_command()?);
    tool.args(["tool", "trace", "-d=parsed"]).arg(recording).env("GOTOOLCHAIN", format!("go{newest}"));
    output_of(&mut tool)
}

/// A `go` that can fetch the others: `$GOFLOW_GO`, the one in `PATH`, Go's own place, or the one that setup unpacked.
///
/// # Errors
/// There is none.
pub fn go_command() -> Result<PathBuf> {
    if let Some(go) = std::env::var_os("GOFLOW_GO") {
        return Ok(PathBuf::from(go));
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut candidates: Vec<PathBuf> = std::env::split_paths(&path).map(|dir| dir.join("go")).collect();
    candidates.push(PathBuf::from("/usr/local/go/bin/go"));
    candidates.push(cache_dir()?.join("tools/go/bin/go"));
    match candidates.iter().find(|go| knows_toolchains(go.as_os_str())) {
        Some(go) => Ok(go.clone()),
        None => bail!("no Go of 1.21 or later in PATH or /usr/local/go: run `cargo xtask setup`"),
    }
}

/// `go` fetches other toolchains from 1.21 on, and only then knows the variable.
fn knows_toolchains(go: &OsStr) -> bool {
    Command::new(go)
        .args(["env", "GOTOOLCHAIN"])
        .env("GOTOOLCHAIN", "local")
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .is_ok_and(|output| output.status.success() && !output.stdout.trim_ascii().is_empty())
}

/// Overwrites each `from` in `bytes` with `to`, which is as long, and gives how many there were: how a program is made to
/// say something else of itself.
pub fn replace_all(bytes: &mut [u8], from: &[u8], to: &[u8]) -> usize {
    let places: Vec<usize> =
        bytes.windows(from.len()).enumerate().filter(|(_, at)| *at == from).map(|(place, _)| place).collect();
    for &place in &places {
        bytes[place..place + to.len()].copy_from_slice(to);
    }
    places.len()
}
