//! Any bytes as a record of the ring buffer.
#![no_main]

use goflow_common::event::Header;
use goflow_user::ingest::decode::decode;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(decoded) = decode(data) else { return };
    // What is not refused was read from these bytes and from nothing else.
    let header: Header = bytemuck::pod_read_unaligned(&data[..size_of::<Header>()]);
    assert_eq!(decoded.event.t.0, header.t_ns);
    assert_eq!(decoded.event.pid.0, header.pid);
    assert_eq!(decoded.ip.0, header.ip);
    assert_eq!(decoded.probe as u32, header.probe);
});
