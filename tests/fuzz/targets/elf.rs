//! Any bytes as a whole executable: everything `goflow inspect` asks of them.
#![no_main]

use goflow_user::binary::GoBinary;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(binary) = GoBinary::parse(data) else { return };
    let _ = (binary.go_build_id(), binary.gnu_build_id(), binary.module(), binary.has_cgo(), binary.missing());
    for name in ["runtime.gopark", "runtime.newproc1", "main.main"] {
        let Some(function) = binary.function(name) else { continue };
        let _ = binary.code(&function.range);
        let _ = binary.frames(function.range.start);
        let _ = binary.function_at(function.range.start);
    }
    for segment in binary.image().segments() {
        let bytes = binary.image().segment_bytes(segment).unwrap_or_default();
        assert_eq!(bytes.len() as u64, segment.file_size, "a segment that was checked to lie inside the file");
        let _ = binary.type_name(segment.start);
        let _ = binary.image().pointer(segment.start);
    }
});
