//! Struct offsets from a program's own debug information (DWARF 4 and 5, as Go's linker writes them).
//!
//! In: a function that gives sections by name, decompressed; out: [`Offsets`]. Refuses a program without debug
//! information and one whose information lacks a field, with its name. Go's linker puts every type of the program into
//! a compile unit of package runtime (cmd/link/internal/ld/dwarf.go, `dwarfGenerateDebugInfo`), so those units alone are
//! read. The hard thing is cost: they can be most of a large program's debug information, so entries that are not wanted
//! are skipped, not parsed, and reading stops when everything was seen.

use super::layout::Layout;
use super::{Offsets, SemaTable};
use gimli::{
    Abbreviations, AbbreviationsCache, AbbreviationsCacheStrategy, Attribute, AttributeSpecification,
    AttributeValue, DebugAbbrev, DebugInfo, DebugInfoOffset, DebugLineStr, DebugStr, DwTag, EndianSlice,
    EntriesRaw, LittleEndian, SectionId, UnitHeader, UnitOffset,
};
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

/// Gives the bytes of a section by name, decompressed; `None` when the file has no such section.
pub type SectionLoader<'f, 'd> = dyn Fn(&str) -> Option<Cow<'d, [u8]>> + 'f;

type Reader<'d> = EndianSlice<'d, LittleEndian>;

/// Why offsets could not be read from debug information.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DwarfError {
    /// There is no `.debug_info`.
    #[error("the binary has no DWARF debug information (built with -ldflags=-w, or stripped)")]
    Absent,
    /// The bytes are not valid DWARF.
    #[error("the DWARF debug information is damaged: {0}")]
    Malformed(#[from] gimli::Error),
    /// No compile unit is Go's package runtime.
    #[error("the DWARF debug information has no compile unit of Go's package runtime")]
    NoRuntimeUnit,
    /// A struct that every Go program has is missing.
    #[error("the DWARF debug information does not describe {0}")]
    NoStruct(&'static str),
    /// A struct has none of the fields under which this offset is known.
    #[error("the DWARF debug information of {strukt} has no field {field}")]
    NoField {
        /// Go's name of the struct.
        strukt: &'static str,
        /// The newest path that was looked for.
        field: &'static str,
    },
    /// The semaphore table is not an array of padded buckets.
    #[error("the DWARF debug information describes runtime.semtable in a form goflow does not know")]
    SemaTable,
}

/// Reads every offset.
///
/// # Errors
/// See [`DwarfError`]. What a program does not contain (a program without `sync.Cond` has no such type) is `None` in the
/// result; what every program contains is an error.
pub(super) fn read(load: &SectionLoader<'_, '_>) -> Result<Offsets, DwarfError> {
    let section = |id: SectionId| load(id.name());
    let info = section(SectionId::DebugInfo).filter(|info| !info.is_empty()).ok_or(DwarfError::Absent)?;
    // The other sections are larger together and say nothing about types, so they are not decompressed.
    let [abbrev, str, line_str] = [SectionId::DebugAbbrev, SectionId::DebugStr, SectionId::DebugLineStr]
        .map(|id| section(id).unwrap_or_default());
    let sections = Sections {
        info: DebugInfo::new(&info, LittleEndian),
        abbrev: DebugAbbrev::new(&abbrev, LittleEndian),
        str: DebugStr::new(&str, LittleEndian),
        line_str: DebugLineStr::new(&line_str, LittleEndian),
    };
    let units = RuntimeUnits::find(&sections)?;
    let types = units.index()?;
    Ok(Offsets {
        g: types.required()?,
        m: types.required()?,
        p: types.required()?,
        mheap: types.required()?,
        mspan: types.required()?,
        special: types.required()?,
        deferred: types.required()?,
        hchan: types.required()?,
        waitq: types.required()?,
        sudog: types.required()?,
        sema_root: types.required()?,
        sema_table: types.sema_table()?,
        timer: types.required()?,
        ancestor_info: types.required()?,
        type_descriptor: types.required()?,
        scase: types.optional()?,
        timer_when: types.optional()?,
        notify_list: types.optional()?,
        poll_desc: types.optional()?,
        mutex: types.optional()?,
        rw_mutex: types.optional()?,
        wait_group: types.optional()?,
        cond: types.optional()?,
    })
}

/// The sections that describe types.
struct Sections<'a> {
    info: DebugInfo<Reader<'a>>,
    abbrev: DebugAbbrev<Reader<'a>>,
    str: DebugStr<Reader<'a>>,
    line_str: DebugLineStr<Reader<'a>>,
}

