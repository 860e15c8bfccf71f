//! DWARF 4 and 5, where a binary kept it: functions by name, and source positions of code that is not Go's (cgo).
//!
//! Go's own functions are answered by [`super::pclntab`], which is exact, cheap and always there; this is lazy, so a
//! binary with a gigabyte of debug information costs nothing until an address outside Go's text is asked for. Sections
//! may be compressed. Damaged DWARF gives no answer rather than an error: nothing depends on it alone.

use super::addr::LinkAddr;
use super::elf::Image;
use super::frame::Frame;
use elsa::sync::FrozenMap;
use gimli::{AttributeValue, DwarfSections, EndianSlice, LittleEndian, Unit, constants};
use self_cell::self_cell;
use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Mutex, OnceLock, PoisonError};

type Slice<'a> = EndianSlice<'a, LittleEndian>;
type Sections<'d> = DwarfSections<Cow<'d, [u8]>>;
type Context<'a> = addr2line::Context<Slice<'a>>;
type Entry<'a> = gimli::DebuggingInformationEntry<Slice<'a>>;
type Functions = HashMap<Box<str>, Vec<Range<LinkAddr>>>;

/// Most frames kept for one address.
const MAX_INLINE_DEPTH: usize = 256;

self_cell!(
    /// The line tables and the sections they borrow from.
    struct Lines {
        owner: Box<Sections<'static>>,
        #[not_covariant]
        dependent: Context,
    }
);

/// The debug information of an executable; loaded when first asked. It borrows nothing, so that what owns it stays
/// covariant in the lifetime of the file.
#[derive(Default)]
pub struct Dwarf {
    /// Behind a lock because `addr2line` fills its tables on use.
    lines: OnceLock<Option<Mutex<Lines>>>,
    functions: OnceLock<Functions>,
    /// Frames already looked up, kept so that they can be lent out.
    frames: FrozenMap<u64, Box<[OwnedFrame]>>,
}

/// A frame that owns its names.
struct OwnedFrame {
    function: String,
    file: Option<String>,
    line: Option<u32>,
}

impl std::fmt::Debug for Dwarf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dwarf").field("loaded", &self.lines.get().is_some()).finish_non_exhaustive()
    }
}

/// The DWARF sections of `image`, decompressed; a missing one is empty.
#[must_use]
pub fn sections<'d>(image: &Image<'d>) -> Sections<'d> {
    load(|id| image.section(id.name()).unwrap_or_default())
}

fn owned_sections(image: &Image<'_>) -> Sections<'static> {
    load(|id| Cow::Owned(image.section(id.name()).map(Cow::into_owned).unwrap_or_default()))
}

fn load<'d>(section: impl Fn(gimli::SectionId) -> Cow<'d, [u8]>) -> Sections<'d> {
    match DwarfSections::load(|id| Ok::<_, std::convert::Infallible>(section(id))) {
        Ok(sections) => sections,
        Err(never) => match never {},
    }
}

/// True when `image` has debug information in any form.
#[must_use]
pub fn is_present(image: &Image<'_>) -> bool {
    image.has_section(".debug_info") || image.has_section(".zdebug_info")
}

impl Dwarf {
    /// Address ranges of the functions called `name`: one, or a body and a wrapper.
    pub fn functions(&self, image: &Image<'_>, name: &str) -> &[Range<LinkAddr>] {
        let functions = self.functions.get_or_init(|| {
            let sections = sections(image);
            functions(&sections).unwrap_or_default()
        });
        functions.get(name).map_or(&[], Vec::as_slice)
    }

