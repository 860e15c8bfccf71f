//! Any bytes as the debug information from which struct offsets are read.
#![no_main]

use std::borrow::Cow;

use goflow_fuzz::split;
use goflow_user::binary::offsets::Offsets;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some([abbrev, str, info]) = split(data) else { return };
    let load = |name: &str| match name {
        ".debug_abbrev" => Some(Cow::Borrowed(abbrev)),
        ".debug_str" => Some(Cow::Borrowed(str)),
        ".debug_info" => Some(Cow::Borrowed(info)),
        _ => None,
    };
    let _ = Offsets::from_dwarf(&load);
});
