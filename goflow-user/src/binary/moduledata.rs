//! `runtime.firstmoduledata`: where the linker tells the runtime about text, types and function data.
//!
//! In: an [`Image`] and the address of the function table's header. Out: the few fields goflow needs. Found by its
//! section (Go 1.26 and later), its symbol, else by the pointer to the function table that is its first word, and in
//! every case checked field against field: a layout that does not hold together is refused, never used. The hard thing
//! is that the layout carries no version of its own, and changed three times since Go 1.18.

use super::addr::LinkAddr;
use super::elf::Image;
use super::version::GoVersion;
use std::ops::Range;

/// The fields of `runtime.moduledata` that goflow uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModuleData {
    /// Its own address.
    pub addr: LinkAddr,
    /// Entry of the first Go function; what `_func.entryOff` counts from.
    pub min_pc: LinkAddr,
    /// End of the last Go function.
    pub max_pc: LinkAddr,
    /// Start of the text; what function-table offsets count from. Not the start of `.text` in a cgo program.
    pub text: LinkAddr,
    /// End of the text.
    pub etext: LinkAddr,
    /// Where variables with pointers are that have a first value.
    pub data: Range<LinkAddr>,
    /// Where variables with pointers are that begin as zeroes.
    pub bss: Range<LinkAddr>,
    /// Where all variables are, also those without pointers.
    pub variables: Range<LinkAddr>,
    /// What type and name offsets count from; `None` when the layout of this Go version is unknown.
    pub types: Option<LinkAddr>,
    /// End of the types.
    pub etypes: Option<LinkAddr>,
    /// Start of read-only data.
    pub rodata: Option<LinkAddr>,
    /// `go:func.*`: what function-data offsets (the inline trees) count from.
    pub gofunc: Option<LinkAddr>,
}

/// Where a field stands, in 8-byte words from the start.
///
/// Words 0 to 31 are the same from Go 1.18 to 1.27 (`type moduledata` in runtime/symtab.go): pcHeader, five slices
/// (funcnametab, cutab, filetab, pctab, pclntable), ftab, findfunctab, minpc 20, maxpc 21, text 22, etext 23, then
/// four pairs of data ranges. What follows moved three times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Layout {
    since: (u32, u32),
    until: (u32, u32),
    types: u64,
    etypes: u64,
    rodata: u64,
    gofunc: u64,
}

/// runtime/symtab.go of go1.18.10, go1.20.14 (adds covctrs, ecovctrs) and go1.27.4 (adds typedesclen, itaboffset and
/// itabsize); go1.26 adds epclntab after gofunc, which moves none of these.
const LAYOUTS: [Layout; 3] = [
    Layout { since: (1, 18), until: (1, 19), types: 35, etypes: 36, rodata: 37, gofunc: 38 },
    Layout { since: (1, 20), until: (1, 26), types: 37, etypes: 38, rodata: 39, gofunc: 40 },
    Layout { since: (1, 27), until: (1, 27), types: 37, etypes: 39, rodata: 42, gofunc: 43 },
];

/// Most places that are examined. A real file has one or two pointers to its function table.
const MAX_CANDIDATES: usize = 64;

const MIN_PC: u64 = 20;
const MAX_PC: u64 = 21;
const TEXT: u64 = 22;
const ETEXT: u64 = 23;
const NOPTRDATA: u64 = 24;
const DATA: u64 = 26;
const BSS: u64 = 28;
const ENOPTRBSS: u64 = 31;

impl ModuleData {
    /// Finds the module data whose first word points to the function table at `pclntab`. `version` chooses the layout;
    /// without it, the only layout that holds together is taken, and if several do, none.
    #[must_use]
    pub fn find(image: &Image<'_>, pclntab: LinkAddr, version: Option<&GoVersion>) -> Option<Self> {
        let read = |addr| Self::read(image, addr, pclntab, version);
        image.pointers_to(pclntab, &[".go.module", ".noptrdata"]).take(MAX_CANDIDATES).find_map(read)
    }

    /// Reads the module data at `addr`, if that is what is there.
    fn read(
        image: &Image<'_>,
        addr: LinkAddr,
        pclntab: LinkAddr,
        version: Option<&GoVersion>,
    ) -> Option<Self> {
        let word = |index: u64| image.pointer(addr.checked_add(8 * index)?);
        if word(0)? != pclntab {
            return None;
        }
        let [min_pc, max_pc, text, etext] = [word(MIN_PC)?, word(MAX_PC)?, word(TEXT)?, word(ETEXT)?];
        let range = |index: u64| Some(word(index)?..word(index + 1)?);
        let (data, bss) = (range(DATA)?, range(BSS)?);
        let mut found = Self {
            addr,
            min_pc,
            max_pc,
            text,
            etext,
            data,
            bss,
            variables: word(NOPTRDATA)?..word(ENOPTRBSS)?,
            types: None,
            etypes: None,
            rodata: None,
            gofunc: None,
        };
        found.holds_together(image).then(|| {
            found.read_tail(image, version);
            found
        })
    }

