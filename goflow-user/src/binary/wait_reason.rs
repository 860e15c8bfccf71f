//! The texts of the runtime's wait reasons, by number.
//!
//! In: a binary. Out: its own `runtime.waitReasonStrings` (src/runtime/runtime2.go), found by symbol or by the
//! instructions that index it; else the texts of its Go release. The numbers were given anew in Go 1.25 and 1.26, so
//! nothing is assumed about them. An array with a text that cannot be read, or that is not text, is not used.

use super::GoBinary;
use super::addr::LinkAddr;
use super::elf::Image;
use super::globals::{self, Global};
use super::offsets;
use super::read::u64_at;

/// Size of a string header in the array, in bytes.
const STRING: u64 = 16;

/// Longest text taken for a wait reason; Go's are below 40 bytes.
const LONGEST: u64 = 128;

/// The texts by number; empty when they are not known.
pub(super) fn find(binary: &GoBinary<'_>) -> Vec<String> {
    let release = || Some(offsets::wait_reasons(binary.go_version()?)?.to_vec());
    own(binary).or_else(release).unwrap_or_default().into_iter().map(str::to_owned).collect()
}

/// The texts of the binary's own array.
pub(super) fn own<'d>(binary: &GoBinary<'d>) -> Option<Vec<&'d str>> {
    let (array, count) = own_array(binary)?;
    // The reason is a byte (`type waitReason uint8`).
    (0..count.min(256)).map(|number| text(binary.image(), array.checked_add(number * STRING)?)).collect()
}

/// Address and length of the binary's array.
fn own_array(binary: &GoBinary<'_>) -> Option<(LinkAddr, u64)> {
    let symbol = Global::WaitReasonStrings.symbol();
    if let Some(variable) = binary.symbols().elf().and_then(|table| table.variable(symbol)) {
        return Some((variable.start, variable.end.0.checked_sub(variable.start.0)? / STRING));
    }
    let count = globals::wait_reason_count(&|name| binary.body(name))?;
    Some((binary.global(Global::WaitReasonStrings).ok()?, u64::from(count)))
}

/// The text of the string whose header (pointer, length) is at `header`.
fn text<'d>(image: &Image<'d>, header: LinkAddr) -> Option<&'d str> {
    let len = u64_at(image.bytes(header.checked_add(8)?, 8)?, 0)?;
    match len {
        // The first, `waitReasonZero`, is empty, and an empty string may point nowhere.
        0 => Some(""),
        1..=LONGEST => {
            let text = std::str::from_utf8(image.bytes(image.pointer(header)?, len)?).ok()?;
            text.bytes().all(|byte| matches!(byte, b' '..=b'~')).then_some(text)
        }
        _ => None,
    }
}
