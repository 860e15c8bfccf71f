//! The Go version of a binary without build info, from the string that `runtime.buildVersion` points to.
//!
//! The variable is found by its symbol, else by the instructions of `runtime.schedinit`, which keeps it alive by testing
//! its length (runtime/proc.go, Go 1.18 to 1.27). A text that is not a version, or two different ones, is no answer.

use super::GoBinary;
use super::addr::LinkAddr;
use super::buildinfo::go_string;
use super::elf::Arch;
use super::version::GoVersion;
use iced_x86::{Decoder, DecoderOptions};

/// Most bytes of code that are decoded; `schedinit` has some 1,500.
const LONGEST_CODE: usize = 1 << 16;

/// Finds the version; `None` when it cannot be had for certain.
pub(super) fn find(binary: &GoBinary<'_>) -> Option<GoVersion> {
    let at = |addr| GoVersion::parse(go_string(binary.image(), addr)?);
    if let Some(variable) = binary.symbols().elf().and_then(|table| table.variable("runtime.buildVersion")) {
        return at(variable.start);
    }
    // Only amd64 names a variable in one instruction.
    if binary.arch() != Arch::Amd64 {
        return None;
    }
    let function = binary.function("runtime.schedinit")?;
    let code = binary.code(&function.range)?;
    let code = code.get(..LONGEST_CODE).unwrap_or(code);
    let mut found: Option<GoVersion> = None;
    for instruction in Decoder::with_ip(64, code, function.range.start.0, DecoderOptions::NONE) {
        if !instruction.is_ip_rel_memory_operand() {
            continue;
        }
        let operand = instruction.ip_rel_memory_address();
        // The test is on the length, the second word of the string.
        for header in [operand, operand.wrapping_sub(8)] {
            match (at(LinkAddr(header)), &found) {
                (Some(version), Some(other)) if version != *other => return None,
                (Some(version), _) => found = Some(version),
                (None, _) => {}
            }
        }
    }
    found
}
