//! Where a program's `go` statements are.
//!
//! In: the instructions of a binary; out: the return addresses that `g.gopc` has. A `go` statement compiles to a call of
//! `runtime.newproc`, which passes its own return address on (src/runtime/proc.go, 1.18–1.27). The calls are found by their
//! target, which four of their five bytes are: there is no need to decode what is between them.

use super::GoBinary;
use super::addr::LinkAddr;
use std::ops::Range;

/// `CALL rel32` on amd64.
const CALL: u8 = 0xe8;

/// Bytes of such a call.
const CALL_BYTES: u64 = 5;

impl GoBinary<'_> {
    /// The return addresses of all `go` statements, in the order of addresses; empty where `runtime.newproc` is not found.
    #[must_use]
    pub fn go_statements(&self) -> Vec<LinkAddr> {
        let Some(newproc) = self.function("runtime.newproc") else { return Vec::new() };
        let target = newproc.range.start;
        let image = self.image();
        let mut found = Vec::new();
        for segment in image.segments().iter().filter(|segment| segment.executable) {
            let code = image.segment_bytes(segment).unwrap_or_default();
            found.extend(calls(code, segment.start, target));
        }
        // Bytes that only look like a call are in the middle of an instruction somewhere, or in no function at all.
        found.retain(|&call| !self.frames_of_call(call).is_empty() && !is_within(&newproc.range, call));
        found.sort_unstable();
        found
    }
}

fn is_within(range: &Range<LinkAddr>, address: LinkAddr) -> bool {
    range.start <= address && address < range.end
}

/// Return addresses of the calls in `code`, which is at `start`, that go to `target`.
fn calls(code: &[u8], start: LinkAddr, target: LinkAddr) -> impl Iterator<Item = LinkAddr> + '_ {
    code.windows(CALL_BYTES as usize).enumerate().filter(|(_, bytes)| bytes[0] == CALL).filter_map(
        move |(index, bytes)| {
            let relative = i32::from_le_bytes(bytes[1..].try_into().ok()?);
            let after = start.0.checked_add(index as u64)?.checked_add(CALL_BYTES)?;
            (after.wrapping_add_signed(relative.into()) == target.0).then_some(LinkAddr(after))
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_call_is_found_wherever_it_stands_and_other_calls_are_not() {
        let mut code = vec![0x90; 64];
        for (at, target) in [(3_usize, 0x2000_u64), (20, 0x2004), (59, 0x2000)] {
            let after = 0x1000 + at as u64 + CALL_BYTES;
            code[at] = CALL;
            code[at + 1..at + 5].copy_from_slice(&(target.wrapping_sub(after) as u32).to_le_bytes());
        }
        let found: Vec<_> = calls(&code, LinkAddr(0x1000), LinkAddr(0x2000)).collect();
        assert_eq!(found, [LinkAddr(0x1008), LinkAddr(0x1040)]);
    }

    proptest! {
        #[test]
        fn any_bytes_at_any_address_are_searched(code: Vec<u8>, start: u64, target: u64) {
            for call in calls(&code, LinkAddr(start), LinkAddr(target)) {
                prop_assert!(call.0 > start && call.0 - start <= code.len() as u64);
            }
        }
    }
}
