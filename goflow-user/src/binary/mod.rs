//! Stage 1: the bytes of a Go executable become facts. Pure: no file, no clock, no process.

pub mod addr;
pub mod site;
