//! An ELF executable as the loader sees it: bytes at link-time addresses, file offsets, relocated pointers, and the
//! sections where they still exist.
//!
//! Program headers alone are enough; sections are a convenience that hostile or stripped files do without. Refuses what
//! is not a 64-bit little-endian executable and what is cut short. The hard thing is [`Image::pointer`]: in a PIE a
//! pointer's value may live in the relocation table (RELA), in place (RELR), or in both (Go's own linker), and a table
//! of a large program has hundreds of thousands of entries that should not all be touched to read one.

use super::addr::{FileOffset, LinkAddr};
use super::error::BinaryError;
use super::read::{array, c_str, u64_at};
use memchr::memmem;
use object::LittleEndian as Le;
use object::elf::{self, FileHeader64, ProgramHeader64, Rela64, SectionHeader64, Sym64};
use object::pod::slice_from_bytes;
use object::read::elf::{
    FileHeader as _, NoteIterator, ProgramHeader as _, SectionHeader as _, SectionTable,
};
use object::read::{CompressedData, CompressionFormat};
use std::borrow::Cow;
use std::fmt;
use std::ops::Range;
use std::sync::OnceLock;

type Header = FileHeader64<Le>;

/// More loadable segments than any linker makes (Go's has at most 5, GNU ld's 6); a bound for linear searches.
const MAX_SEGMENTS: usize = 64;

/// More sections, and bytes of their names, than any linked Go program has (some 40, and 500 bytes). A table beyond that
/// is taken for no table: each lookup reads it from the start.
const MAX_SECTIONS: usize = 512;
const MAX_SECTION_NAMES: u64 = 1 << 16;

/// Notes looked at; a real program has three.
const MAX_NOTES: usize = 64;

/// Largest decompressed section accepted, in bytes; the debug information of a 500 MB program stays below.
const MAX_SECTION: u64 = 1 << 29;

/// Longest symbol name read, in bytes.
const LONGEST_NAME: usize = 1 << 16;

/// Most that deflate can expand (1032:1); a section that claims more is refused before anything is allocated.
const MAX_EXPANSION: u64 = 1032;

/// Instruction set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Arch {
    /// x86-64.
    Amd64,
    /// AArch64.
    Arm64,
    /// Any other, by the name of its ELF machine number.
    Other(&'static str),
}

impl Arch {
    /// As Go spells it, where Go has a port to it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Amd64 => "amd64",
            Self::Arm64 => "arm64",
            Self::Other(name) => name,
        }
    }
}

impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A parsed ELF executable, borrowing the bytes of its file.
#[derive(Debug)]
pub struct Image<'d> {
    data: &'d [u8],
    arch: Arch,
    pie: bool,
    program_headers: &'d [ProgramHeader64<Le>],
    segments: Vec<Segment>,
    sections: SectionTable<'d, Header>,
    relocations: Relocations<'d>,
}

/// A loadable segment, checked to lie inside the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// First address.
    pub start: LinkAddr,
    /// Where it starts in the file.
    pub offset: FileOffset,
    /// Bytes that the file provides; what follows in memory is zero.
    pub file_size: u64,
    /// Bytes in memory.
    pub mem_size: u64,
    /// Instructions.
    pub executable: bool,
    /// Data that the program may change.
    pub writable: bool,
}

impl<'d> Image<'d> {
    /// Reads the headers of `data`, the whole content of a file.
    ///
    /// # Errors
    /// Not ELF, 32-bit, big-endian, not linked, cut short, or headers that contradict themselves.
    pub fn parse(data: &'d [u8]) -> Result<Self, BinaryError> {
        let header = file_header(data)?;
        let pie = match header.e_type(Le) {
            elf::ET_EXEC => false,
            elf::ET_DYN => true,
            elf::ET_REL => return Err(not_executable("a relocatable object")),
            elf::ET_CORE => return Err(not_executable("a core dump")),
            other => return Err(not_executable(&format!("type {:#x}", other.0))),
        };
        let program_headers = header.program_headers(Le, data).map_err(|error| {
            let end = header.e_phoff(Le).saturating_add(u64::from(header.e_phnum(Le)) * 56);
            if end > data.len() as u64 {
                truncated("the program header table", end, data)
            } else {
                BinaryError::malformed("ELF program headers", error.to_string(), "a table inside the file")
            }
        })?;
        let segments = segments(program_headers, data)?;
        let arch = arch(header);
        let mut image = Self {
            data,
            arch,
            pie,
            program_headers,
            segments,
            // A damaged section table is the same as none: nothing here depends on it.
            sections: sections(header, data).unwrap_or_default(),
            relocations: Relocations { kind: relative_kind(arch), rela: &[], index: OnceLock::new() },
        };
        if pie {
            image.relocations.rela = image.rela_table();
        }
        Ok(image)
    }

