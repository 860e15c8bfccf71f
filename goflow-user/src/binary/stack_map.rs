//! Which words of a function's frame are live pointers at a call.
//!
//! In: the function table and a return address. Out: the places of live pointers, as the compiler noted them for the runtime's
//! own collector (`getStackMap` in src/runtime/stkframe.go, the same from Go 1.18 to 1.27). What is not among them on a stack is
//! no pointer, or one that the function does not use any more. Everything is bounded by the bytes there are.

use super::addr::LinkAddr;
use super::pclntab::Pclntab;
use super::read::{i32_at, u8_at, u32_at, u64_at};

const PCDATA_STACK_MAP_INDEX: usize = 1;
const FUNCDATA_ARGS_POINTER_MAPS: u32 = 0;
const FUNCDATA_LOCALS_POINTER_MAPS: u32 = 1;
const FUNCDATA_STACK_OBJECTS: u32 = 2;

/// Most words of a map, and most objects, that are believed.
const MOST: usize = 1 << 16;

/// Bytes of a `stackObjectRecord` (src/runtime/stack.go).
const OBJECT_RECORD: usize = 16;

/// The pointers in a frame, in bytes: of locals from `varp`, the end of the locals; of arguments from `argp`, where they begin.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StackMap {
    /// Of live pointers among the locals, all below 0; `None` where there is no map, so that each may be one.
    pub locals: Option<Vec<i32>>,
    /// Of live pointers among the arguments; `None` where there is no map.
    pub args: Option<Vec<i32>>,
    /// Bytes of arguments on the stack.
    pub args_size: u32,
    /// Locals and arguments whose address is taken: they live while something points to them.
    pub objects: Vec<StackObject>,
}

/// A variable on a stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StackObject {
    /// Below 0 from `varp`, else from `argp`, bytes.
    pub offset: i32,
    /// Bytes.
    pub size: u32,
}

