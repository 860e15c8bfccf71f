//! Debug information made by hand: small enough to read, and able to be wrong in one place at a time. That the reader
//! agrees with real programs of each Go is held by tests/tests/offset_table.rs.

use super::*;
use proptest::prelude::*;

/// The abbreviations that [`Info`] uses.
const ABBREV: &[u8] = &[
    1, 0x11, 1, 0x03, 0x08, 0x13, 0x0b, 0, 0, // compile unit with children: name string, language data1
    2, 0x13, 1, 0x03, 0x08, 0x0b, 0x0f, 0, 0, // struct with children: name string, byte size udata
    3, 0x0d, 0, 0x03, 0x08, 0x38, 0x0f, 0x49, 0x10, 0,
    0, // member: name string, location udata, type ref_addr
    4, 0x24, 0, 0x03, 0x08, 0, 0, // base type: name string
    5, 0x16, 0, 0x03, 0x08, 0x49, 0x10, 0, 0, // typedef: name string, type ref_addr
    6, 0x01, 1, 0x0b, 0x0f, 0, 0, // array with children: byte size udata
    7, 0x21, 0, 0x37, 0x0f, 0, 0, // subrange: count udata
    8, 0x34, 0, 0x03, 0x08, 0x49, 0x10, 0, 0, // variable: name string, type ref_addr
    0,
];

const GO: u8 = 0x16;
const C: u8 = 0x01;

/// The bytes of `.debug_info` (DWARF 4), as they grow. What is put in is known by its offset.
#[derive(Default)]
struct Info {
    bytes: Vec<u8>,
}

impl Info {
    /// A compile unit with the entries that `fill` adds.
    fn unit(mut self, name: &str, language: u8, fill: impl FnOnce(&mut Self)) -> Self {
        let start = self.bytes.len();
        self.bytes.extend([0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 8]);
        self.entry(1, name).push(language);
        fill(&mut self);
        self.bytes.push(0);
        let length = u32::try_from(self.bytes.len() - start - 4).expect("a small unit");
        self.bytes[start..start + 4].copy_from_slice(&length.to_le_bytes());
        self
    }

    fn entry(&mut self, code: u8, name: &str) -> &mut Vec<u8> {
        self.bytes.push(code);
        self.bytes.extend(name.bytes().chain([0]));
        &mut self.bytes
    }

    fn here(&self) -> u32 {
        u32::try_from(self.bytes.len()).expect("a small section")
    }

    fn base(&mut self) -> u32 {
        let here = self.here();
        self.entry(4, "uint64");
        here
    }

    fn typedef(&mut self, target: u32) -> u32 {
        let here = self.here();
        self.entry(5, "defined").extend(target.to_le_bytes());
        here
    }

    /// A struct; its members are name, offset and type.
    fn strukt(&mut self, name: &str, size: u8, members: &[(&str, u8, u32)]) -> u32 {
        let here = self.here();
        self.entry(2, name).push(size);
        for (name, offset, of) in members {
            let member = self.entry(3, name);
            member.push(*offset);
            member.extend(of.to_le_bytes());
        }
        self.bytes.push(0);
        here
    }

    fn array(&mut self, size: u8, count: u8) -> u32 {
        let here = self.here();
        self.bytes.extend([6, size, 7, count, 0]);
        here
    }

    fn variable(&mut self, name: &str, of: u32) {
        self.entry(8, name).extend(of.to_le_bytes());
    }

    fn read(&self) -> Result<Offsets, DwarfError> {
        read(&|name| match name {
            ".debug_info" => Some(self.bytes.clone().into()),
            ".debug_abbrev" => Some(ABBREV.into()),
            _ => None,
        })
    }

    /// Lets `ask` look at what the runtime's units say.
    fn ask<T>(&self, ask: impl FnOnce(&Types<'_, '_>) -> T) -> T {
        let sections = Sections {
            info: DebugInfo::new(&self.bytes, LittleEndian),
            abbrev: DebugAbbrev::new(ABBREV, LittleEndian),
            str: DebugStr::new(&[], LittleEndian),
            line_str: DebugLineStr::new(&[], LittleEndian),
        };
        let units = RuntimeUnits::find(&sections).expect("a runtime unit");
        ask(&units.index().expect("valid entries"))
    }