    /// Text is executable and the functions lie in it.
    fn holds_together(&self, image: &Image<'_>) -> bool {
        let executable = image.segments().iter().any(|s| s.executable && s.contains(self.text));
        executable && self.text <= self.min_pc && self.min_pc < self.max_pc && self.max_pc <= self.etext
    }

    /// Fills the fields that moved.
    fn read_tail(&mut self, image: &Image<'_>, version: Option<&GoVersion>) {
        let known = version.map(GoVersion::release);
        // A Go newer than the newest known keeps its layout more often than not, and each field is checked.
        let newest = LAYOUTS[LAYOUTS.len() - 1];
        let candidates: Vec<_> = match known {
            Some(release) if release > newest.until => vec![newest],
            Some(release) => LAYOUTS.into_iter().filter(|l| (l.since..=l.until).contains(&release)).collect(),
            None => LAYOUTS.to_vec(),
        };
        let mut tails = candidates.iter().filter_map(|layout| layout.read(image, self.addr));
        if let (Some(tail), None) = (tails.next(), tails.next()) {
            [self.types, self.etypes, self.rodata, self.gofunc] = tail.map(Some);
        }
    }
}

impl Layout {
    /// types, etypes, rodata and gofunc by this layout, if they can be what they should.
    fn read(&self, image: &Image<'_>, addr: LinkAddr) -> Option<[LinkAddr; 4]> {
        let word = |index: u64| image.pointer(addr.checked_add(8 * index)?);
        let [types, etypes, rodata, gofunc] =
            [word(self.types)?, word(self.etypes)?, word(self.rodata)?, word(self.gofunc)?];
        let backed = |a: LinkAddr| image.bytes_from(a).is_some();
        let ordered = types < etypes && backed(types) && backed(LinkAddr(etypes.0 - 1));
        (ordered && backed(rodata) && backed(gofunc)).then_some([types, etypes, rodata, gofunc])
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{DATA, GoFile, RODATA, Table};
    use super::super::pclntab::{Generation, Pclntab};
    use super::*;

    fn find(file: &GoFile, version: Option<&str>) -> Option<ModuleData> {
        let data = file.build();
        let image = Image::parse(&data).unwrap();
        let table = Pclntab::find(&image).unwrap();
        ModuleData::find(&image, table.addr, version.and_then(GoVersion::parse).as_ref())
    }

    fn of_layout(layout: [usize; 4]) -> GoFile {
        GoFile { layout, ..GoFile::default() }
    }

    #[test]
    fn each_version_has_its_layout() {
        for (version, layout) in [
            ("go1.18", [35, 36, 37, 38]),
            ("go1.19.13", [35, 36, 37, 38]),
            ("go1.20rc1", [37, 38, 39, 40]),
            ("go1.26.8", [37, 38, 39, 40]),
            ("go1.27.4", [37, 39, 42, 43]),
            ("devel go1.28-0123456789", [37, 39, 42, 43]),
        ] {
            let module = find(&of_layout(layout), Some(version)).unwrap();
            assert_eq!(module.types, Some(LinkAddr(RODATA)), "{version}");
            assert_eq!(module.etypes, Some(LinkAddr(RODATA + 0x200)), "{version}");
            assert!(module.gofunc.is_some_and(|at| at > LinkAddr(RODATA + 0x200)), "{version}");
        }
    }

    #[test]
    fn a_layout_that_does_not_hold_together_is_refused_and_the_text_is_still_known() {
        let module = find(&of_layout([35, 36, 37, 38]), Some("go1.22.1")).unwrap();
        assert_eq!((module.types, module.etypes, module.gofunc), (None, None, None));
        assert!(module.max_pc > module.text);
    }

    #[test]
    fn without_a_version_the_only_layout_that_fits_is_taken() {
        for layout in [[35, 36, 37, 38], [37, 38, 39, 40], [37, 39, 42, 43]] {
            assert!(find(&of_layout(layout), None).unwrap().types.is_some(), "{layout:?}");
        }
    }

    #[test]
    fn a_text_that_is_not_executable_is_no_module_data() {
        let file = GoFile::default();
        let mut data = file.build();
        let image = Image::parse(&data).unwrap();
        let table = Pclntab::find(&image).unwrap().addr;
        let module = ModuleData::find(&image, table, None).unwrap();
        let text = image.file_offset(LinkAddr(module.addr.0 + 8 * TEXT)).unwrap().0 as usize;
        data[text..text + 8].copy_from_slice(&DATA.to_le_bytes());
        let image = Image::parse(&data).unwrap();
        assert_eq!(ModuleData::find(&image, table, None), None);
    }

    #[test]
    fn it_is_found_without_sections_and_in_every_generation() {
        for generation in [Generation::Go118, Generation::Go120] {
            let table = Table { generation, ..GoFile::default().table };
            let file = GoFile { table, has_sections: false, ..GoFile::default() };
            assert!(find(&file, Some("go1.22.1")).is_some());
        }
    }
}
