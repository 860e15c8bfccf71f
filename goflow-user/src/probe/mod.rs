//! Stage 3: which probes, where, at what cost; loading and attaching them.
//!
//! One way only: [`catalog`] (what goflow knows about each probed Go function) and a binary give a [`plan::Plan`]
//! (pure), the plan gives [`load::Loaded`] programs, and those become an [`attach::Attached`] session whose drop, or
//! whose process's death however it comes, takes every breakpoint out again. What it refuses: any site that the plan
//! has not decoded and found safe.

pub mod attach;
pub mod budget;
pub mod buffer;
pub mod calibration;
pub mod catalog;
pub mod cost;
pub mod estimate;
pub mod feature;
pub mod filter;
pub mod keeper;
mod link;
pub mod load;
mod multi;
pub mod plan;
mod sys;
pub mod task_clock;
pub mod totals;
