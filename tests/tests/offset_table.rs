//! The offset table against the toolchains it was generated from, and, with `--write`, its generator.
//!
//! In: `tests/programs/layouts`, built by each Go of `tests/go-versions.txt` for amd64 and arm64, and its debug
//! information, read by the same code that reads a user's. Out: one test per Go and architecture that the table says the
//! same; with `--write` the table itself, from the first, a middle and the newest patch release of each minor. Where
//! those differ it reads the ones between, so that a row covers only patches whose neighbours on both sides were read.

use anyhow::{Context, Result, ensure};
use goflow_tests::programs::{Program, go_versions};
use goflow_tests::repository;
use goflow_user::binary::GoBinary;
use goflow_user::binary::elf::Arch;
use goflow_user::binary::offsets::{self, OffsetSource, Offsets};
use goflow_user::binary::version::GoVersion;
use libtest_mimic::{Arguments, Failed, Trial};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::ExitCode;

const TABLE: &str = "goflow-user/src/binary/offsets/table.rs";

/// Patch releases that `--write` reads besides the first of each minor and that of `go-versions.txt`: one in the middle,
/// and the newest there is.
const ALSO: [(u32, &[u32]); 10] = [
    (18, &[4]),
    (19, &[4]),
    (20, &[4]),
    (21, &[6]),
    (22, &[6]),
    (23, &[6]),
    (24, &[7]),
    (25, &[4, 14]),
    (26, &[4, 11]),
    (27, &[2]),
];

/// `GOARCH` and how the table spells it.
const ARCHES: [(&str, &str); 2] = [("amd64", "Amd64"), ("arm64", "Arm64")];

fn main() -> ExitCode {
    if std::env::args().any(|argument| argument == "--write") {
        return match write_table() {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("error: {error:#}");
                ExitCode::from(2)
            }
        };
    }
    let trials = go_versions().into_iter().flat_map(|version| {
        ARCHES.map(|(goarch, _)| {
            let name = format!("go{version} {goarch}: the table says what the debug information says");
            Trial::test(name, move || {
                agrees(version, goarch).map_err(|error| Failed::from(format!("{error:#}")))
            })
        })
    });
    let experiments = EXPERIMENTS.into_iter().map(|(go, experiment)| {
        let name = format!("go{go} GOEXPERIMENT={experiment}: the structs are those of the release");
        Trial::test(name, move || {
            changes_nothing(go, experiment).map_err(|error| Failed::from(format!("{error:#}")))
        })
    });
    libtest_mimic::run(&Arguments::from_args(), trials.chain(experiments).collect()).exit_code()
}

/// The experiments of which goflow says that they leave the runtime's structs alone, by the oldest and the newest Go.
const EXPERIMENTS: [(&str, &str); 3] =
    [("1.19.13", "boringcrypto"), ("1.27.4", "boringcrypto"), ("1.25.7", "jsonv2")];

/// The program as a user would have it: the table is asked with the version that the binary states.
fn changes_nothing(go: &str, experiment: &'static str) -> Result<()> {
    let data = std::fs::read(Program::named("layouts").go(go).experiment(experiment).build()?)?;
    let binary = GoBinary::parse(&data)?;
    let version = binary.go_version().context("no Go version")?;
    ensure!(version.as_str().ends_with(&format!("X:{experiment}")), "built as {version}");
    let (table, _) = offsets::select(Some(version), Arch::Amd64, &|_| None)?;
    let own = Offsets::from_dwarf(&|name| binary.image().section(name))?;
    ensure!(own == table, "DWARF: {own:#?}\ntable: {table:#?}");
    Ok(())
}

fn agrees(version: &str, goarch: &'static str) -> Result<()> {
    let measured = Measured::read(version, goarch)?;
    let go = GoVersion::parse(&format!("go{version}")).context("not a version")?;
    let arch = if goarch == "arm64" { Arch::Arm64 } else { Arch::Amd64 };
    let (table, source) = offsets::select(Some(&go), arch, &|_| None)?;
    ensure!(source == OffsetSource::Table, "offsets without sections came from {source}");
    let stale = "run `cargo xtask generate`";
    ensure!(table == measured.offsets, "stale: {stale}\ntable: {table:#?}\nDWARF: {:#?}", measured.offsets);
    let reasons = offsets::wait_reasons(&go).with_context(|| format!("no wait reasons: {stale}"))?;
    ensure!(
        reasons == measured.wait_reasons,
        "stale: {stale}\ntable: {reasons:?}\nbinary: {:?}",
        measured.wait_reasons
    );
    Ok(())
}

/// What a toolchain's program says.
#[derive(Clone, PartialEq)]
struct Measured {
    offsets: Offsets,
    wait_reasons: Vec<String>,
}

impl Measured {
    fn read(version: &str, goarch: &'static str) -> Result<Self> {
        let path = Program::named("layouts").go(version).goarch(goarch).build()?;
        let data = std::fs::read(&path)?;
        let binary = GoBinary::parse(&data)?;
        let offsets = Offsets::from_dwarf(&|name| binary.image().section(name))?;
        let own = binary.own_wait_reasons().context("its wait reasons cannot be read")?;
        let wait_reasons = own.into_iter().map(str::to_owned).collect();
        Ok(Self { offsets, wait_reasons })
    }
}