    /// The whole file.
    #[must_use]
    pub fn data(&self) -> &'d [u8] {
        self.data
    }

    /// Instruction set.
    #[must_use]
    pub fn arch(&self) -> Arch {
        self.arch
    }

    /// Position-independent (`ET_DYN`): the loader moves it.
    #[must_use]
    pub fn is_pie(&self) -> bool {
        self.pie
    }

    /// Needs the dynamic loader.
    #[must_use]
    pub fn is_dynamic(&self) -> bool {
        self.interpreter().is_some()
    }

    /// Path of the dynamic loader.
    #[must_use]
    pub fn interpreter(&self) -> Option<&'d str> {
        let header = self.program_headers.iter().find(|h| h.p_type(Le) == elf::PT_INTERP)?;
        let path = header.data(Le, self.data).ok()?;
        std::str::from_utf8(path.split(|&b| b == 0).next()?).ok()
    }

    /// The loadable segments, in the order of the program headers.
    #[must_use]
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// Where the lowest segment is loaded, before the loader moves it; what a process's mapping is compared with.
    #[must_use]
    pub fn lowest_address(&self) -> LinkAddr {
        self.segments.iter().map(|s| s.start).min().unwrap_or(LinkAddr(0))
    }

    /// File-backed bytes from `addr` to the end of its segment.
    #[must_use]
    pub fn bytes_from(&self, addr: LinkAddr) -> Option<&'d [u8]> {
        let segment = self.segments.iter().find(|s| s.contains(addr))?;
        self.segment_bytes(segment)?.get(usize::try_from(addr.0 - segment.start.0).ok()?..)
    }

    /// The `len` file-backed bytes at `addr`; `None` unless all of them lie in one segment.
    #[must_use]
    pub fn bytes(&self, addr: LinkAddr, len: u64) -> Option<&'d [u8]> {
        self.bytes_from(addr)?.get(..usize::try_from(len).ok()?)
    }

    /// The file-backed bytes of `segment`.
    #[must_use]
    pub fn segment_bytes(&self, segment: &Segment) -> Option<&'d [u8]> {
        let start = usize::try_from(segment.offset.0).ok()?;
        self.data.get(start..)?.get(..usize::try_from(segment.file_size).ok()?)
    }

    /// Where the byte at `addr` is in the file.
    #[must_use]
    pub fn file_offset(&self, addr: LinkAddr) -> Option<FileOffset> {
        let segment = self.segments.iter().find(|s| s.contains(addr))?;
        Some(FileOffset(segment.offset.0 + (addr.0 - segment.start.0)))
    }

    /// Address of the byte at `offset` of the file, if it is loaded.
    #[must_use]
    pub fn address(&self, offset: FileOffset) -> Option<LinkAddr> {
        let segment = self
            .segments
            .iter()
            .find(|s| offset.0.checked_sub(s.offset.0).is_some_and(|o| o < s.file_size))?;
        segment.start.checked_add(offset.0 - segment.offset.0)
    }

    /// Names and address ranges of the sections that are loaded, in the order of the table.
    pub fn sections(&self) -> impl Iterator<Item = (&'d str, Range<LinkAddr>)> + '_ {
        self.sections.iter().filter_map(|section| {
            let name = std::str::from_utf8(self.sections.section_name(Le, section).ok()?).ok()?;
            Some((name, section_range(section)?))
        })
    }

    /// Address range of a loaded section.
    #[must_use]
    pub fn section_range(&self, name: &str) -> Option<Range<LinkAddr>> {
        let (_, section) = self.sections.section_by_name(Le, name.as_bytes())?;
        section_range(section)
    }

    /// Content of a section, decompressed. A debug section `.debug_x` is also found as `.zdebug_x`, the form that
    /// Go's linker wrote up to 1.18 and older GNU ones do.
    #[must_use]
    pub fn section(&self, name: &str) -> Option<Cow<'d, [u8]>> {
        if let Some((_, section)) = self.sections.section_by_name(Le, name.as_bytes()) {
            return self.section_content(section);
        }
        let old = format!(".z{}", name.strip_prefix(".debug_").map(|rest| format!("debug_{rest}"))?);
        let (_, section) = self.sections.section_by_name(Le, old.as_bytes())?;
        decompress(gnu_compressed(section.data(Le, self.data).ok()?)?)
    }

    /// True when a section of that name is listed, whatever its content.
    #[must_use]
    pub fn has_section(&self, name: &str) -> bool {
        self.sections.section_by_name(Le, name.as_bytes()).is_some()
    }

    /// The ELF symbol table; `None` when stripped.
    #[must_use]
    pub fn symbol_table(&self) -> Option<SymbolTable<'d>> {
        let table = self.sections.iter().find(|s| s.sh_type(Le) == elf::SHT_SYMTAB)?;
        let names = self.sections.section(table.link(Le)).ok()?.data(Le, self.data).ok()?;
        let entries: &[Sym64<Le>] = table.data_as_array(Le, self.data).ok()?;
        Some(SymbolTable { entries, names })
    }

    /// Content of the note of `kind` by the owner `name`, from `PT_NOTE` or, where that is missing, from a section.
    #[must_use]
    pub fn note(&self, name: &[u8], kind: u32) -> Option<&'d [u8]> {
        let segments = self.program_headers.iter().filter_map(|h| h.notes(Le, self.data).ok().flatten());
        let sections = self.sections.iter().filter_map(|s| s.notes(Le, self.data).ok().flatten());
        segments.chain(sections).take(MAX_NOTES).find_map(|notes| find_note(notes, name, kind))
    }

    fn section_content(&self, section: &'d SectionHeader64<Le>) -> Option<Cow<'d, [u8]>> {
        let Some((header, offset, size)) = section.compression(Le, self.data).ok()? else {
            return section.data(Le, self.data).ok().map(Cow::Borrowed);
        };
        let format = match header.ch_type.get(Le) {
            elf::ELFCOMPRESS_ZLIB => CompressionFormat::Zlib,
            elf::ELFCOMPRESS_ZSTD => CompressionFormat::Zstandard,
            _ => return None,
        };
        let start = usize::try_from(offset).ok()?;
        let data = self.data.get(start..)?.get(..usize::try_from(size).ok()?)?;
        decompress(CompressedData { format, data, uncompressed_size: header.ch_size.get(Le) })
    }
}

