//! What a wrapper calls: since Go 1.17 (internal/abi) `go f(x)` starts a function that the compiler makes to pass the arguments on.
//!
//! In: a binary and where such a wrapper starts; out: the function in the source, if the instructions tell it. Not told are
//! the calls of a method of an interface and of a function value, which go through a register.

use super::GoBinary;
use super::addr::LinkAddr;
use super::frame::Frame;
use iced_x86::{Decoder, DecoderOptions};

/// Most bytes that are decoded: a wrapper copies arguments and calls.
const LONGEST: usize = 1 << 10;

/// The first function that the wrapper at `entry` calls, or that was inlined into it. Those of package runtime copy what is
/// large, unless the wrapper is of that package itself.
pub(super) fn wrapped<'b>(binary: &'b GoBinary<'_>, entry: LinkAddr) -> Option<Frame<'b>> {
    let table = binary.pclntab().ok()?;
    let is_of_runtime = binary.function_at(entry)?.package() == "runtime";
    let range = table.range(&table.find_pc(entry)?)?;
    let code = binary.code(&range)?;
    let code = &code[..code.len().min(LONGEST)];
    Decoder::with_ip(64, code, range.start.0, DecoderOptions::NONE).into_iter().find_map(|instruction| {
        let frames = table.frames(LinkAddr(instruction.ip()));
        // Innermost first: the last is the wrapper, and before it stands what it calls.
        let inlined = frames.iter().rev().skip(1).find(|frame| !frame.wrapper).copied();
        let called = || {
            let is_direct = instruction.is_call_near();
            is_direct.then(|| binary.function_at(LinkAddr(instruction.near_branch_target()))).flatten()
        };
        inlined.or_else(called).filter(|frame| is_of_runtime || frame.package() != "runtime")
    })
}
