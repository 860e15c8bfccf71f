//! Whether a goroutine is the runtime's own, by the function it started with.

use crate::binary::GoBinary;
use crate::binary::addr::LinkAddr;

/// What the function that a goroutine started with says of it (`isSystemGoroutine` in src/runtime/traceback.go).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// The user's.
    User,
    /// The runtime's.
    System,
    /// The runtime's while it waits for this, the user's while it calls back.
    CallsBack(&'static str),
}

impl Start {
    /// Of the function that begins at `entry`; one without a name is the user's.
    #[must_use]
    pub fn of(binary: &GoBinary<'_>, entry: LinkAddr) -> Self {
        let table = binary.pclntab().ok();
        Self::named(table.and_then(|table| table.name(&table.find_pc(entry)?)).unwrap_or_default())
    }

    fn named(name: &str) -> Self {
        match name {
            "runtime.main" | "runtime.corostart" | "runtime.handleAsyncEvent" => Self::User,
            // Renamed in Go 1.25.
            "runtime.runfinq" | "runtime.runFinalizers" => Self::CallsBack("finalizer wait"),
            "runtime.runCleanups" => Self::CallsBack("cleanup wait"),
            _ if name.starts_with("runtime.") => Self::System,
            _ => Self::User,
        }
    }
}
