//! Which offsets hold for a given program: its own debug information, else the row of its Go release.

use super::Offsets;
use super::dwarf::{DwarfError, SectionLoader};
use super::table::{OFFSETS, WAIT_REASONS};
use crate::binary::elf::Arch;
use crate::binary::version::GoVersion;
use std::fmt;
use std::ops::RangeInclusive;

/// Where offsets come from; all of a program's offsets come from one source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OffsetSource {
    /// The program's own debug information.
    Dwarf,
    /// The generated table, by Go release and architecture.
    Table,
}

impl OffsetSource {
    /// As reports spell it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Dwarf => "dwarf",
            Self::Table => "table",
        }
    }
}

impl fmt::Display for OffsetSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why a program's struct offsets are not known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OffsetsError {
    /// Go before 1.18.
    #[error(
        "built with {version}; goflow reads the runtime of Go 1.18 and newer: rebuild with a supported toolchain"
    )]
    OldGo {
        /// The version.
        version: String,
    },
    /// The version is unknown, so the table cannot be asked.
    #[error("the binary does not tell its Go version, and {dwarf}; rebuild it without -ldflags=-w")]
    NoVersion {
        /// Why debug information does not help.
        dwarf: DwarfError,
    },
    /// The table has no row for this release.
    #[error(
        "built with {version}, which goflow's offset table (to go{newest}) does not have, and {dwarf}; \
         use a newer goflow, or rebuild the program without -ldflags=-w"
    )]
    UnknownRelease {
        /// The version.
        version: String,
        /// The newest release in the table.
        newest: String,
        /// Why debug information does not help.
        dwarf: DwarfError,
    },
    /// A candidate, a build from Go's repository, a vendor's Go, or one with an experiment that may move fields.
    #[error(
        "built with {version:?}, which is not a plain Go release, so its runtime may differ, and {dwarf}; \
         rebuild the program without -ldflags=-w"
    )]
    NotARelease {
        /// The version.
        version: String,
        /// Why debug information does not help.
        dwarf: DwarfError,
    },
}

/// One row of the table: the offsets of some patch releases of one minor release.
pub(super) struct Row<T> {
    /// Minor release: 26 for Go 1.26.
    pub(super) minor: u32,
    /// The patch releases that were read, and those between them.
    pub(super) patches: RangeInclusive<u32>,
    /// Architecture; `None` where it makes no difference.
    pub(super) arch: Option<Arch>,
    pub(super) value: T,
}

/// The offsets of a program built by `version` for `arch`, whose sections `load` gives.
///
/// # Errors
/// There is no complete set: see [`OffsetsError`].
pub fn select(
    version: Option<&GoVersion>,
    arch: Arch,
    load: &SectionLoader<'_, '_>,
) -> Result<(Offsets, OffsetSource), OffsetsError> {
    if let Some(version) = version.filter(|version| !version.at_least(GoVersion::OLDEST)) {
        return Err(OffsetsError::OldGo { version: version.to_string() });
    }
    let dwarf = match Offsets::from_dwarf(load) {
        Ok(offsets) => return Ok((offsets, OffsetSource::Dwarf)),
        Err(error) => error,
    };
    let Some(version) = version else { return Err(OffsetsError::NoVersion { dwarf }) };
    let Some(patch) = release_patch(version) else {
        return Err(OffsetsError::NotARelease { version: version.to_string(), dwarf });
    };
    match row(OFFSETS, version, patch, arch) {
        Some(offsets) => Ok((*offsets, OffsetSource::Table)),
        None => Err(OffsetsError::UnknownRelease { version: version.to_string(), newest: newest(), dwarf }),
    }
}

/// The texts of `runtime.waitReasonStrings` in the releases of this version, by wait reason.
///
/// For programs in which the array itself cannot be found; `None` for a release that is not known.
#[must_use]
pub fn wait_reasons(version: &GoVersion) -> Option<&'static [&'static str]> {
    row(WAIT_REASONS, version, release_patch(version)?, Arch::Amd64).copied()
}

