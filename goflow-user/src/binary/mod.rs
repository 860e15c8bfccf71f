//! Stage 1: the bytes of a Go executable become facts. Pure: no file, no clock, no process.
//!
//! [`GoBinary::parse`] is the way in. It refuses what is not a 64-bit Go program of Go 1.18 or newer whose functions can
//! be named; everything else that a binary does not tell is an `Option`, and [`GoBinary::missing`] says why. Reading is
//! lazy where it is expensive: debug information is only touched when something outside Go's own tables is asked for.

pub mod addr;
pub mod buildinfo;
pub mod critical;
pub mod dwarf;
pub mod elf;
pub mod error;
pub mod frame;
pub mod globals;
pub mod mentions;
pub mod moduledata;
pub mod offsets;
pub mod pclntab;
pub(crate) mod read;
pub mod site;
pub mod stack_map;
pub mod symbols;
pub mod types;
pub mod version;

mod build_version;
mod go_statements;
mod open_defer;
mod wait_reason;
mod wrapper;

pub use open_defer::OpenDefers;

#[cfg(test)]
mod fixture;
#[cfg(test)]
mod listing;
#[cfg(test)]
mod tests;

pub use self::error::BinaryError;

use self::addr::LinkAddr;
use self::buildinfo::{BuildInfo, Recognition};
use self::elf::{Arch, Image};
use self::frame::Frame;
use self::globals::{Global, GlobalError};
use self::moduledata::ModuleData;
use self::offsets::{OffsetSource, Offsets, OffsetsError};
use self::pclntab::{Generation, NoPclntab, Pclntab};
use self::symbols::{Function, SymbolSource, Symbols};
use self::version::GoVersion;
use std::ops::Range;
use std::sync::OnceLock;

/// How the Go version is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VersionSource {
    /// From the build info.
    BuildInfo,
    /// From the runtime's own `runtime.buildVersion`.
    Runtime,
    /// Not known; the form of the function table implies this much.
    Implied(&'static str),
}

/// Something that goflow cannot tell about a binary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// What is not available, such as `inlined frames`.
    pub what: &'static str,
    /// Why, in a sentence.
    pub why: String,
}

/// An analysed Go executable, borrowing the bytes of its file.
#[derive(Debug)]
pub struct GoBinary<'d> {
    image: Image<'d>,
    recognition: Recognition,
    build_info: Option<BuildInfo<'d>>,
    version: Option<GoVersion>,
    version_source: VersionSource,
    pclntab: Result<Pclntab<'d>, NoPclntab>,
    module_data: Option<ModuleData>,
    symbols: Symbols<'d>,
    symbol_source: SymbolSource,
    offsets: OnceLock<Result<(Offsets, OffsetSource), OffsetsError>>,
    /// Owned, because a cell of borrowed ones would tie the binary's lifetime.
    wait_reasons: OnceLock<Vec<String>>,
}

impl<'d> GoBinary<'d> {
    /// Analyses `data`, the whole content of a file.
    ///
    /// # Errors
    /// The file is not a Go program that goflow can read; see [`BinaryError`].
    pub fn parse(data: &'d [u8]) -> Result<Self, BinaryError> {
        let image = Image::parse(data)?;
        if let Arch::Other(machine) = image.arch() {
            return Err(BinaryError::WrongArch { machine: machine.to_owned(), wanted: "amd64 and arm64" });
        }
        let build_info = BuildInfo::find(&image);
        let version = build_info.as_ref().and_then(BuildInfo::go_version);
        refuse_old(version.as_ref())?;
        let pclntab = Pclntab::find(&image);
        let recognition = recognise(&image, build_info.as_ref(), pclntab.as_ref())?;
        let table = pclntab.as_ref().ok();
        let module_data = table.and_then(|table| ModuleData::find(&image, table.addr, version.as_ref()));
        let pclntab =
            pclntab.map(|table| table.with_version(version.as_ref())).map(|table| match &module_data {
                Some(module) => table.with_module(&image, module),
                None => table,
            });
        let with_addresses = pclntab.as_ref().ok().copied().filter(|table| table.text().is_some());
        let symbols = Symbols::new(&image, with_addresses);
        let Some(symbol_source) = symbols.source() else {
            return Err(no_functions(build_info.as_ref(), pclntab.as_ref()));
        };
        let mut binary = Self {
            image,
            recognition,
            build_info,
            version_source: VersionSource::BuildInfo,
            version,
            pclntab,
            module_data,
            symbols,
            symbol_source,
            offsets: OnceLock::new(),
            wait_reasons: OnceLock::new(),
        };
        if binary.version.is_none() {
            binary.look_for_version()?;
        }
        Ok(binary)
    }

