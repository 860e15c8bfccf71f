//! Any bytes as the instructions of a function to be probed.
#![no_main]

use goflow_user::binary::addr::LinkAddr;
use goflow_user::binary::site::{entry_site, return_sites};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|code: &[u8]| {
    let start = LinkAddr(0x40_1000);
    let inside = |address: LinkAddr| {
        let offset = address.0.checked_sub(start.0).and_then(|offset| usize::try_from(offset).ok());
        offset.filter(|offset| *offset < code.len()).expect("a site lies inside its function")
    };
    if let Ok(site) = entry_site(code, start) {
        inside(site.address);
    }
    for site in return_sites(code, start).unwrap_or_default() {
        let opcode = code[inside(site.address)];
        assert!(matches!(opcode, 0xc3 | 0xc2), "no return at {:?}: {opcode:#x}", site.address);
    }
});
