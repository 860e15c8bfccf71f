//! For tests: machine code written as a disassembler prints it, so that a test shows what it is about.

use super::addr::LinkAddr;

/// A function body out of a listing: `address: hex bytes  instruction` a line.
pub(super) struct Listing {
    /// Address of the first instruction.
    pub(super) start: LinkAddr,
    /// The instructions.
    pub(super) code: Vec<u8>,
}

impl Listing {
    /// Reads a listing whose lines leave no gap.
    pub(super) fn parse(text: &str) -> Self {
        let mut listing = Self { start: LinkAddr(0), code: Vec::new() };
        for line in text.lines().filter(|line| !line.is_empty()) {
            let (address, rest) = line.split_once(": ").expect("an address");
            let address = u64::from_str_radix(address, 16).expect("a hex address");
            if listing.code.is_empty() {
                listing.start = LinkAddr(address);
            }
            assert_eq!(address, listing.start.0 + listing.code.len() as u64, "gap before {line:?}");
            let bytes = rest.split("  ").next().expect("bytes").split(' ');
            listing.code.extend(bytes.map(|byte| u8::from_str_radix(byte, 16).expect("a hex byte")));
        }
        listing
    }
}