/// The ELF symbol table, searched without an index: names are found in the string table first, so a lookup reads the
/// strings and the fixed-size entries once, in order, and allocates nothing by their number.
#[derive(Clone, Copy, Debug)]
pub struct SymbolTable<'d> {
    entries: &'d [Sym64<Le>],
    names: &'d [u8],
}

impl<'d> SymbolTable<'d> {
    /// True when it names at least one function.
    #[must_use]
    pub fn has_functions(&self) -> bool {
        self.entries.iter().any(is_function)
    }

    /// Addresses of the defined functions called `name`.
    pub fn functions(&self, name: &str) -> impl Iterator<Item = Range<LinkAddr>> + use<'d> {
        self.entries_named(name).filter(|s| is_function(s)).filter_map(symbol_range)
    }

    /// Address range of the variable called `name`.
    #[must_use]
    pub fn variable(&self, name: &str) -> Option<Range<LinkAddr>> {
        self.entries_named(name).find(|s| s.st_type() == elf::STT_OBJECT).and_then(symbol_range)
    }

    /// Names and address ranges of the variables that begin in `range`, in the order of their addresses.
    #[must_use]
    pub fn variables_in(&self, range: &Range<LinkAddr>) -> Vec<(&'d str, Range<LinkAddr>)> {
        let is_there =
            |s: &&Sym64<Le>| s.st_type() == elf::STT_OBJECT && range.contains(&LinkAddr(s.st_value.get(Le)));
        let name = |s: &Sym64<Le>| c_str(self.names, usize::try_from(s.st_name.get(Le)).ok()?, LONGEST_NAME);
        let named = |s| Some((name(s)?, symbol_range(s)?));
        let mut found: Vec<_> = self.entries.iter().filter(is_there).filter_map(named).collect();
        found.sort_by_key(|(_, range)| range.start);
        found
    }

    fn entries_named(&self, name: &str) -> impl Iterator<Item = &'d Sym64<Le>> + use<'d> {
        // An external linker stores a name inside a longer one that ends the same way, so the byte in front may be any.
        let needle = [name.as_bytes(), b"\0"].concat();
        let offsets: Vec<u32> =
            memmem::find_iter(self.names, &needle).filter_map(|at| u32::try_from(at).ok()).collect();
        let entries = if offsets.is_empty() { &[] } else { self.entries };
        entries.iter().filter(move |s| offsets.binary_search(&s.st_name.get(Le)).is_ok())
    }

    /// The function whose range contains `pc`, by name.
    #[must_use]
    pub fn function_at(&self, pc: LinkAddr) -> Option<&'d str> {
        let covers =
            |s: &&Sym64<Le>| is_function(s) && symbol_range(s).is_some_and(|range| range.contains(&pc));
        let symbol = self.entries.iter().find(covers)?;
        c_str(self.names, usize::try_from(symbol.st_name.get(Le)).ok()?, LONGEST_NAME)
            .filter(|name| !name.is_empty())
    }
}

fn is_function(symbol: &Sym64<Le>) -> bool {
    symbol.st_type() == elf::STT_FUNC
        && symbol.st_shndx.get(Le) != elf::SHN_UNDEF
        && symbol.st_size.get(Le) > 0
}

fn symbol_range(symbol: &Sym64<Le>) -> Option<Range<LinkAddr>> {
    let start = LinkAddr(symbol.st_value.get(Le));
    Some(start..start.checked_add(symbol.st_size.get(Le))?)
}

/// Pointers, which in a PIE only exist after relocation.
impl<'d> Image<'d> {
    /// The 8-byte pointer at `addr` as the loader leaves it, in link-time terms; `None` when no file-backed bytes are
    /// there. A nil pointer is `LinkAddr(0)`. A word that the loader does not relocate is returned as it is: that
    /// covers RELR, whose targets are in place, and nil.
    #[must_use]
    pub fn pointer(&self, addr: LinkAddr) -> Option<LinkAddr> {
        let in_place = LinkAddr(u64_at(self.bytes_from(addr)?, 0)?);
        Some(self.relocations.target(addr).unwrap_or(in_place))
    }

