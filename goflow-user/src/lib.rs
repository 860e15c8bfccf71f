//! goflow's user space: from the bytes of a Go executable to a live stream of events.
//!
//! The modules stand in the order of the data's way, and each imports only from those above it (held by
//! `cargo xtask tidy`): [`binary`] knows an executable from its bytes, [`target`] is a live process, [`probe`] plans and
//! attaches, [`ingest`] turns ring-buffer bytes into ordered events, [`model`] makes
//! them and snapshots into the state of goroutines and channels, [`detect`] finds what is wrong with it, [`sink`] writes them
//! where somebody looks.
//! [`pipeline`] is the only wiring; [`cli`] is the command line. [`advice`] belongs to no stage: it is how an error
//! carries what to do next.

pub mod advice;

pub mod binary;
pub mod target;

pub mod probe;

pub mod ingest;

pub mod model;

pub mod detect;

pub mod sink;

pub mod pipeline;

pub mod cli;