    /// Asks the runtime's own variable where there is no build info.
    fn look_for_version(&mut self) -> Result<(), BinaryError> {
        self.version = build_version::find(self);
        refuse_old(self.version.as_ref())?;
        let Some(version) = &self.version else {
            self.version_source = VersionSource::Implied(self.implied_version());
            return Ok(());
        };
        self.version_source = VersionSource::Runtime;
        if let Ok(table) = &mut self.pclntab {
            *table = table.with_version(Some(version));
            // The layout of the module data depends on the version, which was not known before.
            self.module_data = ModuleData::find(&self.image, table.addr, Some(version));
            if let Some(module) = &self.module_data {
                *table = table.with_module(&self.image, module);
            }
        }
        Ok(())
    }

    fn implied_version(&self) -> &'static str {
        match &self.pclntab {
            Ok(table) => match (table.generation, table.header_has_text()) {
                (Generation::Go118, _) => "Go 1.18 or 1.19",
                (Generation::Go120, true) => "Go 1.20 to 1.25",
                (Generation::Go120, false) => "Go 1.26 or later",
            },
            Err(_) => "Go 1.18 or later",
        }
    }

    /// Refuses a program that cannot run on this machine's architecture.
    ///
    /// # Errors
    /// [`BinaryError::WrongArch`], with both names.
    pub fn for_this_machine(self) -> Result<Self, BinaryError> {
        let wanted = if cfg!(target_arch = "aarch64") { Arch::Arm64 } else { Arch::Amd64 };
        if self.arch() == wanted {
            return Ok(self);
        }
        Err(BinaryError::WrongArch { machine: self.arch().to_string(), wanted: wanted.name() })
    }

    /// The executable file.
    #[must_use]
    pub fn image(&self) -> &Image<'d> {
        &self.image
    }

    /// How it was recognised as Go.
    #[must_use]
    pub fn recognition(&self) -> Recognition {
        self.recognition
    }

    /// What `go build` wrote about itself.
    #[must_use]
    pub fn build_info(&self) -> Option<&BuildInfo<'d>> {
        self.build_info.as_ref()
    }

    /// Go version; `None` when the binary does not tell.
    #[must_use]
    pub fn go_version(&self) -> Option<&GoVersion> {
        self.version.as_ref()
    }

    /// How the version is known, or what is known instead.
    #[must_use]
    pub fn version_source(&self) -> VersionSource {
        self.version_source
    }

    /// Go's build id, as text.
    #[must_use]
    pub fn go_build_id(&self) -> Option<&'d str> {
        buildinfo::go_build_id(&self.image)
    }

    /// The GNU build id, in bytes.
    #[must_use]
    pub fn gnu_build_id(&self) -> Option<&'d [u8]> {
        buildinfo::gnu_build_id(&self.image)
    }

    /// Instruction set.
    #[must_use]
    pub fn arch(&self) -> Arch {
        self.image.arch()
    }

    /// Position-independent: the loader moves it.
    #[must_use]
    pub fn is_pie(&self) -> bool {
        self.image.is_pie()
    }

    /// Linked with cgo, so that C code may run in the process; `None` when the function table cannot be read.
    #[must_use]
    pub fn has_cgo(&self) -> Option<bool> {
        self.pclntab.as_ref().ok().map(|table| table.find_name(CGO_ENTRY).is_some())
    }

    /// Path of the main module.
    #[must_use]
    pub fn module(&self) -> Option<&'d str> {
        Some(self.build_info.as_ref()?.module()?.path)
    }

    /// Where function names come from first.
    #[must_use]
    pub fn symbol_source(&self) -> SymbolSource {
        self.symbol_source
    }

    /// The runtime's function table.
    ///
    /// # Errors
    /// Why there is none that can be read; then there are no frames.
    pub fn pclntab(&self) -> Result<&Pclntab<'d>, &NoPclntab> {
        self.pclntab.as_ref()
    }

    /// The runtime's own description of the executable.
    #[must_use]
    pub fn module_data(&self) -> Option<&ModuleData> {
        self.module_data.as_ref()
    }

    /// Every source of symbols.
    #[must_use]
    pub fn symbols(&self) -> &Symbols<'d> {
        &self.symbols
    }

    /// The body of the function called `name`.
    #[must_use]
    pub fn function(&self, name: &str) -> Option<Function> {
        self.symbols.function(&self.image, name)
    }

    /// The instructions in `range`.
    #[must_use]
    pub fn code(&self, range: &Range<LinkAddr>) -> Option<&'d [u8]> {
        self.image.bytes(range.start, range.end.0.checked_sub(range.start.0)?)
    }

    /// The frames of the instruction at `pc`, innermost first; empty when `pc` is in no known function.
    #[must_use]
    pub fn frames(&self, pc: LinkAddr) -> Vec<Frame<'_>> {
        let go = self.pclntab.as_ref().map_or_else(|_| Vec::new(), |table| table.frames(pc));
        // Reading all debug information is not worth an address that cannot be code.
        let is_code = || self.image.segments().iter().any(|s| s.executable && s.contains(pc));
        if !go.is_empty() || !is_code() { go } else { self.foreign_frames(pc) }
    }

    /// Frames of code that Go's table does not cover, such as C.
    fn foreign_frames(&self, pc: LinkAddr) -> Vec<Frame<'_>> {
        let known = self.symbols.dwarf().map_or_else(Vec::new, |dwarf| dwarf.frames(&self.image, pc));
        if !known.is_empty() {
            return known;
        }
        let function = self.symbols.elf().and_then(|table| table.function_at(pc));
        function
            .map(|function| Frame { function, file: None, line: None, inlined: false, wrapper: false })
            .into_iter()
            .collect()
    }

    /// The frames of the *call* that returns to `return_address`, innermost first.
    #[must_use]
    pub fn frames_of_call(&self, return_address: LinkAddr) -> Vec<Frame<'_>> {
        // The return address may already belong to the next line, or to the next function. The runtime steps back by
        // one byte too, on every architecture (runtime/symtab.go `(*Frames).Next`).
        return_address.0.checked_sub(1).map_or_else(Vec::new, |pc| self.frames(LinkAddr(pc)))
    }

    /// Where the frame that returns to `pc` keeps the calls that it has deferred, if it keeps them itself.
    #[must_use]
    pub fn open_defers(&self, pc: LinkAddr) -> Option<OpenDefers> {
        open_defer::open_defers(self, pc)
    }

    /// A function starts there.
    #[must_use]
    pub fn is_entry(&self, pc: LinkAddr) -> bool {
        let Ok(table) = self.pclntab.as_ref() else { return false };
        let range = table.find_pc(pc).and_then(|record| table.range(&record));
        range.is_some_and(|range| range.start == pc)
    }

    /// Where the function that starts at (or contains) `entry` is declared.
    #[must_use]
    pub fn function_at(&self, entry: LinkAddr) -> Option<Frame<'_>> {
        let table = self.pclntab.as_ref().ok()?;
        match table.find_pc(entry) {
            Some(record) => table.declaration(&record),
            None => self.frames(entry).pop(),
        }
    }

    /// The function that a goroutine runs which starts at `entry`: where the compiler made that to pass arguments on (`go f(x)`
    /// starts at `main.main.gowrap1`), what it calls or what was inlined into it; the wrapper itself where that is not told.
    #[must_use]
    pub fn started_function(&self, entry: LinkAddr) -> Option<Frame<'_>> {
        let declared = self.function_at(entry)?;
        if !declared.wrapper || self.arch() != Arch::Amd64 {
            return Some(declared);
        }
        Some(wrapper::wrapped(self, entry).unwrap_or(declared))
    }

    /// Where the fields of the runtime's structs are, and how that is known; read when first asked.
    ///
    /// # Errors
    /// Why they are not known; nothing that reads the runtime's structs works then.
    pub fn offsets(&self) -> Result<(Offsets, OffsetSource), OffsetsError> {
        let select = || offsets::select(self.go_version(), self.arch(), &|name| self.image.section(name));
        self.offsets.get_or_init(select).clone()
    }

    /// Address of a variable of package runtime: by its symbol, else by the instructions that use it.
    ///
    /// # Errors
    /// There is no symbol, and the instructions do not tell for certain; see [`GlobalError`].
    pub fn global(&self, global: Global) -> Result<LinkAddr, GlobalError> {
        let variable = self.symbols.elf().and_then(|table| table.variable(global.symbol()));
        match (variable, self.arch()) {
            (Some(variable), _) => Ok(variable.start),
            (None, Arch::Amd64) => globals::find(global, &|name| self.body(name)),
            (None, _) => Err(GlobalError::Architecture { global }),
        }
    }

    /// Address and instructions of the function called `name`.
    fn body(&self, name: &str) -> Option<(LinkAddr, &'d [u8])> {
        let range = self.function(name)?.range;
        Some((range.start, self.code(&range)?))
    }

    /// The texts of the wait reasons as the binary itself has them; `None` when its array cannot be found or read.
    #[must_use]
    pub fn own_wait_reasons(&self) -> Option<Vec<&'d str>> {
        wait_reason::own(self)
    }

    /// The runtime's text of a wait reason, from the binary or from its Go release; `None` for a number it does not use,
    /// and when the texts are not known.
    #[must_use]
    pub fn wait_reason(&self, reason: u8) -> Option<&str> {
        let reasons = self.wait_reasons.get_or_init(|| wait_reason::find(self));
        reasons.get(usize::from(reason)).map(String::as_str)
    }

    /// Go's name of the type whose descriptor is at `addr`.
    #[must_use]
    pub fn type_name(&self, addr: LinkAddr) -> Option<String> {
        types::type_name(&self.image, self.module_data.as_ref()?, addr).map(str::to_owned)
    }

    /// What cannot be told about this binary, and why.
    #[must_use]
    pub fn missing(&self) -> Vec<Missing> {
        let mut missing = Vec::new();
        let mut add = |what, why: String| missing.push(Missing { what, why });
        if let VersionSource::Implied(range) = self.version_source {
            let stated = self.build_info.as_ref().map_or_else(
                || "the binary has no build info".to_owned(),
                |info| {
                    format!("the build info says {:?}, as obfuscated (garble) builds do", info.version_text)
                },
            );
            add("Go version", format!("{stated}; its function table is that of {range}"));
        }
        match &self.pclntab {
            Err(why) => add("source positions of Go code", why.to_string()),
            Ok(table) if table.text().is_none() => {
                add("source positions of Go code", NO_MODULE_DATA.to_owned());
            }
            Ok(table) if !table.has_inline_trees() => {
                add(
                    "inlined frames",
                    "the runtime's module data is not where this Go version has it".to_owned(),
                );
            }
            Ok(_) => {}
        }
        if self.module_data.as_ref().is_none_or(|module| module.types.is_none()) {
            add("type names", "the runtime's module data is not where this Go version has it".to_owned());
        }
        if let Err(error) = self.offsets() {
            add("struct offsets", error.to_string());
        }
        if self.wait_reason(1).is_none() {
            add(
                "wait reasons",
                "neither the binary's own texts nor those of its Go release are known".to_owned(),
            );
        }
        missing
    }
}