    /// Every 8-aligned place where the loader leaves a pointer to `target`, cheapest sources first: `sections` as they
    /// are in the file, then the relocation table, then all data. Lazy; a place may be given twice.
    pub(crate) fn pointers_to<'i>(
        &'i self,
        target: LinkAddr,
        sections: &'i [&'static str],
    ) -> impl Iterator<Item = LinkAddr> + 'i {
        let named = sections.iter().filter_map(|name| {
            let range = self.section_range(name)?;
            Some((range.start, self.bytes(range.start, range.end.0 - range.start.0)?))
        });
        let data = self.segments.iter().filter(|s| !s.executable);
        let all = data.filter_map(|s| Some((s.start, self.segment_bytes(s)?)));
        let in_place = move |(start, bytes)| words_equal(start, bytes, target);
        let places =
            named.flat_map(in_place).chain(self.relocations.places_of(target)).chain(all.flat_map(in_place));
        places.filter(move |&place| self.pointer(place) == Some(target))
    }

    /// The RELA table that the dynamic section names; empty where there is none.
    fn rela_table(&self) -> &'d [Rela64<Le>] {
        let (mut rela, mut size) = (0, 0);
        let header = self.program_headers.iter().find(|h| h.p_type(Le) == elf::PT_DYNAMIC);
        let entries = header.and_then(|h| h.dynamic(Le, self.data).ok().flatten()).unwrap_or(&[]);
        for entry in entries {
            let value = entry.d_val.get(Le);
            match entry.d_tag.get(Le) {
                elf::DT_NULL => break,
                elf::DT_RELA => rela = value,
                elf::DT_RELASZ => size = value,
                _ => {}
            }
        }
        let table = self.bytes(LinkAddr(rela), size).unwrap_or(&[]);
        slice_from_bytes(table, table.len() / size_of::<Rela64<Le>>()).map_or(&[], |(entries, _)| entries)
    }
}

/// The relative relocations of a PIE.
#[derive(Debug)]
struct Relocations<'d> {
    kind: elf::RelocationType,
    rela: &'d [Rela64<Le>],
    /// Place and target of every relative entry, sorted; made only when `rela` turns out not to be sorted itself.
    index: OnceLock<Option<Vec<(u64, u64)>>>,
}

impl<'d> Relocations<'d> {
    /// Where the pointer at `place` leads by the RELA table; RELR targets are in place already.
    fn target(&self, place: LinkAddr) -> Option<LinkAddr> {
        // Linkers sort the table in practice, and a hit is right whether or not it is sorted. It touches 20 entries of
        // a million.
        if let Ok(at) = self.rela.binary_search_by_key(&place.0, |entry| entry.r_offset.get(Le))
            && self.is_relative(&self.rela[at])
        {
            return Some(LinkAddr(self.rela[at].r_addend.get(Le).cast_unsigned()));
        }
        let index = self.index.get_or_init(|| self.build_index()).as_ref()?;
        let at = index.binary_search_by_key(&place.0, |&(place, _)| place).ok()?;
        Some(LinkAddr(index[at].1))
    }

    /// `None` when the table is sorted by place, so that a miss of the binary search is final.
    fn build_index(&self) -> Option<Vec<(u64, u64)>> {
        if self.rela.is_sorted_by_key(|entry| entry.r_offset.get(Le)) {
            return None;
        }
        let mut index: Vec<_> = self.relative().collect();
        index.sort_unstable();
        Some(index)
    }

    /// Place and target of each relative entry of RELA.
    fn relative(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        let entries = self.rela.iter().filter(|entry| self.is_relative(entry));
        entries.map(|entry| (entry.r_offset.get(Le), entry.r_addend.get(Le).cast_unsigned()))
    }

    fn is_relative(&self, entry: &Rela64<Le>) -> bool {
        let info = entry.r_info.get(Le);
        info >> 32 == 0 && u32::try_from(info & 0xffff_ffff).is_ok_and(|kind| kind == self.kind.0)
    }

    fn places_of(&self, target: LinkAddr) -> impl Iterator<Item = LinkAddr> + '_ {
        self.relative().filter(move |&(_, to)| to == target.0).map(|(place, _)| LinkAddr(place))
    }
}

/// The type of a relocation without a symbol.
fn relative_kind(arch: Arch) -> elf::RelocationType {
    match arch {
        Arch::Arm64 => elf::R_AARCH64_RELATIVE,
        Arch::Amd64 | Arch::Other(_) => elf::R_X86_64_RELATIVE,
    }
}

/// The 8-aligned places in `bytes`, which start at `start`, that hold `target`.
fn words_equal(start: LinkAddr, bytes: &[u8], target: LinkAddr) -> impl Iterator<Item = LinkAddr> + use<'_> {
    let skip = start.0.wrapping_neg() & 7;
    let aligned = usize::try_from(skip).ok().and_then(|skip| bytes.get(skip..)).unwrap_or(&[]);
    let (words, _) = aligned.as_chunks::<8>();
    let hits = words.iter().enumerate().filter(move |(_, word)| u64::from_le_bytes(**word) == target.0);
    hits.filter_map(move |(i, _)| start.checked_add(skip + 8 * i as u64))
}