impl Pclntab<'_> {
    /// The map of the frame that returns to `pc`; `None` where no function is known there.
    #[must_use]
    pub fn stack_map(&self, pc: LinkAddr) -> Option<StackMap> {
        let record = self.find_pc(pc)?;
        let offset = u32::try_from(pc.0 - self.text?.0).ok()? - record.entry;
        // Of one that has only begun, the map at its entry.
        let index = match offset.checked_sub(1) {
            Some(call) => self.map_index(record.at, call).unwrap_or(0),
            None => 0,
        };
        let bits = |kind| self.bitmap(self.funcdata(&record, kind)?, index);
        let locals = bits(FUNCDATA_LOCALS_POINTER_MAPS);
        let args_size = i32_at(self.functions, record.at + 8).and_then(|size| u32::try_from(size).ok());
        Some(StackMap {
            locals: locals.map(|(bits, places)| places.into_iter().map(|place| 8 * (place - bits)).collect()),
            args: bits(FUNCDATA_ARGS_POINTER_MAPS)
                .map(|(_, places)| places.into_iter().map(|place| 8 * place).collect()),
            args_size: args_size.unwrap_or(0),
            objects: self
                .funcdata(&record, FUNCDATA_STACK_OBJECTS)
                .map_or_else(Vec::new, |at| self.objects(at)),
        })
    }

    fn map_index(&self, at: usize, offset: u32) -> Option<u32> {
        let tables = u32_at(self.functions, at + 28)?;
        if PCDATA_STACK_MAP_INDEX as u32 >= tables {
            return None;
        }
        let slot = at + self.record_size() + 4 * PCDATA_STACK_MAP_INDEX;
        u32::try_from(self.value_at(u32_at(self.functions, slot)?, offset)?).ok()
    }

    /// How many words a map is of, and which of them are pointers.
    fn bitmap(&self, at: u32, index: u32) -> Option<(i32, Vec<i32>)> {
        let (data, at) = (self.inline_trees?, at as usize);
        let count = i32_at(data, at)?;
        let bits = i32_at(data, at.checked_add(4)?)?;
        if bits < 0 || bits as usize > MOST || !(0..count).contains(&i32::try_from(index).ok()?) {
            return None;
        }
        let bytes = (bits as usize).div_ceil(8);
        let first = at.checked_add(8)?.checked_add(bytes.checked_mul(index as usize)?)?;
        let mut places = Vec::new();
        for place in 0..bits {
            let byte = u8_at(data, first.checked_add(place as usize / 8)?)?;
            if byte & (1 << (place % 8)) != 0 {
                places.push(place);
            }
        }
        Some((bits, places))
    }

    fn objects(&self, at: u32) -> Vec<StackObject> {
        let (Some(data), at) = (self.inline_trees, at as usize) else { return Vec::new() };
        let count = u64_at(data, at).and_then(|count| usize::try_from(count).ok()).unwrap_or(0).min(MOST);
        let record = |n: usize| {
            let at = at.checked_add(8)?.checked_add(n.checked_mul(OBJECT_RECORD)?)?;
            let size = u32::try_from(i32_at(data, at.checked_add(4)?)?).ok()?;
            Some(StackObject { offset: i32_at(data, at)?, size })
        };
        (0..count).map_while(record).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::elf::Image;
    use super::super::fixture::{Func, GoFile, TEXT, words, words32};
    use super::super::moduledata::ModuleData;
    use super::super::pclntab::Generation;
    use super::*;
    use proptest::prelude::*;

    /// Bytes of code of the function under test, which comes first.
    const SIZE: u32 = 32;

    /// Where the first notes are among those of all functions: behind a word that nothing points to.
    const FIRST_NOTE: usize = 8;

    /// What a compiler would note.
    #[derive(Clone, Debug)]
    struct Notes {
        /// Each of as many bits.
        locals: Vec<Vec<bool>>,
        args: Vec<Vec<bool>>,
        objects: Vec<(i32, u32)>,
        args_size: u32,
        /// Which map holds, and for how many bytes of code.
        runs: Vec<(i32, u32)>,
    }

    impl Notes {
        fn file(&self, generation: Generation) -> GoFile {
            let mut file = GoFile::default();
            file.table.generation = generation;
            if generation == Generation::Go118 {
                file.layout = [35, 36, 37, 38];
                file.version = Some("go1.18.10");
            }
            let pointers =
                [Some(bitmaps(&self.args)), Some(bitmaps(&self.locals)), Some(records(&self.objects))];
            let stack_maps = self.runs.clone();
            file.table.functions[0] = Func {
                stack_maps,
                pointers,
                args_size: self.args_size,
                ..Func::plain("main.first", SIZE, 0, 1)
            };
            file
        }

        /// Which map holds where a call returns to that many bytes behind the entry.
        fn index(&self, offset: u32) -> usize {
            let mut end = 0;
            let holds = self.runs.iter().find(|(_, length)| {
                end += length;
                offset.checked_sub(1).is_some_and(|call| call < end)
            });
            holds.and_then(|(index, _)| usize::try_from(*index).ok()).unwrap_or(0)
        }

        fn expected(&self, offset: u32) -> StackMap {
            let index = self.index(offset);
            let set = |bits: &[bool]| -> Vec<i32> {
                (0..).zip(bits).filter(|(_, bit)| **bit).map(|(n, _)| n).collect()
            };
            let count = |bits: &[bool]| i32::try_from(bits.len()).unwrap();
            StackMap {
                locals: self
                    .locals
                    .get(index)
                    .map(|bits| set(bits).iter().map(|n| 8 * (n - count(bits))).collect()),
                args: self.args.get(index).map(|bits| set(bits).iter().map(|n| 8 * n).collect()),
                args_size: self.args_size,
                objects: self.objects.iter().map(|&(offset, size)| StackObject { offset, size }).collect(),
            }
        }
    }

    /// A `stackmap` (src/runtime/symtab.go): how many, of how many bits, and then those, lowest first, from byte to byte.
    fn bitmaps(maps: &[Vec<bool>]) -> Vec<u8> {
        let bits = maps.first().map_or(0, Vec::len);
        let mut bytes = words32(&[u32::try_from(maps.len()).unwrap(), u32::try_from(bits).unwrap()]);
        for map in maps {
            bytes.extend(
                map.chunks(8).map(|byte| (0..8).zip(byte).map(|(n, bit)| u8::from(*bit) << n).sum::<u8>()),
            );
        }
        bytes
    }

    /// `stackObjectRecord`s (src/runtime/stack.go) behind their number.
    fn records(objects: &[(i32, u32)]) -> Vec<u8> {
        let mut bytes = words(&[objects.len() as u64]);
        bytes.extend(
            objects.iter().flat_map(|&(offset, size)| words32(&[offset.cast_unsigned(), size, size, 0x99])),
        );
        bytes
    }

    fn with_table<T>(file: &GoFile, check: impl FnOnce(Pclntab<'_>) -> T) -> T {
        let data = file.build();
        let image = Image::parse(&data).unwrap();
        let table = Pclntab::find(&image).unwrap();
        let module = ModuleData::find(&image, table.addr, None).unwrap();
        check(table.with_module(&image, &module))
    }

    fn with_notes<'d>(mut table: Pclntab<'d>, notes: &'d [u8]) -> Pclntab<'d> {
        table.inline_trees = Some(notes);
        table
    }

    fn maps() -> impl Strategy<Value = Vec<Vec<bool>>> {
        (0_usize..70, 1_usize..5).prop_flat_map(|(bits, count)| {
            prop::collection::vec(prop::collection::vec(any::<bool>(), bits), count)
        })
    }

    fn notes() -> impl Strategy<Value = Notes> {
        let objects = prop::collection::vec((any::<i32>(), 0..1_u32 << 31), 0..6);
        // Up to one more than there are maps: a number that leads nowhere is none.
        let runs = prop::collection::vec((-1..5, 1..12_u32), 0..6).prop_map(|mut runs| {
            // No change of the value ends a table.
            runs.dedup_by_key(|run| run.0);
            runs
        });
        (maps(), maps(), objects, 0..1_u32 << 31, runs).prop_map(
            |(locals, args, objects, args_size, runs)| Notes { locals, args, objects, args_size, runs },
        )
    }

    fn generation() -> impl Strategy<Value = Generation> {
        prop_oneof![Just(Generation::Go118), Just(Generation::Go120)]
    }

    proptest! {
        #[test]
        fn what_the_compiler_noted_is_what_is_read(notes in notes(), generation in generation()) {
            with_table(&notes.file(generation), |table| {
                for offset in 0..SIZE {
                    let map = table.stack_map(LinkAddr(TEXT + u64::from(offset)));
                    prop_assert_eq!(map, Some(notes.expected(offset)), "at {}", offset);
                }
                Ok(())
            })?;
        }

        #[test]
        fn a_map_of_which_a_part_is_missing_is_none(
            notes in notes(),
            generation in generation(),
            cut in any::<prop::sample::Index>(),
        ) {
            // The last of the locals' maps is the one that holds.
            let last = i32::try_from(notes.locals.len()).unwrap() - 1;
            let notes = Notes { runs: vec![(last, SIZE)], ..notes };
            let file = notes.file(generation);
            let (_, data) = file.table.build();
            let (start, len) = (FIRST_NOTE + bitmaps(&notes.args).len(), bitmaps(&notes.locals).len());
            with_table(&file, |table| {
                let locals = |end: usize| {
                    with_notes(table, &data[..end]).stack_map(LinkAddr(TEXT + 4)).unwrap().locals
                };
                prop_assert_eq!(locals(start + len), notes.expected(4).locals);
                let end = start + cut.index(len);
                prop_assert_eq!(locals(end), None, "{} of {} bytes", end - start, len);
                Ok(())
            })?;
        }

        #[test]
        fn of_a_list_of_variables_that_is_cut_short_the_first_are_known(
            notes in notes(),
            cut in any::<prop::sample::Index>(),
        ) {
            let file = notes.file(Generation::Go120);
            let (_, data) = file.table.build();
            let start = FIRST_NOTE + bitmaps(&notes.args).len() + bitmaps(&notes.locals).len();
            let len = cut.index(records(&notes.objects).len() + 1);
            with_table(&file, |table| {
                let cut = with_notes(table, &data[..start + len]);
                let objects = cut.stack_map(LinkAddr(TEXT + 4)).unwrap().objects;
                // The first is behind a word, and half of each is read.
                let whole = (len / OBJECT_RECORD).min(notes.objects.len());
                prop_assert_eq!(&objects[..], &notes.expected(4).objects[..whole]);
                Ok(())
            })?;
        }

        #[test]
        fn arbitrary_notes_never_panic_and_are_bounded(
            notes in notes(),
            generation in generation(),
            garbage in prop::collection::vec(any::<u8>(), 0..200),
            damage in prop::collection::vec((any::<prop::sample::Index>(), prop_oneof![Just(0), Just(0xff), any::<u8>()]), 0..20),
        ) {
            let mut data = notes.file(generation).build();
            let magic = memchr::memmem::find(&data, b"\xff\xff\xff\0\0\x01\x08").unwrap() + 7;
            for (at, byte) in damage {
                let at = magic + at.index(data.len() - magic);
                data[at] = byte;
            }
            let image = Image::parse(&data).unwrap();
            let Ok(table) = Pclntab::find(&image) else { return Ok(()) };
            let module = ModuleData::find(&image, table.addr, None);
            let table = module.map_or(table, |module| table.with_module(&image, &module));
            for table in [table, with_notes(table, &garbage)] {
                for pc in (TEXT..TEXT + 0x100).chain([0, u64::MAX]) {
                    let Some(map) = table.stack_map(LinkAddr(pc)) else { continue };
                    for places in [map.locals, map.args].into_iter().flatten() {
                        prop_assert!(places.len() <= MOST, "{}", places.len());
                    }
                    prop_assert!(map.objects.len() <= data.len() / OBJECT_RECORD, "{}", map.objects.len());
                }
            }
        }
    }

    #[test]
    fn a_map_of_more_words_than_any_frame_has_is_none() {
        let notes = |bits: usize| Notes {
            locals: vec![vec![true; bits]],
            args: Vec::new(),
            objects: Vec::new(),
            args_size: 0,
            runs: Vec::new(),
        };
        for (bits, is_read) in [(MOST, true), (MOST + 1, false)] {
            with_table(&notes(bits).file(Generation::Go120), |table| {
                let map = table.stack_map(LinkAddr(TEXT)).unwrap();
                assert_eq!(map.locals.map(|places| places.len()), is_read.then_some(bits));
            });
        }
    }
}
