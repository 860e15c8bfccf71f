//! The contract between goflow's eBPF programs and its user space.
//!
//! In: nothing; out: `repr(C)` records without implicit padding, the list of probes, and the configuration that
//! user space writes into the object before it is loaded. Both sides compile this same source, and the loader
//! compares [`LAYOUT_VERSION`] with the one inside the object, so that a prebuilt object of another version is
//! refused and never misread. One file per event family, named alike in all layers.
#![no_std]

pub mod aggregate;
pub mod config;
pub mod event;
pub mod goid;
pub mod probe;
pub mod ring;

/// Version of every layout in this crate; raised by any change of a record, of [`probe::ProbeId`], of [`config`], of [`aggregate`]
/// or of [`ring`].
pub const LAYOUT_VERSION: u32 = 6;

/// Most return addresses one park record can carry.
pub const MAX_STACK_DEPTH: usize = 32;

/// Most `select` cases one record can carry; `cases_total` tells how many there were.
pub const MAX_SELECT_CASES: usize = 8;