impl Segment {
    /// True when the file provides the byte at `addr`.
    #[must_use]
    pub fn contains(&self, addr: LinkAddr) -> bool {
        addr.0.checked_sub(self.start.0).is_some_and(|offset| offset < self.file_size)
    }
}

fn file_header(data: &[u8]) -> Result<&Header, BinaryError> {
    let ident = array::<16>(data, 0).filter(|ident| ident[..4] == elf::ELFMAG);
    let Some(ident) = ident else {
        return Err(BinaryError::NotElf { found: describe(data) });
    };
    let machine = |big: bool| {
        let bytes = array(data, 18).unwrap_or_default();
        machine_name(if big { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) }).to_owned()
    };
    let big_endian = ident[5] == elf::ELFDATA2MSB.0;
    if ident[4] == elf::ELFCLASS32.0 {
        return Err(BinaryError::Elf32 { machine: machine(big_endian) });
    }
    if big_endian {
        return Err(BinaryError::BigEndian { machine: machine(true) });
    }
    if data.len() < size_of::<Header>() {
        return Err(truncated("the ELF header", size_of::<Header>() as u64, data));
    }
    Header::parse(data).map_err(|error| {
        BinaryError::malformed(
            "ELF header",
            format!("{error}: {:02x?}", &ident[4..7]),
            "class 2, data 1, version 1",
        )
    })
}

/// What a file that is not ELF looks like, in words.
fn describe(data: &[u8]) -> String {
    let known: [(&[u8], &str); 9] = [
        (b"#!", "a script"),
        (b"MZ", "a Windows executable"),
        (b"\xcf\xfa\xed\xfe", "a macOS executable"),
        (b"\xca\xfe\xba\xbe", "a macOS universal binary or a Java class"),
        (b"!<arch>\n", "an archive (.a or .deb)"),
        (b"\x1f\x8b", "gzip data"),
        (b"PK\x03\x04", "a zip file"),
        (b"\0asm", "WebAssembly"),
        (b"BC\xc0\xde", "LLVM bitcode"),
    ];
    if data.is_empty() {
        return "an empty file".to_owned();
    }
    match known.iter().find(|(magic, _)| data.starts_with(magic)) {
        Some((_, what)) => (*what).to_owned(),
        None if is_text(data) => format!("a text file of {} bytes", data.len()),
        None => {
            format!("a file of {} bytes that starts with {:02x?}", data.len(), &data[..data.len().min(4)])
        }
    }
}

/// Whether the start of a file is UTF-8 without control characters other than white space.
fn is_text(data: &[u8]) -> bool {
    let start = &data[..data.len().min(512)];
    let text = match std::str::from_utf8(start) {
        Ok(text) => text,
        // A character of up to four bytes may have been cut.
        Err(error) if start.len() - error.valid_up_to() < 4 && error.error_len().is_none() => {
            std::str::from_utf8(&start[..error.valid_up_to()]).unwrap_or_default()
        }
        Err(_) => return false,
    };
    !text.is_empty() && text.chars().all(|c| c.is_whitespace() || !c.is_control())
}

fn arch(header: &Header) -> Arch {
    match header.e_machine(Le) {
        elf::EM_X86_64 => Arch::Amd64,
        elf::EM_AARCH64 => Arch::Arm64,
        other => Arch::Other(machine_name(other.0)),
    }
}

/// Go's name of an ELF machine, where Go has a port to it.
fn machine_name(machine: u16) -> &'static str {
    match elf::Machine(machine) {
        elf::EM_X86_64 => "amd64",
        elf::EM_AARCH64 => "arm64",
        elf::EM_386 => "386",
        elf::EM_ARM => "arm",
        elf::EM_RISCV => "riscv64",
        elf::EM_PPC64 => "ppc64",
        elf::EM_S390 => "s390x",
        elf::EM_MIPS => "mips",
        elf::EM_LOONGARCH => "loong64",
        elf::EM_BPF => "bpf",
        _ => "an unknown machine",
    }
}

/// The section table, unless it is damaged or out of all proportion.
fn sections<'d>(header: &'d Header, data: &'d [u8]) -> Option<SectionTable<'d, Header>> {
    let headers = header.section_headers(Le, data).ok().filter(|headers| headers.len() <= MAX_SECTIONS)?;
    let names = headers.get(header.section_strings_index(Le, data).ok()?.0)?;
    (names.sh_size(Le) <= MAX_SECTION_NAMES).then(|| header.sections(Le, data).ok())?
}

fn segments(headers: &[ProgramHeader64<Le>], data: &[u8]) -> Result<Vec<Segment>, BinaryError> {
    let loads = headers.iter().filter(|h| h.p_type(Le) == elf::PT_LOAD);
    let count = loads.clone().take(MAX_SEGMENTS + 1).count();
    if count == 0 || count > MAX_SEGMENTS {
        return Err(BinaryError::malformed(
            "ELF program headers",
            format!("{count} loadable segments"),
            "1 to 64",
        ));
    }
    loads.map(|header| segment(header, data)).collect()
}

