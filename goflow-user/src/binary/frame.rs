//! One source position, as every stage names it, and whose code it is in.

/// One source position, borrowed from the binary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Function, as the binary spells it.
    pub function: &'a str,
    /// Source file, as the binary spells it; `None` when unknown.
    pub file: Option<&'a str>,
    /// Line; `None` when unknown.
    pub line: Option<u32>,
    /// True when this frame was inlined into the next one.
    pub inlined: bool,
}

/// Packages that stand between a `Lock`, a `Wait` or an `RLock` in the source and the wait itself; from Go 1.24 the mutex
/// is in `internal/sync`.
const SYNC_PACKAGES: [&str; 3] = ["runtime", "sync", "internal/sync"];

impl<'a> Frame<'a> {
    /// Import path of the function's package, as the binary spells it.
    #[must_use]
    pub fn package(&self) -> &'a str {
        let name_end = self.function.find('[').unwrap_or(self.function.len());
        let last_element = self.function[..name_end].rfind('/').map_or(0, |slash| slash + 1);
        match self.function[last_element..name_end].find('.') {
            Some(dot) => &self.function[..last_element + dot],
            None => self.function,
        }
    }

    /// Whether this is the code of a sync object rather than of who uses it.
    #[must_use]
    pub fn is_of_sync(&self) -> bool {
        SYNC_PACKAGES.contains(&self.package())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_user_of_a_sync_object_is_told_from_its_code() {
        let frame = |function| Frame { function, file: None, line: None, inlined: false };
        for (function, package, is_of_sync) in [
            ("internal/sync.(*Mutex).Lock", "internal/sync", true),
            ("sync.(*RWMutex).RLock", "sync", true),
            ("sync.OnceValue[go.shape.int].func1", "sync", true),
            ("runtime.semacquire1", "runtime", true),
            ("golang.org/x/sync.f", "golang.org/x/sync", false),
            ("sync/errgroup.(*Group).Wait", "sync/errgroup", false),
            ("main.Map[go.shape.int,sync.Mutex]", "main", false),
        ] {
            assert_eq!(frame(function).package(), package);
            assert_eq!(frame(function).is_of_sync(), is_of_sync, "{function}");
        }
    }
}
