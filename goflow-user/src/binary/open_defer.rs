//! Where a frame keeps the calls that it has deferred, if it keeps them itself.
//!
//! In: the function table, a return address, and the Go release that built the program. Out: [`OpenDefers`]. A function with few
//! defers and no loop around them has a slot for each closure and a byte of bits that tells which of them are to be called
//! (`FUNCDATA_OpenCodedDeferInfo`, src/runtime/panic.go); of all others there are records on the goroutine.

use super::GoBinary;
use super::addr::LinkAddr;
use super::read::uvarint;

const FUNCDATA_OPEN_CODED_DEFER_INFO: u32 = 4;

/// There is a bit for each.
const MOST: u64 = 8;

/// The places in a frame, in bytes below `varp`, the end of its locals.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenDefers {
    /// Of the byte of bits.
    pub bits: u64,
    /// Of the pointer to the closure of each bit, the lowest first.
    pub slots: Vec<u64>,
}

/// Those of the frame that returns to `pc`; `None` where it keeps none itself, or the release is not known.
pub(super) fn open_defers(binary: &GoBinary<'_>, pc: LinkAddr) -> Option<OpenDefers> {
    let table = binary.pclntab().ok()?;
    let record = table.find_pc(LinkAddr(pc.0.checked_sub(1)?))?;
    let at = table.funcdata(&record, FUNCDATA_OPEN_CODED_DEFER_INFO)?;
    let data = table.inline_trees?.get(at as usize..)?;
    parse(data, binary.go_version()?.at_least((1, 22)))
}

/// From Go 1.22 on the slots lie one behind another; before, each is listed, the highest bit first.
fn parse(data: &[u8], in_a_row: bool) -> Option<OpenDefers> {
    let mut data = data;
    let mut next = || {
        let (value, len) = uvarint(data)?;
        data = data.get(len..)?;
        Some(value)
    };
    let (bits, second) = (next()?, next()?);
    let slots = if in_a_row {
        (0..MOST).map_while(|n| second.checked_sub(8 * n)).collect()
    } else {
        let listed: Option<Vec<u64>> = (0..second.min(MOST)).map(|_| next()).collect();
        listed?.into_iter().rev().collect()
    };
    Some(OpenDefers { bits, slots })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_listed_up_to_go_1_21_and_lie_in_a_row_from_1_22_on() {
        let listed = parse(&[0x91, 0x01, 2, 24, 16, 99], false);
        assert_eq!(listed, Some(OpenDefers { bits: 0x91, slots: vec![16, 24] }));
        assert_eq!(parse(&[9, 3, 8, 16], false), None, "one is missing");
        let in_a_row = parse(&[9, 0x40], true).map(|defers| defers.slots);
        assert_eq!(in_a_row, Some(vec![64, 56, 48, 40, 32, 24, 16, 8]));
        assert_eq!(parse(&[9, 8], true).map(|defers| defers.slots), Some(vec![8, 0]));
        for cut in [&[][..], &[9], &[0x80]] {
            assert_eq!(parse(cut, true), None, "{cut:?}");
        }
    }
}