/// The compile units of package runtime: one for its Go files, one per assembly file, and among them the types.
struct RuntimeUnits<'a> {
    sections: &'a Sections<'a>,
    units: Vec<Unit<'a>>,
}

struct Unit<'a> {
    start: DebugInfoOffset,
    header: UnitHeader<Reader<'a>>,
    abbreviations: Arc<Abbreviations>,
}

impl<'a> Unit<'a> {
    fn entries(&self, at: Option<UnitOffset>) -> Result<EntriesRaw<'_, Reader<'a>>, DwarfError> {
        Ok(self.header.entries_raw(&self.abbreviations, at)?)
    }
}

impl<'a> RuntimeUnits<'a> {
    fn find(sections: &'a Sections<'a>) -> Result<Self, DwarfError> {
        // Go's linker gives all its units one abbreviation table.
        let mut cache = AbbreviationsCache::new();
        cache.populate(AbbreviationsCacheStrategy::Duplicates, &sections.abbrev, sections.info.units());
        let mut found = Self { sections, units: Vec::new() };
        let mut headers = sections.info.units();
        while let Some(header) = headers.next()? {
            let Some(start) = header.debug_info_offset() else { continue };
            let abbreviations = cache.get(&sections.abbrev, header.debug_abbrev_offset())?;
            let unit = Unit { start, header, abbreviations };
            if found.is_runtime(&unit)? {
                found.units.push(unit);
            }
        }
        if found.units.is_empty() { Err(DwarfError::NoRuntimeUnit) } else { Ok(found) }
    }

    fn is_runtime(&self, unit: &Unit<'a>) -> Result<bool, DwarfError> {
        let mut entries = unit.entries(None)?;
        let Some(root) = entries.read_abbreviation()? else { return Ok(false) };
        let attributes = self.attributes(unit, &mut entries, root.attributes())?;
        let is_go = attributes.language == Some(u64::from(gimli::DW_LANG_Go.0));
        Ok(is_go && root.tag() == gimli::DW_TAG_compile_unit && attributes.name == Some(b"runtime"))
    }

    /// One pass over the top level of the units: where the wanted types are. Go's linker puts the types into the last.
    fn index(&self) -> Result<Types<'_, 'a>, DwarfError> {
        let mut types = Types { units: self, structs: HashMap::new(), sema_table: None };
        for unit in &self.units {
            self.index_unit(unit, &mut types)?;
        }
        Ok(types)
    }

    fn index_unit(&self, unit: &Unit<'a>, types: &mut Types<'_, 'a>) -> Result<(), DwarfError> {
        let mut entries = unit.entries(None)?;
        while !entries.is_empty() && !types.are_complete() {
            let (offset, depth) = (entries.next_offset(), entries.next_depth());
            let Some(entry) = entries.read_abbreviation()? else { continue };
            let specs = entry.attributes();
            match entry.tag() {
                gimli::DW_TAG_structure_type if depth == 1 => {
                    let attributes = self.attributes(unit, &mut entries, specs)?;
                    let name = attributes.name.and_then(wanted_struct);
                    if let (Some(name), Some(at)) = (name, offset.to_debug_info_offset(&unit.header)) {
                        types.structs.insert(name, at);
                    }
                }
                gimli::DW_TAG_variable if depth == 1 => {
                    let attributes = self.attributes(unit, &mut entries, specs)?;
                    if attributes.name == Some(b"runtime.semtable") {
                        types.sema_table = attributes.type_offset;
                    }
                }
                _ => entries.skip_attributes(specs)?,
            }
        }
        Ok(())
    }

