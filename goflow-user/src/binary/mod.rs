//! Stage 1: the bytes of a Go executable become facts. Pure: no file, no clock, no process.

pub mod addr;
pub mod elf;
pub mod error;
pub(crate) mod read;
pub mod site;
pub mod version;
