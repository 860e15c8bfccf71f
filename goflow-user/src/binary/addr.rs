//! One vocabulary for addresses. In a plain binary the wrong kind works by luck, in a PIE it does not, so each kind
//! is a type and only [`LoadBias`] converts between link time and run time.

use std::fmt;

/// Address in the executable's own view (`p_vaddr`, `st_value`, pclntab), before the loader moves it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkAddr(pub u64);

/// Address in a running process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RuntimeAddr(pub u64);

/// Offset in bytes from the start of the executable file; what the kernel wants for a uprobe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileOffset(pub u64);

/// How far the loader moved a binary: run-time address minus link-time address (0 for a non-PIE).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct LoadBias(pub u64);

impl LinkAddr {
    /// This address plus `bytes`, or `None` on overflow.
    #[must_use]
    pub fn checked_add(self, bytes: u64) -> Option<Self> {
        self.0.checked_add(bytes).map(Self)
    }
}

impl LoadBias {
    /// The bias under which `link` is found at `runtime`.
    #[must_use]
    pub fn between(link: LinkAddr, runtime: RuntimeAddr) -> Self {
        Self(runtime.0.wrapping_sub(link.0))
    }

    /// Where `runtime` stands in the executable's own view.
    #[must_use]
    pub fn to_link(self, runtime: RuntimeAddr) -> LinkAddr {
        LinkAddr(runtime.0.wrapping_sub(self.0))
    }

    /// Where `link` is found in the process.
    #[must_use]
    pub fn to_runtime(self, link: LinkAddr) -> RuntimeAddr {
        RuntimeAddr(link.0.wrapping_add(self.0))
    }
}

macro_rules! hex_display {
    ($($name:ident),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:#x}", self.0)
            }
        }
    )*};
}

hex_display!(LinkAddr, RuntimeAddr, FileOffset, LoadBias);