    fn attributes(
        &self,
        unit: &Unit<'a>,
        entries: &mut EntriesRaw<'_, Reader<'a>>,
        specs: &[AttributeSpecification],
    ) -> Result<Attributes<'a>, DwarfError> {
        let mut attributes = Attributes::default();
        for spec in specs {
            let attribute = entries.read_attribute(*spec)?;
            attributes.take(self.sections, unit, &attribute);
        }
        Ok(attributes)
    }

    /// Follows typedefs from `at` to an entry with this tag; with it come its attributes and a reader that stands at its
    /// children.
    fn resolve(&self, mut at: DebugInfoOffset, tag: DwTag) -> Result<Option<Resolved<'_, 'a>>, DwarfError> {
        /// Go makes one typedef per defined type; more than this is a cycle.
        const MOST_TYPEDEFS: usize = 8;
        for _ in 0..MOST_TYPEDEFS {
            let index = self.units.partition_point(|unit| unit.start <= at);
            let Some(unit) = index.checked_sub(1).and_then(|index| self.units.get(index)) else {
                return Ok(None);
            };
            let Some(offset) = at.to_unit_offset(&unit.header) else { return Ok(None) };
            let mut children = unit.entries(Some(offset))?;
            let Some(entry) = children.read_abbreviation()? else { return Ok(None) };
            let attributes = self.attributes(unit, &mut children, entry.attributes())?;
            if entry.tag() == tag {
                return Ok(Some(Resolved { unit, attributes, children }));
            }
            match attributes.type_offset {
                Some(next) if entry.tag() == gimli::DW_TAG_typedef => at = next,
                _ => return Ok(None),
            }
        }
        Ok(None)
    }
}

/// A type's entry.
struct Resolved<'u, 'a> {
    unit: &'u Unit<'a>,
    attributes: Attributes<'a>,
    children: EntriesRaw<'u, Reader<'a>>,
}

/// The attributes of an entry that matter here.
#[derive(Default)]
struct Attributes<'a> {
    name: Option<&'a [u8]>,
    language: Option<u64>,
    type_offset: Option<DebugInfoOffset>,
    byte_size: Option<u64>,
    member_location: Option<u64>,
    count: Option<u64>,
}

impl<'a> Attributes<'a> {
    fn take(&mut self, sections: &Sections<'a>, unit: &Unit<'a>, attribute: &Attribute<Reader<'a>>) {
        let value = attribute.value();
        let number = || match value {
            AttributeValue::Language(language) => Some(u64::from(language.0)),
            _ => attribute.udata_value(),
        };
        match attribute.name() {
            gimli::DW_AT_name => self.name = text(sections, &value),
            gimli::DW_AT_language => self.language = number(),
            gimli::DW_AT_type => self.type_offset = reference(unit, &value),
            gimli::DW_AT_byte_size => self.byte_size = number(),
            gimli::DW_AT_data_member_location => self.member_location = number(),
            gimli::DW_AT_count => self.count = number(),
            _ => {}
        }
    }
}

fn text<'a>(sections: &Sections<'a>, value: &AttributeValue<Reader<'a>>) -> Option<&'a [u8]> {
    let text = match value {
        AttributeValue::String(text) => *text,
        AttributeValue::DebugStrRef(offset) => sections.str.get_str(*offset).ok()?,
        AttributeValue::DebugLineStrRef(offset) => sections.line_str.get_str(*offset).ok()?,
        _ => return None,
    };
    Some(text.slice())
}

fn reference<'a>(unit: &Unit<'a>, value: &AttributeValue<Reader<'a>>) -> Option<DebugInfoOffset> {
    match value {
        AttributeValue::UnitRef(offset) => offset.to_debug_info_offset(&unit.header),
        AttributeValue::DebugInfoRef(offset) => Some(*offset),
        _ => None,
    }
}

fn wanted_struct(name: &[u8]) -> Option<&'static str> {
    Offsets::STRUCTS.iter().flat_map(|names| names.iter()).copied().find(|wanted| wanted.as_bytes() == name)
}

/// Where the wanted types of a program are described.
struct Types<'u, 'a> {
    units: &'u RuntimeUnits<'a>,
    structs: HashMap<&'static str, DebugInfoOffset>,
    sema_table: Option<DebugInfoOffset>,
}

impl Types<'_, '_> {
    fn are_complete(&self) -> bool {
        self.sema_table.is_some() && self.structs.len() == Offsets::STRUCTS.len()
    }

    fn required<L: Layout>(&self) -> Result<L, DwarfError> {
        self.optional()?.ok_or(DwarfError::NoStruct(L::GO[0]))
    }

