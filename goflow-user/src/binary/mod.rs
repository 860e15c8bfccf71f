//! Stage 1: the bytes of a Go executable become facts. Pure: no file, no clock, no process.

pub mod addr;
pub mod buildinfo;
pub mod dwarf;
pub mod elf;
pub mod error;
pub mod frame;
pub mod moduledata;
pub mod pclntab;
pub(crate) mod read;
pub mod site;
pub mod symbols;
pub mod types;
pub mod version;