/// One minor release on one architecture: what each patch release that was read says.
struct Minor {
    minor: u32,
    goarch: &'static str,
    patches: BTreeMap<u32, Measured>,
    unavailable: Vec<String>,
}

impl Minor {
    /// Go names the first release of a minor without a patch number up to 1.20.
    fn name(&self, patch: u32) -> String {
        if patch == 0 && self.minor < 21 {
            format!("1.{}", self.minor)
        } else {
            format!("1.{}.{patch}", self.minor)
        }
    }

    fn read(newest: &str, goarch: &'static str) -> Result<Self> {
        let go = GoVersion::parse(&format!("go{newest}")).context("not a version")?;
        let (_, number) = go.release();
        let last = go.patch().unwrap_or(0);
        let mut minor = Self { minor: number, goarch, patches: BTreeMap::new(), unavailable: Vec::new() };
        let also =
            ALSO.iter().filter(|(of, _)| *of == number).flat_map(|(_, patches)| patches.iter().copied());
        for patch in [0, last].into_iter().chain(also) {
            minor.read_patch(patch);
        }
        ensure!(
            minor.patches.contains_key(&last),
            "go{newest} for {goarch}: {}",
            minor.unavailable.join("; ")
        );
        while let Some(between) = minor.unread_between_different() {
            minor.read_patch(between);
        }
        Ok(minor)
    }

    fn read_patch(&mut self, patch: u32) {
        if self.patches.contains_key(&patch) {
            return;
        }
        let name = self.name(patch);
        eprintln!("go{name} {}", self.goarch);
        match Measured::read(&name, self.goarch) {
            Ok(measured) => {
                self.patches.insert(patch, measured);
            }
            Err(error) => self.unavailable.push(format!("go{name}: {error:#}")),
        }
    }

    /// The patch in the middle between two that differ, unless it was tried already.
    fn unread_between_different(&self) -> Option<u32> {
        let pairs = self.patches.iter().zip(self.patches.iter().skip(1));
        pairs.filter(|((_, a), (_, b))| a != b).find_map(|((&low, _), (&high, _))| {
            let middle = low.midpoint(high);
            let tried =
                self.unavailable.iter().any(|line| line.starts_with(&format!("go{}:", self.name(middle))));
            (middle > low && !tried).then_some(middle)
        })
    }

    /// Runs of patches that agree in `part`.
    fn rows<T: PartialEq>(&self, part: impl Fn(&Measured) -> T) -> Vec<(u32, u32, T)> {
        let mut rows: Vec<(u32, u32, T)> = Vec::new();
        for (&patch, measured) in &self.patches {
            let value = part(measured);
            match rows.last_mut() {
                Some((_, last, same)) if *same == value => *last = patch,
                _ => rows.push((patch, patch, value)),
            }
        }
        rows
    }
}

fn write_table() -> Result<()> {
    let mut minors = Vec::new();
    for newest in go_versions() {
        for (goarch, _) in ARCHES {
            minors.push(Minor::read(newest, goarch)?);
        }
    }
    let path = repository().join(TABLE);
    std::fs::write(&path, render(&minors)?)?;
    eprintln!("wrote {}", path.display());
    for line in minors.iter().flat_map(|minor| &minor.unavailable) {
        eprintln!("not read: {line}");
    }
    Ok(())
}

fn render(minors: &[Minor]) -> Result<String> {
    let mut text = String::from(
        "// @generated by cargo xtask generate\n\n\
         //! Struct offsets and wait reasons of each Go release, read from the debug information of\n\
         //! `tests/programs/layouts` as each toolchain builds it.\n\n\
         use super::layout::*;\nuse super::select::Row;\nuse super::{Offsets, SemaTable};\nuse crate::binary::elf::Arch;\n\n\
         #[rustfmt::skip]\npub(super) const OFFSETS: &[Row<Offsets>] = &[\n",
    );
    for minor in minors {
        let (_, arch) =
            ARCHES.into_iter().find(|(goarch, _)| *goarch == minor.goarch).context("unknown GOARCH")?;
        for (first, last, offsets) in minor.rows(|measured| measured.offsets) {
            writeln!(
                text,
                "    Row {{ minor: {}, patches: {first}..={last}, arch: Some(Arch::{arch}), value: {} }},",
                minor.minor,
                one_struct_a_line(&format!("{offsets:?}"))
            )?;
        }
    }
    text.push_str("];\n\n#[rustfmt::skip]\npub(super) const WAIT_REASONS: &[Row<&[&str]>] = &[\n");
    for minor in minors.iter().filter(|minor| minor.goarch == "amd64") {
        for (first, last, reasons) in minor.rows(|measured| measured.wait_reasons.clone()) {
            writeln!(
                text,
                "    Row {{ minor: {}, patches: {first}..={last}, arch: None, value: &{reasons:?} }},",
                minor.minor
            )?;
        }
    }
    text.push_str("];\n");
    Ok(text)
}

/// Breaks the text of a struct of structs so that a change of one shows as a change of its line.
fn one_struct_a_line(text: &str) -> String {
    let (mut broken, mut depth) = (String::new(), 0);
    for c in text.chars() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if c == ' ' && depth == 1 && broken.ends_with([',', '{']) {
            broken.push_str("\n        ");
        } else {
            broken.push(c);
        }
    }
    broken
}