fn segment(header: &ProgramHeader64<Le>, data: &[u8]) -> Result<Segment, BinaryError> {
    let segment = Segment {
        start: LinkAddr(header.p_vaddr(Le)),
        offset: FileOffset(header.p_offset(Le)),
        file_size: header.p_filesz(Le),
        mem_size: header.p_memsz(Le),
        executable: header.p_flags(Le).contains(elf::PF_X),
        writable: header.p_flags(Le).contains(elf::PF_W),
    };
    let end = segment.offset.0.checked_add(segment.file_size);
    let fits = end.is_some() && segment.start.checked_add(segment.mem_size.max(segment.file_size)).is_some();
    match end {
        Some(end) if fits && end <= data.len() as u64 => Ok(segment),
        Some(end) if fits => Err(truncated("a loadable segment", end, data)),
        _ => Err(BinaryError::malformed(
            "loadable segment",
            format!("offset {}, address {}, size {:#x}", segment.offset, segment.start, segment.mem_size),
            "a range inside 64 bits",
        )),
    }
}

fn section_range(section: &SectionHeader64<Le>) -> Option<Range<LinkAddr>> {
    if !section.sh_flags(Le).contains(elf::SHF_ALLOC) {
        return None;
    }
    let start = LinkAddr(section.sh_addr(Le));
    Some(start..start.checked_add(section.sh_size(Le))?)
}

fn find_note<'d>(mut notes: NoteIterator<'d, Header>, name: &[u8], kind: u32) -> Option<&'d [u8]> {
    for _ in 0..MAX_NOTES {
        let note = notes.next().ok()??;
        if note.name() == name && note.n_type(Le).0 == kind {
            return Some(note.desc());
        }
    }
    None
}

/// The form of a `.zdebug_*` section: `ZLIB`, the size in 8 bytes big-endian, deflated data.
fn gnu_compressed(data: &[u8]) -> Option<CompressedData<'_>> {
    let data = data.strip_prefix(b"ZLIB")?;
    let (size, data) = data.split_first_chunk::<8>()?;
    Some(CompressedData {
        format: CompressionFormat::Zlib,
        data,
        uncompressed_size: u64::from_be_bytes(*size),
    })
}

