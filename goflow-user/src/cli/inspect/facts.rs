//! The facts in the form in which they are told: the keys are a contract (docs/inspect.md). In: an analysed binary; out:
//! values of their own, so that neither form of the output looks anything up.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use serde::Serialize;

use crate::binary::addr::{FileOffset, LinkAddr};
use crate::binary::buildinfo::Recognition;
use crate::binary::elf::Image;
use crate::binary::globals::Global;
use crate::binary::{GoBinary, VersionSource};
use crate::probe::catalog::Level;
use crate::probe::plan::{self, PlannedSite};
use crate::sink::words;

/// Everything about one executable.
#[derive(Serialize)]
pub(super) struct Facts {
    pub(super) file: String,
    /// Bytes.
    pub(super) size: u64,
    pub(super) format: &'static str,
    pub(super) arch: &'static str,
    pub(super) pie: bool,
    /// The dynamic loader; `null` for a static executable.
    pub(super) interpreter: Option<String>,
    pub(super) recognised_by: &'static str,
    pub(super) go_version: Option<String>,
    /// `build_info`, `runtime`, or `null` when the version is unknown.
    pub(super) go_version_from: Option<&'static str>,
    pub(super) go_build_id: Option<String>,
    /// Hexadecimal.
    pub(super) gnu_build_id: Option<String>,
    /// Import path of the main package.
    pub(super) package: Option<String>,
    pub(super) module: Option<Module>,
    /// Whether C code is linked in; `null` when the function table cannot be read.
    pub(super) cgo: Option<bool>,
    /// What `go build` was told.
    pub(super) settings: BTreeMap<String, String>,
    /// `elf`, `dwarf` or `pclntab`.
    pub(super) symbols_from: &'static str,
    /// Functions in the runtime's table.
    pub(super) function_count: Option<u32>,
    /// `dwarf` or `table`.
    pub(super) offsets_from: Option<&'static str>,
    pub(super) sections: Vec<Section>,
    /// Variables of the runtime, by symbol.
    pub(super) globals: BTreeMap<&'static str, Address>,
    /// What `goflow trace` would probe.
    pub(super) functions: Vec<Function>,
    pub(super) not_available: Vec<NotAvailable>,
}

#[derive(Serialize)]
pub(super) struct Module {
    pub(super) path: String,
    pub(super) version: Option<String>,
}

#[derive(Serialize)]
pub(super) struct Section {
    pub(super) name: String,
    pub(super) address: Address,
    pub(super) size: u64,
}

#[derive(Serialize)]
pub(super) struct Function {
    pub(super) name: &'static str,
    pub(super) address: Address,
    pub(super) size: u64,
    /// `elf`, `dwarf` or `pclntab`.
    pub(super) found_in: &'static str,
    pub(super) probes: Vec<Probe>,
}

#[derive(Serialize)]
pub(super) struct Probe {
    pub(super) probe: &'static str,
    /// `entry` or `return`.
    pub(super) at: &'static str,
    pub(super) address: Address,
    pub(super) file_offset: Address,
    pub(super) instruction: String,
    /// `emulated` or `single-stepped`.
    pub(super) class: &'static str,
}

#[derive(Serialize)]
pub(super) struct NotAvailable {
    pub(super) what: String,
    pub(super) why: String,
}

/// A number that is written in hexadecimal, as text, because a JSON number loses digits above 2⁵³.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Address(u64);

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