    /// The frames at `pc`, innermost first; empty when the debug information does not cover it.
    pub fn frames(&self, image: &Image<'_>, pc: LinkAddr) -> Vec<Frame<'_>> {
        let found = match self.frames.get(&pc.0) {
            Some(found) => found,
            None => self.frames.insert(pc.0, self.look_up(image, pc).into_boxed_slice()),
        };
        let last = found.len().saturating_sub(1);
        found
            .iter()
            .enumerate()
            .map(|(i, frame)| Frame {
                function: &frame.function,
                file: frame.file.as_deref(),
                line: frame.line,
                inlined: i < last,
                wrapper: false,
            })
            .collect()
    }

    fn look_up(&self, image: &Image<'_>, pc: LinkAddr) -> Vec<OwnedFrame> {
        let lines = self.lines.get_or_init(|| {
            let built = Lines::try_new(Box::new(owned_sections(image)), |sections| {
                addr2line::Context::from_dwarf(sections.borrow(slice))
            });
            built.ok().map(Mutex::new)
        });
        let Some(lines) = lines else { return Vec::new() };
        let lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.with_dependent(|_, context| owned_frames(context, pc).unwrap_or_default())
    }
}

fn owned_frames(context: &Context<'_>, pc: LinkAddr) -> Option<Vec<OwnedFrame>> {
    let mut found = context.find_frames(pc.0).skip_all_loads().ok()?;
    let mut frames = Vec::new();
    while frames.len() < MAX_INLINE_DEPTH
        && let Some(frame) = found.next().ok()?
    {
        let Some(name) = frame.function else { continue };
        frames.push(OwnedFrame {
            function: name.raw_name().ok()?.into_owned(),
            file: frame.location.as_ref().and_then(|l| l.file).map(str::to_owned),
            line: frame.location.and_then(|l| l.line),
        });
    }
    Some(frames)
}

#[expect(clippy::ptr_arg, reason = "the form in which `DwarfSections::borrow` hands it out")]
fn slice<'a>(section: &'a Cow<'_, [u8]>) -> Slice<'a> {
    EndianSlice::new(section, LittleEndian)
}

/// Every function with a name and one range of code, from the top level of each unit.
fn functions(sections: &Sections<'_>) -> gimli::Result<Functions> {
    let mut dwarf = sections.borrow(slice);
    // Go's linker gives all units one table of abbreviations; without the cache each unit would parse it again.
    dwarf.populate_abbreviations_cache(gimli::AbbreviationsCacheStrategy::Duplicates);
    let mut units = Vec::new();
    let mut headers = dwarf.units();
    while let Some(header) = headers.next()? {
        units.push(dwarf.unit(header)?);
    }
    let names = Names { dwarf: &dwarf, units: &units };
    let mut found = Functions::new();
    for unit in &units {
        names.add_functions(unit, &mut found)?;
    }
    Ok(found)
}

/// Finds the names of entries, which may stand in another unit.
struct Names<'i, 'a> {
    dwarf: &'i gimli::Dwarf<Slice<'a>>,
    /// In the order of their offsets.
    units: &'i [Unit<Slice<'a>>],
}

impl<'a> Names<'_, 'a> {
    fn add_functions(&self, unit: &Unit<Slice<'a>>, found: &mut Functions) -> gimli::Result<()> {
        let mut entries = unit.entries();
        // The root, then its first child, then siblings only: what is nested in a function is not one.
        if entries.next_dfs()?.is_none() || entries.next_dfs()?.is_none() {
            return Ok(());
        }
        while let Some(entry) = entries.current() {
            if entry.tag() == constants::DW_TAG_subprogram
                && let Some(range) = self.range(unit, entry)
                && let Some(name) = self.name(unit, entry, 0)
            {
                found.entry(name.into()).or_default().push(range);
            }
            if entries.next_sibling()?.is_none() {
                break;
            }
        }
        Ok(())
    }

    fn range(&self, unit: &Unit<Slice<'a>>, entry: &Entry<'a>) -> Option<Range<LinkAddr>> {
        let low = self.dwarf.attr_address(unit, entry.attr_value(constants::DW_AT_low_pc)?).ok()??;
        let high = entry.attr_value(constants::DW_AT_high_pc)?;
        let high = match self.dwarf.attr_address(unit, high) {
            Ok(Some(address)) => address,
            Ok(None) | Err(_) => low.checked_add(high.udata_value()?)?,
        };
        Some(LinkAddr(low)..LinkAddr(high))
    }

    /// The name of a function, which stands in its abstract entry when it was also inlined somewhere.
    fn name(&self, unit: &Unit<Slice<'a>>, entry: &Entry<'a>, depth: u32) -> Option<&'a str> {
        if let Some(value) = entry.attr_value(constants::DW_AT_name) {
            return std::str::from_utf8(self.dwarf.attr_string(unit, value).ok()?.slice()).ok();
        }
        // Origins chain at most twice in practice (a specification of an abstract instance).
        if depth > 4 {
            return None;
        }
        let (unit, offset) = match entry.attr_value(constants::DW_AT_abstract_origin)? {
            AttributeValue::UnitRef(offset) => (unit, offset),
            AttributeValue::DebugInfoRef(offset) => {
                let after = self.units.partition_point(|u| u.header.debug_info_offset() <= Some(offset));
                let unit = self.units.get(after.checked_sub(1)?)?;
                (unit, offset.to_unit_offset(&unit.header)?)
            }
            _ => return None,
        };
        self.name(unit, &unit.entry(offset).ok()?, depth + 1)
    }
}
