//! Go's name of a type, from its descriptor.
//!
//! In: the address of an `abi.Type` (internal/abi/type.go; `runtime._type` up to Go 1.20, the same layout from 1.18 to
//! 1.27). Refuses a descriptor outside the module's types, as those made at run time by `reflect` are.

use super::addr::LinkAddr;
use super::elf::Image;
use super::moduledata::ModuleData;
use super::read::{u8_at, u32_at, uvarint};

/// Offsets in `abi.Type`: after Size_, PtrBytes and Hash; after Equal and GCData.
const TFLAG: usize = 20;
const STR: usize = 40;

/// `TFlagExtraStar`: the name is stored with a leading `*` that is not part of it.
const EXTRA_STAR: u8 = 1 << 1;

/// Longest type name read, in bytes; instantiated generic structs reach some thousands.
const LONGEST_NAME: usize = 1 << 16;

/// The name of the type described at `addr`, such as `chan struct {}` or `*main.Order`.
#[must_use]
pub fn type_name<'d>(image: &Image<'d>, module: &ModuleData, addr: LinkAddr) -> Option<&'d str> {
    let (types, etypes) = (module.types?, module.etypes?);
    if !(types..etypes).contains(&addr) {
        return None;
    }
    let descriptor = image.bytes_from(addr)?;
    let name = types.checked_add(u64::from(u32_at(descriptor, STR)?))?;
    if name == types || name >= etypes {
        return None;
    }
    // A flag byte, the length, the text (internal/abi/type.go `Name`).
    let data = image.bytes_from(name)?.get(1..)?;
    let (len, prefix) = uvarint(data)?;
    let len = usize::try_from(len).ok().filter(|&len| len > 0 && len <= LONGEST_NAME)?;
    let text = std::str::from_utf8(data.get(prefix..)?.get(..len)?).ok()?;
    let extra_star = u8_at(descriptor, TFLAG)? & EXTRA_STAR != 0;
    if extra_star { text.strip_prefix('*') } else { Some(text) }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{GoFile, ORDER_TYPE, RODATA};
    use super::super::pclntab::Pclntab;
    use super::*;

    fn name(at: u64) -> Option<String> {
        let data = GoFile::default().build();
        let image = Image::parse(&data).unwrap();
        let table = Pclntab::find(&image).unwrap();
        let module = ModuleData::find(&image, table.addr, None).unwrap();
        type_name(&image, &module, LinkAddr(at)).map(str::to_owned)
    }

    #[test]
    fn the_extra_star_is_not_part_of_the_name() {
        assert_eq!(name(ORDER_TYPE).as_deref(), Some("main.order"));
        assert_eq!(name(ORDER_TYPE + 0x40).as_deref(), Some("chan int"));
    }

    #[test]
    fn what_is_no_descriptor_of_this_program_has_no_name() {
        for at in [0, RODATA - 1, RODATA + 0x200, RODATA + 0x1f0, RODATA, u64::MAX] {
            assert_eq!(name(at), None, "{at:#x}");
        }
    }
}