/// Go 1.26 moved the text start out of the function table.
const NO_MODULE_DATA: &str =
    "its function table counts from runtime.firstmoduledata, of which there is no readable copy in the file";

/// Every program linked with `runtime/cgo` has it (`go:cgo_export_static` in runtime/cgo/callbacks.go), no other does.
const CGO_ENTRY: &str = "crosscall2";

fn refuse_old(version: Option<&GoVersion>) -> Result<(), BinaryError> {
    match version {
        Some(version) if !version.at_least(GoVersion::OLDEST) => {
            Err(BinaryError::OldGo { version: version.to_string() })
        }
        Some(_) | None => Ok(()),
    }
}

/// By what a file is known to be Go, or why it is not, or too old.
fn recognise(
    image: &Image<'_>,
    build_info: Option<&BuildInfo<'_>>,
    pclntab: Result<&Pclntab<'_>, &NoPclntab>,
) -> Result<Recognition, BinaryError> {
    match (build_info, pclntab) {
        (Some(info), _) => Ok(info.recognition),
        (None, Ok(table)) if table.by_section => Ok(Recognition::PclntabSection),
        (None, Ok(_)) => Ok(Recognition::PclntabScan),
        // Only a section of Go's own name is taken for a table in spite of its content.
        (None, Err(NoPclntab::UnknownMagic { .. } | NoPclntab::Damaged { .. })) => {
            Ok(Recognition::PclntabSection)
        }
        (None, Err(NoPclntab::Old(range))) => Err(BinaryError::OldGo { version: (*range).to_owned() }),
        (None, Err(NoPclntab::Missing)) => Err(BinaryError::NotGo { evidence: not_go(image) }),
    }
}

fn no_functions(
    build_info: Option<&BuildInfo<'_>>,
    pclntab: Result<&Pclntab<'_>, &NoPclntab>,
) -> BinaryError {
    let version = build_info.map_or("of a version it does not tell", |info| info.version_text);
    let why = pclntab.map_or_else(ToString::to_string, |_| NO_MODULE_DATA.to_owned());
    BinaryError::NoFunctions { version: version.to_owned(), why }
}

/// What is there instead of Go: the compilers that say so in `.comment`, else what was looked for.
fn not_go(image: &Image<'_>) -> String {
    let looked = "no build info and no Go function table";
    // The packer's header is in the first page, its loader's text anywhere.
    if memchr::memmem::find(&image.data()[..image.data().len().min(4096)], b"UPX!").is_some() {
        return format!("{looked}, packed by UPX");
    }
    let comment = image.section(".comment").unwrap_or_default();
    let compiler =
        comment.split(|&b| b == 0).find_map(|text| std::str::from_utf8(text).ok().filter(|t| !t.is_empty()));
    match compiler {
        Some(compiler) => format!("{looked}, compiled by {}", compiler.chars().take(80).collect::<String>()),
        None => looked.to_owned(),
    }
}
