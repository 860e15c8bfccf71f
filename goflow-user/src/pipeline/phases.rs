//! What `-v` tells of the way to the first event: how long after the start of the session each step was done.

use std::time::Instant;

/// The clock of a session, from before anything was read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Phases {
    started: Instant,
}

impl Phases {
    pub(super) fn start() -> Self {
        Self { started: Instant::now() }
    }

    /// Tells that a step is done.
    pub(super) fn done(self, step: &str) {
        tracing::info!(after = ?self.started.elapsed(), "{step}");
    }
}
