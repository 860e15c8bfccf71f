//! Go's version strings, as `runtime.buildVersion` and the build info spell them, and an order on them.
//!
//! Accepts `go1.26.6`, `go1.27rc1`, `go1.21.13 X:nocoverageredesign`, `go1.22.3-vendor.1` and
//! `devel go1.28-abcdef Thu …`; refuses anything without a `go<major>.<minor>` in one of these places.

use std::fmt;

/// A Go release, or a build from Go's own repository.
///
/// Ordered by minor release, then patch release, candidates first. The runtime's layouts follow minor releases: ask
/// [`GoVersion::at_least`] for those.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct GoVersion {
    major: u32,
    minor: u32,
    patch: Option<u32>,
    devel: bool,
    text: String,
}

impl GoVersion {
    /// The oldest minor release that goflow reads.
    pub const OLDEST: (u32, u32) = (1, 18);

    /// Longest text taken for a version; Go's own are below 100 bytes.
    const LONGEST: usize = 256;

    /// Reads a version; `None` when `text` is not one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if text.len() > Self::LONGEST {
            return None;
        }
        let (devel, rest) = match text.strip_prefix("devel ") {
            Some(rest) => (true, rest.trim_start()),
            None => (false, text),
        };
        let rest = rest.strip_prefix("go")?;
        let (major, rest) = number(rest)?;
        let (minor, rest) = number(rest.strip_prefix('.')?)?;
        let patch = rest.strip_prefix('.').and_then(number).map(|(patch, _)| patch);
        let devel = devel || rest.starts_with("-devel");
        Some(Self { major, minor, patch, devel, text: text.to_owned() })
    }

    /// Major and minor release, such as `(1, 26)`; what runtime layouts depend on.
    #[must_use]
    pub fn release(&self) -> (u32, u32) {
        (self.major, self.minor)
    }

    /// This minor release or a later one; candidates of `release` count as it.
    #[must_use]
    pub fn at_least(&self, release: (u32, u32)) -> bool {
        self.release() >= release
    }

    /// Patch release; `None` for a first release (`go1.18`), a candidate and a development build.
    #[must_use]
    pub fn patch(&self) -> Option<u32> {
        self.patch
    }

    /// Built from Go's repository rather than from a release: its layouts may be those of the next minor release.
    #[must_use]
    pub fn is_devel(&self) -> bool {
        self.devel
    }

    /// As the binary spells it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl PartialOrd for GoVersion {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for GoVersion {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.release()
            .cmp(&other.release())
            .then_with(|| (self.patch, &self.text).cmp(&(other.patch, &other.text)))
    }
}

impl fmt::Display for GoVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The decimal number at the start of `text`, and what follows it.
fn number(text: &str) -> Option<(u32, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    Some((text[..end].parse().ok()?, &text[end..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn release(text: &str) -> Option<(u32, u32, Option<u32>, bool)> {
        GoVersion::parse(text).map(|v| (v.major, v.minor, v.patch, v.devel))
    }

    #[test]
    fn releases_candidates_experiments_and_devel_builds_are_read() {
        assert_eq!(release("go1.26.6"), Some((1, 26, Some(6), false)));
        assert_eq!(release("go1.18"), Some((1, 18, None, false)));
        assert_eq!(release("go1.27rc1"), Some((1, 27, None, false)));
        assert_eq!(release("go1.21.13 X:nocoverageredesign"), Some((1, 21, Some(13), false)));
        assert_eq!(release("go1.22.3-vendor.1"), Some((1, 22, Some(3), false)));
        assert_eq!(release("devel go1.28-abcdef Thu Jan 1 00:00:00 2026 +0000"), Some((1, 28, None, true)));
        assert_eq!(release("go1.28-devel_abcdef"), Some((1, 28, None, true)));
    }

    #[test]
    fn other_text_is_not_a_version() {
        for text in ["", "go", "go1", "go1.", "1.26", "devel", "devel +abcdef", "go1.99999999999", "gox.y"] {
            assert_eq!(release(text), None, "{text}");
        }
        assert_eq!(release(&format!("go1.26{}", "x".repeat(1000))), None);
    }

    #[test]
    fn order_is_by_minor_release_first_and_numeric() {
        let mut versions: Vec<_> = ["go1.21.13", "go1.9.7", "go1.21.2", "go1.21rc1"]
            .iter()
            .filter_map(|t| GoVersion::parse(t))
            .collect();
        versions.sort();
        let order: Vec<_> = versions.iter().map(GoVersion::as_str).collect();
        assert_eq!(order, ["go1.9.7", "go1.21rc1", "go1.21.2", "go1.21.13"]);
    }
}