fn row<T>(table: &'static [Row<T>], version: &GoVersion, patch: u32, arch: Arch) -> Option<&'static T> {
    let (major, minor) = version.release();
    let fits = |row: &&Row<T>| {
        (1, row.minor) == (major, minor) && row.patches.contains(&patch) && row.arch.is_none_or(|a| a == arch)
    };
    table.iter().find(fits).map(|row| &row.value)
}

fn newest() -> String {
    let newest = OFFSETS.iter().max_by_key(|row| (row.minor, *row.patches.end()));
    newest.map_or_else(String::new, |row| format!("1.{}.{}", row.minor, row.patches.end()))
}

/// Experiments (`GOEXPERIMENT`) that leave the runtime's structs alone, as tests/tests/offset_table.rs holds. The garbage
/// collector's and the mutexes' do not.
const HARMLESS_EXPERIMENTS: [&str; 2] = ["boringcrypto", "jsonv2"];

/// What stands between a version and its experiments: `go1.25.7 X:jsonv2`, and from Go 1.26 on `go1.26.8-X:jsonv2`
/// (src/cmd/link/internal/ld/main.go).
const EXPERIMENTS: [&str; 2] = [" X:", "-X:"];

/// The patch number of a plain release; `None` for anything whose runtime may differ from that release's.
fn release_patch(version: &GoVersion) -> Option<u32> {
    let text = version.as_str();
    let (name, experiments) =
        EXPERIMENTS.iter().find_map(|separator| text.split_once(separator)).unwrap_or((text, ""));
    let harmless = experiments.split(',').all(|x| x.is_empty() || HARMLESS_EXPERIMENTS.contains(&x));
    let (major, minor) = version.release();
    let patch = version.patch().unwrap_or(0);
    let plain = match version.patch() {
        Some(patch) => name == format!("go{major}.{minor}.{patch}"),
        None => name == format!("go{major}.{minor}"),
    };
    (plain && harmless).then_some(patch)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a stripped program of this version gets.
    fn stripped(version: &str, arch: Arch) -> Result<(Offsets, OffsetSource), OffsetsError> {
        let version = GoVersion::parse(version).expect("a version");
        select(Some(&version), arch, &|_| None)
    }

    #[test]
    fn a_stripped_release_is_answered_by_the_table() {
        let (offsets, source) = stripped("go1.26.8", Arch::Amd64).expect("in the table");
        assert_eq!((source, source.name()), (OffsetSource::Table, "table"));
        assert_eq!((offsets.g.m, offsets.g.goid, offsets.sudog.elem), (48, 152, 32));
    }

    #[test]
    fn a_first_release_has_no_patch_number_up_to_go_1_20() {
        assert_eq!(stripped("go1.18", Arch::Amd64), stripped("go1.18.10", Arch::Amd64));
    }

    #[test]
    fn a_patch_release_that_moved_a_field_has_its_own_row() {
        let alllink = |version| stripped(version, Arch::Amd64).map(|(offsets, _)| offsets.m.alllink);
        assert_eq!((alllink("go1.24.5"), alllink("go1.24.6")), (Ok(328), Ok(352)));
    }

    #[test]
    fn the_semaphore_table_is_spaced_by_the_cache_lines_of_the_architecture() {
        let stride = |arch| stripped("go1.27.4", arch).map(|(offsets, _)| offsets.sema_table.stride);
        assert_eq!((stride(Arch::Amd64), stride(Arch::Arm64)), (Ok(64), Ok(128)));
    }

    #[test]
    fn a_release_that_was_not_read_is_refused_with_the_newest_that_was() {
        for version in ["go1.27.99", "go1.99.0", "go2.0", "go1.26.99"] {
            let error = stripped(version, Arch::Amd64).expect_err(version);
            let OffsetsError::UnknownRelease { version: named, newest, dwarf: DwarfError::Absent } = &error
            else {
                panic!("{error:?}");
            };
            assert_eq!(named, version);
            assert!(newest.starts_with("1.") && error.to_string().contains(newest), "{error}");
        }
    }

    #[test]
    fn what_is_not_a_plain_release_is_refused() {
        for version in [
            "go1.27rc1",
            "devel go1.28-abcdef Thu Jan 1",
            "go1.28-devel_abcdef",
            "go1.26.8-vendor.1",
            "go1.25.4 X:nosuch",
            "go1.25.7 X:jsonv2,greenteagc",
            "go1.26.8-X:nogreenteagc",
        ] {
            let refused =
                OffsetsError::NotARelease { version: version.to_owned(), dwarf: DwarfError::Absent };
            assert_eq!(stripped(version, Arch::Amd64), Err(refused));
        }
    }

    #[test]
    fn an_experiment_that_leaves_the_structs_alone_does_not_matter() {
        let plain = stripped("go1.26.8", Arch::Amd64);
        assert_eq!(stripped("go1.26.8-X:boringcrypto,jsonv2", Arch::Amd64), plain);
        assert_eq!(stripped("go1.25.7 X:jsonv2", Arch::Amd64), stripped("go1.25.7", Arch::Amd64));
    }

    #[test]
    fn a_program_older_than_go_1_18_is_refused_whatever_else_it_has() {
        let refused = OffsetsError::OldGo { version: "go1.17.13".to_owned() };
        assert_eq!(stripped("go1.17.13", Arch::Amd64), Err(refused));
    }

    #[test]
    fn a_program_without_a_version_needs_debug_information() {
        let refused = OffsetsError::NoVersion { dwarf: DwarfError::Absent };
        assert_eq!(select(None, Arch::Amd64, &|_| None), Err(refused));
    }

    #[test]
    fn damaged_debug_information_does_not_take_the_place_of_the_table() {
        let version = GoVersion::parse("go1.26.8").expect("a version");
        let damaged = select(Some(&version), Arch::Amd64, &|_| Some(vec![0x7f; 40].into()));
        assert_eq!(damaged.map(|(_, source)| source), Ok(OffsetSource::Table));
    }

    #[test]
    fn wait_reasons_follow_the_release() {
        let reason = |version, number: usize| {
            let version = GoVersion::parse(version).expect("a version");
            wait_reasons(&version).and_then(|texts| texts.get(number).copied())
        };
        assert_eq!(reason("go1.18.10", 0), Some(""));
        // The numbers were given anew.
        assert_eq!(reason("go1.24.13", 14), Some("chan receive"));
        assert_eq!(reason("go1.26.8", 19), Some("chan receive"));
        assert_eq!(reason("go1.99.0", 1), None);
    }
}