impl Serialize for Address {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl From<LinkAddr> for Address {
    fn from(address: LinkAddr) -> Self {
        Self(address.0)
    }
}

impl From<FileOffset> for Address {
    fn from(offset: FileOffset) -> Self {
        Self(offset.0)
    }
}

impl Facts {
    pub(super) fn of(file: &Path, binary: &GoBinary<'_>) -> Self {
        let mut not_available: Vec<NotAvailable> = binary
            .missing()
            .into_iter()
            .map(|missing| NotAvailable { what: missing.what.to_owned(), why: missing.why })
            .collect();
        let globals = globals(binary, &mut not_available);
        let functions = functions(binary, &mut not_available);
        let info = binary.build_info();
        let module = info.and_then(|info| info.module());
        Self {
            file: file.to_string_lossy().into_owned(),
            size: binary.image().data().len() as u64,
            format: "ELF64",
            arch: binary.arch().name(),
            pie: binary.is_pie(),
            interpreter: binary.image().interpreter().map(str::to_owned),
            recognised_by: recognised_by(binary.recognition()),
            go_version: binary.go_version().map(|version| version.as_str().to_owned()),
            go_version_from: match binary.version_source() {
                VersionSource::BuildInfo => Some("build_info"),
                VersionSource::Runtime => Some("runtime"),
                VersionSource::Implied(_) => None,
            },
            go_build_id: binary.go_build_id().map(str::to_owned),
            gnu_build_id: binary.gnu_build_id().map(hex),
            package: info.and_then(|info| info.path()).map(str::to_owned),
            module: module.map(|m| Module { path: m.path.to_owned(), version: m.version.map(str::to_owned) }),
            cgo: binary.has_cgo(),
            settings: info.map(settings).unwrap_or_default(),
            symbols_from: binary.symbol_source().name(),
            function_count: binary.pclntab().ok().map(|table| table.count()),
            offsets_from: binary.offsets().ok().map(|(_, source)| source.name()),
            sections: sections(binary.image()),
            globals,
            functions,
            not_available,
        }
    }
}

fn recognised_by(recognition: Recognition) -> &'static str {
    match recognition {
        Recognition::BuildInfoSection => "build_info_section",
        Recognition::BuildInfoMagic => "build_info_magic",
        Recognition::PclntabSection => "pclntab_section",
        Recognition::PclntabScan => "pclntab_header",
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn settings(info: &crate::binary::buildinfo::BuildInfo<'_>) -> BTreeMap<String, String> {
    info.settings().map(|(key, value)| (key.into_owned(), value.into_owned())).collect()
}

/// The sections that goflow looks for; there are some twenty others, which say nothing about Go.
fn sections(image: &Image<'_>) -> Vec<Section> {
    let of_go = |name: &str| {
        matches!(name, ".text" | ".noptrdata" | ".gopclntab" | ".data.rel.ro.gopclntab" | ".symtab")
            || name.starts_with(".go.")
            || name.starts_with(".note.go")
    };
    image
        .sections()
        .filter(|(name, _)| of_go(name))
        .map(|(name, range)| Section {
            name: name.to_owned(),
            address: range.start.into(),
            size: range.end.0 - range.start.0,
        })
        .collect()
}

fn globals(binary: &GoBinary<'_>, missing: &mut Vec<NotAvailable>) -> BTreeMap<&'static str, Address> {
    let mut found = BTreeMap::new();
    for global in Global::ALL {
        match binary.global(global) {
            Ok(address) => {
                found.insert(global.symbol(), address.into());
            }
            Err(error) => {
                missing.push(NotAvailable { what: global.symbol().to_owned(), why: error.to_string() });
            }
        }
    }
    found
}

/// The functions with a place for a probe, in the order of the catalogue.
fn functions(binary: &GoBinary<'_>, missing: &mut Vec<NotAvailable>) -> Vec<Function> {
    let (sites, unplaced) = plan::place(binary, Level::Channels);
    missing
        .extend(unplaced.into_iter().map(|it| NotAvailable { what: it.spec.gives.to_owned(), why: it.why }));
    let mut functions: Vec<Function> = Vec::new();
    for planned in &sites {
        let probe = probe(planned);
        match functions.iter_mut().find(|function| function.name == planned.function) {
            Some(function) => function.probes.push(probe),
            None => functions.extend(function(binary, planned.function, probe)),
        }
    }
    functions
}

fn function(binary: &GoBinary<'_>, name: &'static str, probe: Probe) -> Option<Function> {
    let found = binary.function(name)?;
    Some(Function {
        name,
        address: found.range.start.into(),
        size: found.range.end.0 - found.range.start.0,
        found_in: found.source.name(),
        probes: vec![probe],
    })
}

fn probe(planned: &PlannedSite) -> Probe {
    Probe {
        probe: words::probe(planned.spec.probe),
        at: planned.site.point.name(),
        address: planned.site.address.into(),
        file_offset: planned.offset.into(),
        instruction: planned.site.instruction.clone(),
        class: planned.site.class.name(),
    }
}