    /// The offset of a path from `runtime.g`.
    fn offset(&self, paths: &[&'static str]) -> Option<u32> {
        self.ask(|types| {
            let at = types.structs["runtime.g"];
            Struct { units: types.units, name: "runtime.g", at }.offset(paths).expect("valid entries")
        })
    }
}

/// A unit with a `runtime.g` that holds a struct through a typedef.
fn nested() -> Info {
    Info::default().unit("runtime", GO, |unit| {
        let word = unit.base();
        let gobuf = unit.strukt("runtime.gobuf", 16, &[("sp", 0, word), ("pc", 8, word)]);
        let defined = unit.typedef(gobuf);
        unit.strukt("runtime.g", 40, &[("m", 8, word), ("sched", 24, defined)]);
    })
}

#[test]
fn a_path_goes_through_structs_and_typedefs() {
    assert_eq!(nested().offset(&["m"]), Some(8));
    assert_eq!(nested().offset(&["sched.pc"]), Some(32));
    assert_eq!(nested().offset(&["sizeof"]), Some(40));
}

#[test]
fn the_first_path_that_exists_is_taken() {
    assert_eq!(nested().offset(&["sched.lr", "m"]), Some(8));
    assert_eq!(nested().offset(&["m.lr", "sched.lr"]), None);
}

#[test]
fn a_cycle_of_typedefs_is_no_field() {
    let cycle = Info::default().unit("runtime", GO, |unit| {
        let itself = unit.here();
        unit.typedef(itself);
        unit.strukt("runtime.g", 8, &[("sched", 0, itself)]);
    });
    assert_eq!(cycle.offset(&["sched.pc"]), None);
    assert_eq!(cycle.offset(&["sched"]), Some(0));
}

#[test]
fn types_are_found_in_whichever_unit_of_the_runtime_has_them() {
    // As Go's linker does: functions in one unit, types in another; and a C unit in between, with a name of the runtime's.
    let mut word = 0;
    let info = Info::default()
        .unit("runtime", GO, |unit| word = unit.base())
        .unit("runtime", C, |unit| {
            unit.strukt("runtime.g", 99, &[]);
        })
        .unit("runtime", GO, |unit| {
            unit.strukt("runtime.g", 40, &[("m", 8, word)]);
        });
    assert_eq!(info.offset(&["sizeof"]), Some(40));
    assert_eq!(info.offset(&["m"]), Some(8));
}

#[test]
fn the_semaphore_table_is_an_array_of_equal_buckets() {
    let table = |size, count| {
        let info = Info::default().unit("runtime", GO, |unit| {
            let array = unit.array(size, count);
            unit.variable("runtime.semtable", array);
        });
        info.ask(|types| types.sema_table())
    };
    assert_eq!(table(120, 5), Ok(SemaTable { len: 5, stride: 24 }));
    assert_eq!(table(121, 5), Err(DwarfError::SemaTable));
    assert_eq!(table(120, 0), Err(DwarfError::SemaTable));
    assert_eq!(nested().ask(|types| types.sema_table()), Err(DwarfError::SemaTable));
}

#[test]
fn a_program_without_debug_information_says_so() {
    assert_eq!(read(&|_| None), Err(DwarfError::Absent));
}

#[test]
fn a_program_without_the_runtime_is_refused() {
    let info = Info::default().unit("main", GO, |_| ()).unit("runtime", C, |_| ());
    assert_eq!(info.read(), Err(DwarfError::NoRuntimeUnit));
}

#[test]
fn a_struct_that_is_missing_is_named() {
    let info = Info::default().unit("runtime", GO, |_| ());
    assert_eq!(info.read(), Err(DwarfError::NoStruct("runtime.g")));
}

#[test]
fn a_field_that_is_missing_is_named_by_its_newest_path() {
    let missing = DwarfError::NoField { strukt: "runtime.g", field: "stack.lo" };
    assert_eq!(nested().read(), Err(missing.clone()));
    assert_eq!(missing.to_string(), "the DWARF debug information of runtime.g has no field stack.lo");
}

#[test]
fn an_entry_with_an_unknown_abbreviation_is_damage() {
    let info = Info::default().unit("runtime", GO, |unit| unit.bytes.push(99));
    assert!(matches!(info.read(), Err(DwarfError::Malformed(_))));
}

proptest! {
    #[test]
    fn damage_in_any_byte_never_panics(at in 0..1000usize, to in any::<u8>(), cut in 0..1000usize) {
        let mut info = nested();
        let at = at % info.bytes.len();
        info.bytes[at] = to;
        let _ = info.read();
        info.bytes.truncate(cut % info.bytes.len());
        let _ = info.read();
    }

    #[test]
    fn arbitrary_sections_never_panic(
        info in prop::collection::vec(any::<u8>(), 1..300),
        abbrev in prop::collection::vec(any::<u8>(), 0..100),
    ) {
        let _ = read(&|name| Some(if name == ".debug_info" { info.clone() } else { abbrev.clone() }.into()));
    }
}
