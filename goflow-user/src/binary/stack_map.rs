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
