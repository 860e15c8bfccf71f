//! `runtime.firstmoduledata`: where the linker tells the runtime about text, types and function data.
//!
//! In: an [`Image`] and the address of the function table's header. Out: the few fields goflow needs. Found by its
//! section (Go 1.26 and later), its symbol, else by the pointer to the function table that is its first word, and in
//! every case checked field against field: a layout that does not hold together is refused, never used. The hard thing
//! is that the layout carries no version of its own; see [`Layout`].

use super::addr::LinkAddr;
use super::elf::Image;
use super::version::GoVersion;

/// The fields of `runtime.moduledata` that goflow uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
        let mut found =
            Self { addr, min_pc, max_pc, text, etext, types: None, etypes: None, rodata: None, gofunc: None };
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