fn decompress(compressed: CompressedData<'_>) -> Option<Cow<'_, [u8]>> {
    let most = (compressed.data.len() as u64).saturating_mul(MAX_EXPANSION).min(MAX_SECTION);
    if compressed.format != CompressionFormat::None && compressed.uncompressed_size > most {
        return None;
    }
    compressed.decompress().ok()
}

fn truncated(what: &'static str, needed: u64, data: &[u8]) -> BinaryError {
    BinaryError::Truncated { what, needed, have: data.len() as u64 }
}

fn not_executable(kind: &str) -> BinaryError {
    BinaryError::NotExecutable { kind: kind.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{DATA, Elf, READ_EXEC, READ_WRITE, RODATA, TEXT, note, words, words32};
    use super::*;

    fn refusal(data: &[u8]) -> BinaryError {
        Image::parse(data).map(|_| ()).unwrap_err()
    }

    fn program() -> Elf {
        Elf::default().load(TEXT, READ_EXEC, &[0xc3; 64]).load(DATA, READ_WRITE, &[7; 32])
    }

    #[test]
    fn what_is_not_elf_is_named() {
        for (data, what) in [
            (&b""[..], "an empty file"),
            (b"#!/bin/sh\n", "a script"),
            (b"MZ\x90\0", "a Windows executable"),
            ("Zeichen, ä und ß\n".as_bytes(), "a text file of 19 bytes"),
            (b"\0\0\0\0\0", "a file of 5 bytes that starts with [00, 00, 00, 00]"),
            (b"\xff\xfetext", "a file of 6 bytes that starts with [ff, fe, 74, 65]"),
            (b"\x7fEL", "a file of 3 bytes that starts with [7f, 45, 4c]"),
        ] {
            assert_eq!(refusal(data), BinaryError::NotElf { found: what.to_owned() });
        }
    }

    #[test]
    fn other_classes_byte_orders_and_kinds_are_refused_with_their_machine() {
        let mut file = program().build();
        file[4] = 1;
        file[18] = 3;
        assert_eq!(refusal(&file), BinaryError::Elf32 { machine: "386".to_owned() });
        let mut file = program().build();
        file[5] = 2;
        file[18..20].copy_from_slice(&21_u16.to_be_bytes());
        assert_eq!(refusal(&file), BinaryError::BigEndian { machine: "ppc64".to_owned() });
        let object = Elf { kind: 1, ..program() }.build();
        assert_eq!(refusal(&object), BinaryError::NotExecutable { kind: "a relocatable object".to_owned() });
        let core = Elf { kind: 4, ..program() }.build();
        assert_eq!(refusal(&core), BinaryError::NotExecutable { kind: "a core dump".to_owned() });
        let mut file = program().build();
        file[6] = 9;
        assert!(matches!(refusal(&file), BinaryError::Malformed { what: "ELF header", .. }));
    }

    #[test]
    fn a_file_that_ends_too_early_says_what_is_missing() {
        let file = program().build();
        for (cut, expected) in
            [(40, "the ELF header"), (100, "the program header table"), (200, "a loadable segment")]
        {
            match refusal(&file[..cut]) {
                BinaryError::Truncated { what, have, .. } => assert_eq!((what, have), (expected, cut as u64)),
                other => panic!("{other}"),
            }
        }
    }

    #[test]
    fn segments_that_wrap_around_or_are_none_are_refused() {
        let none = Elf::default().segment(4, 0, b"").build();
        assert!(matches!(refusal(&none), BinaryError::Malformed { what: "ELF program headers", .. }));
        let wrapping = Elf::default().load(u64::MAX - 3, READ_EXEC, &[0; 64]).build();
        assert!(matches!(refusal(&wrapping), BinaryError::Malformed { what: "loadable segment", .. }));
        let mut many = Elf::default();
        for i in 0..=MAX_SEGMENTS as u64 {
            many = many.load(i << 12, READ_EXEC, &[0]);
        }
        assert!(matches!(refusal(&many.build()), BinaryError::Malformed { what: "ELF program headers", .. }));
    }

    #[test]
    fn addresses_are_not_file_offsets_and_reads_stay_in_their_segment() {
        let file = program().build();
        let image = Image::parse(&file).unwrap();
        let offset = image.file_offset(LinkAddr(DATA + 5)).unwrap();
        assert_ne!(offset.0, DATA + 5);
        assert_eq!(file[offset.0 as usize], 7);
        assert_eq!(image.address(offset), Some(LinkAddr(DATA + 5)));
        assert_eq!(image.bytes(LinkAddr(DATA + 5), 27), Some(&[7; 27][..]));
        assert_eq!(image.bytes(LinkAddr(DATA + 5), 28), None);
        assert_eq!(image.bytes_from(LinkAddr(DATA + 32)), None);
        assert_eq!(image.file_offset(LinkAddr(DATA - 1)), None);
        assert_eq!(image.lowest_address(), LinkAddr(TEXT));
        assert!(!image.is_pie() && !image.is_dynamic());
    }

    #[test]
    fn memory_that_the_file_does_not_provide_has_no_bytes() {
        let mut file = program().build();
        // p_memsz of the second program header.
        file[64 + 56 + 40..][..8].copy_from_slice(&4096_u64.to_le_bytes());
        let image = Image::parse(&file).unwrap();
        assert_eq!(image.bytes(LinkAddr(DATA + 32), 1), None);
        assert_eq!(image.pointer(LinkAddr(DATA + 32)), None);
    }

    /// A PIE whose RELA table has these entries (place, type and symbol, target), and 8, 9, 10 in place.
    fn pie(machine: u16, rela: &[[u64; 3]]) -> Vec<u8> {
        let table: Vec<u8> = rela.iter().flat_map(|entry| words(entry)).collect();
        let dynamic = words(&[7, RODATA, 8, table.len() as u64, 0, 0]);
        Elf { kind: 3, machine, ..Elf::default() }
            .load(TEXT, READ_EXEC, &[0; 16])
            .load(RODATA, 4, &table)
            .load(DATA, READ_WRITE, &words(&[8, 9, 10]))
            .segment(2, 0, &dynamic)
            .build()
    }

    fn pointers(file: &[u8]) -> [u64; 3] {
        let image = Image::parse(file).unwrap();
        [0, 8, 16].map(|at| image.pointer(LinkAddr(DATA + at)).unwrap().0)
    }

    #[test]
    fn a_relocated_pointer_is_the_addend_whatever_order_the_table_has() {
        let sorted = [[DATA, 8, 0x1111], [DATA + 16, 8, 0x3333]];
        assert_eq!(pointers(&pie(62, &sorted)), [0x1111, 9, 0x3333]);
        let unsorted = [[DATA + 16, 8, 0x3333], [DATA + 8, 8, 0x2222], [DATA, 8, 0x1111]];
        assert_eq!(pointers(&pie(62, &unsorted)), [0x1111, 0x2222, 0x3333]);
        assert_eq!(pointers(&pie(183, &[[DATA, 1027, 0x1111]])), [0x1111, 9, 10]);
    }

    #[test]
    fn relocations_with_a_symbol_and_tables_that_do_not_exist_change_nothing() {
        let with_symbol = [[DATA, 1 << 32 | 1, 0x1111], [DATA + 8, 1 << 32 | 8, 0x2222]];
        assert_eq!(pointers(&pie(62, &with_symbol)), [8, 9, 10]);
        let mut nowhere = Elf { kind: 3, ..Elf::default() }.load(DATA, READ_WRITE, &words(&[8, 9, 10]));
        nowhere = nowhere.segment(2, 0, &words(&[7, u64::MAX - 8, 8, u64::MAX, 0, 0]));
        assert_eq!(pointers(&nowhere.build()), [8, 9, 10]);
    }

    #[test]
    fn places_that_point_somewhere_are_found_in_place_and_by_relocation() {
        let relocated = pie(62, &[[DATA, 8, 0x1111]]);
        let image = Image::parse(&relocated).unwrap();
        // The table itself holds the number too, and comes after what it relocates.
        assert_eq!(image.pointers_to(LinkAddr(0x1111), &[]).next(), Some(LinkAddr(DATA)));
        assert_eq!(image.pointers_to(LinkAddr(10), &[]).collect::<Vec<_>>(), [LinkAddr(DATA + 16)]);
        // 8 is in the file at DATA, but the loader replaces it.
        assert!(image.pointers_to(LinkAddr(8), &[]).all(|place| place != LinkAddr(DATA)));
    }

    /// "hello" as one stored deflate block in a zlib stream.
    const HELLO: &[u8] = b"\x78\x01\x01\x05\0\xfa\xffhello\x06\x2c\x02\x15";

    #[test]
    fn compressed_sections_are_unpacked_in_both_forms() {
        let header = [words32(&[1, 0]), words(&[5, 1])].concat();
        let old = [b"ZLIB", &5_u64.to_be_bytes()[..], HELLO].concat();
        let file = program()
            .section(".debug_info", 1, 0x800, &[&header, HELLO].concat())
            .section(".zdebug_line", 1, 0, &old)
            .section(".debug_str", 1, 0, b"plain")
            .build();
        let image = Image::parse(&file).unwrap();
        assert_eq!(image.section(".debug_info").as_deref(), Some(&b"hello"[..]));
        assert_eq!(image.section(".debug_line").as_deref(), Some(&b"hello"[..]));
        assert_eq!(image.section(".debug_str").as_deref(), Some(&b"plain"[..]));
        assert_eq!(image.section(".debug_abbrev"), None);
        assert!(image.has_section(".debug_str") && !image.has_section(".debug_line"));
    }

    #[test]
    fn a_section_that_claims_to_unpack_to_a_terabyte_is_not_unpacked() {
        let header = [words32(&[1, 0]), words(&[1 << 40, 1])].concat();
        let old = [b"ZLIB", &(1_u64 << 40).to_be_bytes()[..], HELLO].concat();
        let file = program()
            .section(".debug_info", 1, 0x800, &[&header, HELLO].concat())
            .section(".zdebug_line", 1, 0, &old)
            .build();
        let image = Image::parse(&file).unwrap();
        assert_eq!(image.section(".debug_info"), None);
        assert_eq!(image.section(".debug_line"), None);
    }

    #[test]
    fn a_section_table_out_of_proportion_is_none() {
        let mut file = program();
        for _ in 0..=MAX_SECTIONS {
            file = file.section(".x", 1, 0, b"x");
        }
        let file = file.build();
        let image = Image::parse(&file).unwrap();
        assert!(!image.has_section(".x"));
        assert_eq!(image.bytes(LinkAddr(DATA), 1), Some(&[7][..]));
    }

    #[test]
    fn notes_are_found_by_owner_and_type_with_and_without_sections() {
        let notes = [note(b"GNU", 3, b"\x01\x02"), note(b"Go", 4, b"id")].concat();
        let by_segment = program().segment(4, 0, &notes).build();
        let by_section = program().section(".note", 7, 2, &notes).build();
        for file in [by_segment, by_section] {
            let image = Image::parse(&file).unwrap();
            assert_eq!(image.note(b"Go", 4), Some(&b"id"[..]));
            assert_eq!(image.note(b"GNU", 3), Some(&b"\x01\x02"[..]));
            assert_eq!(image.note(b"Go", 3), None);
        }
    }

    #[test]
    fn a_symbol_is_found_although_its_name_is_the_end_of_another() {
        // An external linker stores `main` inside `go.main`.
        let names = b"\0go.main\0variable\0";
        let symbol = |name: u32, info: u32, section: u32, start: u64, size: u64| {
            [words32(&[name, info | section << 16]), words(&[start, size])].concat()
        };
        let entries = [
            symbol(0, 0, 0, 0, 0),
            symbol(4, 2, 0, 0, 8),
            symbol(4, 2, 1, TEXT, 8),
            symbol(1, 2, 1, TEXT + 16, 8),
            symbol(9, 1, 1, DATA, 4),
        ];
        let file =
            program().section(".symtab", 2, 0, &entries.concat()).section(".strtab", 3, 0, names).build();
        let table = Image::parse(&file).unwrap().symbol_table().unwrap();
        assert!(table.has_functions());
        let only = |start, end| vec![LinkAddr(start)..LinkAddr(end)];
        assert_eq!(table.functions("main").collect::<Vec<_>>(), only(TEXT, TEXT + 8));
        assert_eq!(table.functions("go.main").collect::<Vec<_>>(), only(TEXT + 16, TEXT + 24));
        assert_eq!(table.functions("ain").count(), 0);
        assert_eq!(table.functions("variable").count(), 0);
        assert_eq!(table.variable("variable"), Some(LinkAddr(DATA)..LinkAddr(DATA + 4)));
        assert_eq!(table.function_at(LinkAddr(TEXT + 20)), Some("go.main"));
        assert_eq!(table.function_at(LinkAddr(TEXT + 8)), None);
    }
}
