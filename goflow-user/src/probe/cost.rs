//! What a hit is estimated to cost the target: constants, not a measurement of this machine.
//!
//! Measured on a 2-core x86-64 VM with Linux 6.18 over a paired baseline; the kernel's own figures for bare metal are
//! about a third. `cargo xtask bench trace` prints this machine's.

use crate::binary::site::SiteClass;

/// Estimated nanoseconds the target loses to one hit, record included.
#[must_use]
pub fn estimated_ns_per_hit(class: SiteClass) -> u64 {
    match class {
        SiteClass::Emulated => 1_200,
        SiteClass::SingleStepped => 5_000,
    }
}