    fn optional<L: Layout>(&self) -> Result<Option<L>, DwarfError> {
        let found = L::GO.iter().find_map(|name| self.structs.get(name)).copied();
        found.map(|at| L::read(&Struct { units: self.units, name: L::GO[0], at })).transpose()
    }

    /// `runtime.semtable` is an array of `struct { root semaRoot; pad [...]byte }` (src/runtime/sema.go).
    fn sema_table(&self) -> Result<SemaTable, DwarfError> {
        let array =
            self.sema_table.map(|at| self.units.resolve(at, gimli::DW_TAG_array_type)).transpose()?.flatten();
        let Some(mut array) = array else { return Err(DwarfError::SemaTable) };
        let mut len = None;
        while array.children.next_depth() >= 1 {
            let Some(child) = array.children.read_abbreviation()? else { continue };
            let attributes = self.units.attributes(array.unit, &mut array.children, child.attributes())?;
            len = len.or(attributes.count);
        }
        array.attributes.byte_size.zip(len).and_then(SemaTable::from_array).ok_or(DwarfError::SemaTable)
    }
}

impl SemaTable {
    fn from_array((size, len): (u64, u64)) -> Option<Self> {
        let stride = size.checked_div(len).filter(|stride| stride.checked_mul(len) == Some(size))?;
        Some(Self { len: len.try_into().ok()?, stride: stride.try_into().ok()? })
    }
}

/// A struct whose fields can be asked for.
pub(super) struct Struct<'u, 'a> {
    units: &'u RuntimeUnits<'a>,
    name: &'static str,
    at: DebugInfoOffset,
}

impl Struct<'_, '_> {
    /// Offset of the first of `paths` that exists.
    fn offset(&self, paths: &[&'static str]) -> Result<Option<u32>, DwarfError> {
        for path in paths {
            if let Some(offset) = self.path_offset(path)? {
                return Ok(Some(offset));
            }
        }
        Ok(None)
    }

    fn path_offset(&self, path: &str) -> Result<Option<u32>, DwarfError> {
        if path == "sizeof" {
            let resolved = self.units.resolve(self.at, gimli::DW_TAG_structure_type)?;
            return Ok(resolved.and_then(|entry| entry.attributes.byte_size?.try_into().ok()));
        }
        let (mut at, mut offset) = (self.at, 0u64);
        for name in path.split('.') {
            let Some((member, member_type)) = self.member(at, name)? else { return Ok(None) };
            offset = offset.saturating_add(member);
            at = member_type;
        }
        Ok(offset.try_into().ok())
    }

    /// Offset and type of a direct member of the struct type at `at`.
    fn member(&self, at: DebugInfoOffset, name: &str) -> Result<Option<(u64, DebugInfoOffset)>, DwarfError> {
        let Some(mut entry) = self.units.resolve(at, gimli::DW_TAG_structure_type)? else { return Ok(None) };
        while entry.children.next_depth() >= 1 {
            let direct = entry.children.next_depth() == 1;
            let Some(child) = entry.children.read_abbreviation()? else { continue };
            let attributes = self.units.attributes(entry.unit, &mut entry.children, child.attributes())?;
            if direct && child.tag() == gimli::DW_TAG_member && attributes.name == Some(name.as_bytes()) {
                return Ok(attributes.member_location.zip(attributes.type_offset));
            }
        }
        Ok(None)
    }
}

/// How the offset of a field is stored: `u32` where every Go version has the field, `Option<u32>` where not.
pub(super) trait FieldOffset: Sized {
    fn read(fields: &Struct<'_, '_>, paths: &[&'static str]) -> Result<Self, DwarfError>;
}

impl FieldOffset for u32 {
    fn read(fields: &Struct<'_, '_>, paths: &[&'static str]) -> Result<Self, DwarfError> {
        fields.offset(paths)?.ok_or(DwarfError::NoField { strukt: fields.name, field: paths[0] })
    }
}

impl FieldOffset for Option<u32> {
    fn read(fields: &Struct<'_, '_>, paths: &[&'static str]) -> Result<Self, DwarfError> {
        fields.offset(paths)
    }
}

#[cfg(test)]
mod tests;
