//! Any bytes as the section in which `go build` describes itself, and as what follows it.
#![no_main]

use goflow_fuzz::{executable, split};
use goflow_user::binary::buildinfo::BuildInfo;
use goflow_user::binary::elf::Image;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some([info, elsewhere]) = split(data) else { return };
    let file = executable(&[(".text", &[0xc3]), (".go.buildinfo", info), (".data", elsewhere)]);
    let image = Image::parse(&file).expect("the file around the section is in form");
    let Some(info) = BuildInfo::find(&image) else { return };
    let _ = (info.go_version(), info.path(), info.module());
    for (key, value) in info.settings() {
        assert!(key.len() + value.len() <= 2 * file.len(), "a setting longer than the file");
    }
});
