//! What `goflow trace` costs: the target per hit, against an empty program at the same instruction and against
//! bpftrace at the symbol; attach and detach; the way of 500,000 events a second into a file.
//!
//! Run by `cargo xtask bench trace`. Every comparison is interleaved within one run and reported as a ratio of medians,
//! because the machine is shared; absolute figures are printed for orientation only.

mod trace {
    pub(crate) mod per_hit;
    pub(crate) mod session;
}

use anyhow::Result;

fn main() -> Result<()> {
    // `cargo bench` passes `--bench`; anything else selects sections by name.
    let wanted: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let run = |name: &str| wanted.is_empty() || wanted.iter().any(|word| word == name);
    if run("per-hit") {
        trace::per_hit::run()?;
    }
    if run("session") {
        trace::session::run()?;
    }
    Ok(())
}
