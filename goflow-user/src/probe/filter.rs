//! What of the events is recorded, and what is only counted: decided by the programs in the kernel.
//!
//! In: what the user asked for, and a binary; out: the configuration of the programs and what their maps begin with. Pure. A
//! filter chooses goroutines, channels and whole waits, never single events, so that what is recorded belongs together. It saves
//! the target what recording takes, and goflow and whoever reads the stream much more; the trap remains.

use super::plan::Plan;
use crate::binary::GoBinary;
use crate::binary::addr::LinkAddr;
use crate::binary::frame::Frame;
use crate::binary::offsets::Offsets;
use crate::target::id::ChanAddr;
use crate::target::snapshot::{Direction, Reason};
use goflow_common::config::ProbeConfig;
use std::fmt;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;
use thiserror::Error;

/// Most `go` statements, and most channels, that a filter can name.
pub const MOST: usize = 65_536;

/// What is recorded. By default everything is, and nothing is counted in the kernel.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Filter {
    /// Only this part of the goroutines.
    pub sample: Option<Sample>,
    /// Only goroutines that one of these created.
    pub created_at: Vec<Place>,
    /// Of channel operations and waits only those on these channels.
    pub channels: Vec<ChanAddr>,
    /// Waits as a whole, and only those that last at least as long.
    pub min_block: Option<Duration>,
    /// Operations and waits are counted in the kernel. Where nothing else is asked for, nothing is recorded.
    pub aggregate: bool,
}

/// One of so many goroutines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample(u32);

impl Sample {
    /// Every `one_of`th goroutine, from 2 to 2³⁰.
    #[must_use]
    pub fn new(one_of: u32) -> Option<Self> {
        (2..=1 << 30).contains(&one_of).then_some(Self(one_of))
    }

    /// How many goroutines one stands for.
    #[must_use]
    pub fn one_of(self) -> u32 {
        self.0
    }
}

/// As on the command line: `1/100`.
impl FromStr for Sample {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const WRONG: &str =
            "a sample is one of so many goroutines, such as `1/100`, from `1/2` to `1/1073741824`";
        let number = text.strip_prefix("1/").ok_or(WRONG)?;
        number.parse().ok().and_then(Self::new).ok_or(WRONG)
    }
}

/// Where goroutines are created: a function, all of a package, packages below one (`net/...`), or a line (`server.go:42`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    text: String,
    line: Option<(String, u32)>,
}

impl Place {
    /// Whether it means the `go` statement in this frame.
    #[must_use]
    pub fn matches(&self, frame: &Frame<'_>) -> bool {
        if let Some((file, line)) = &self.line {
            let ends_with = |path: &str| Path::new(path).ends_with(file);
            return frame.line == Some(*line) && frame.file.is_some_and(ends_with);
        }
        let package = frame.package();
        if let Some(above) = self.text.strip_suffix("/...") {
            let below = package.strip_prefix(above);
            return below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        }
        // A function literal belongs to the function that it is written in (`main.serve.func1`).
        let inside = frame.function.strip_prefix(self.text.as_str());
        package == self.text || inside.is_some_and(|rest| rest.is_empty() || rest.starts_with(".func"))
    }
}

impl FromStr for Place {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        if text.is_empty() {
            return Err("a place is a function, a package or FILE:LINE");
        }
        let line = text.rsplit_once(':').and_then(|(file, line)| Some((file.to_owned(), line.parse().ok()?)));
        if line.is_none() && text.contains(".go:") {
            return Err("a line is FILE:LINE, such as `server.go:42`");
        }
        Ok(Self { text: text.to_owned(), line })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Why a filter does not fit a binary.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum FilterError {
    /// Nothing would be recorded.
    #[error("no `go` statement of it is at {place}; those that it has are in {packages}")]
    NoSuchPlace {
        /// What was asked for.
        place: Place,
        /// Some of the packages that have one.
        packages: String,
    },
    /// `runtime.newproc` was not found, or nobody calls it.
    #[error("no `go` statement was found in it, so goroutines cannot be told by where they were created")]
    NoGoStatement,
    /// More than a map holds.
    #[error("{0} `go` statements are too many for --created-at (at most {MOST}); name fewer packages")]
    TooMany(usize),
}

/// What the maps begin with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chosen {
    /// Return addresses of the `go` statements whose goroutines are recorded.
    pub go_statements: Vec<LinkAddr>,
    /// Channels that are recorded.
    pub channels: Vec<ChanAddr>,
}

impl Filter {
    /// Whether some events are left out. What is known of a process's goroutines is then of its snapshots.
    #[must_use]
    pub fn thins(&self) -> bool {
        *self != Self::default()
    }

    /// Whether nothing is recorded at all.
    #[must_use]
    pub fn records_nothing(&self) -> bool {
        self.aggregate && *self == Self { aggregate: true, ..Self::default() }
    }

    /// Whether a wait is one record.
    #[must_use]
    pub fn has_whole_waits(&self) -> bool {
        self.min_block.is_some() || !self.channels.is_empty()
    }

    /// Sets up a plan for it.
    ///
    /// # Errors
    /// See [`FilterError`].
    pub fn apply(
        &self,
        plan: &mut Plan,
        binary: &GoBinary<'_>,
        offsets: &Offsets,
    ) -> Result<(), FilterError> {
        let flag = u32::from;
        let reason = |wanted| number_of(binary, wanted);
        plan.config = ProbeConfig {
            g_sched_bp: offsets.g.sched_bp,
            hchan_lock: offsets.hchan.lock,
            record_nothing: flag(self.records_nothing()),
            sample_below: self.sample.map_or(0, |Sample(one_of)| u32::MAX / one_of),
            filter_created: flag(!self.created_at.is_empty()),
            is_pie: flag(binary.is_pie()),
            filter_channels: flag(!self.channels.is_empty()),
            whole_waits: flag(self.has_whole_waits()),
            aggregate: flag(self.aggregate),
            reason_send: reason(Reason::Channel(Direction::Send)),
            reason_receive: reason(Reason::Channel(Direction::Receive)),
            reason_select: reason(Reason::Select),
            min_block_ns: self.min_block.map_or(0, |time| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)),
            ..plan.config
        };
        plan.chosen = Chosen { go_statements: self.go_statements(binary)?, channels: self.channels.clone() };
        Ok(())
    }

    fn go_statements(&self, binary: &GoBinary<'_>) -> Result<Vec<LinkAddr>, FilterError> {
        if self.created_at.is_empty() {
            return Ok(Vec::new());
        }
        let all = binary.go_statements();
        if all.is_empty() {
            return Err(FilterError::NoGoStatement);
        }
        let mut chosen = Vec::new();
        for place in &self.created_at {
            let before = chosen.len();
            chosen.extend(
                all.iter().copied().filter(|&at| {
                    binary.frames_of_call(at).first().is_some_and(|frame| place.matches(frame))
                }),
            );
            if chosen.len() == before {
                return Err(FilterError::NoSuchPlace {
                    place: place.clone(),
                    packages: packages(binary, &all),
                });
            }
        }
        chosen.sort_unstable();
        chosen.dedup();
        if chosen.len() > MOST { Err(FilterError::TooMany(chosen.len())) } else { Ok(chosen) }
    }
}

/// The number of a wait reason in this binary, or one that is none.
fn number_of(binary: &GoBinary<'_>, wanted: Reason) -> u32 {
    let is_wanted = |number: &u8| binary.wait_reason(*number).is_some_and(|text| Reason::of(text) == wanted);
    (0..=u8::MAX).find(is_wanted).map_or(u32::MAX, u32::from)
}

/// The packages with most of these `go` statements.
fn packages(binary: &GoBinary<'_>, all: &[LinkAddr]) -> String {
    const NAMED: usize = 8;
    let mut counts: Vec<(String, usize)> = Vec::new();
    for &at in all {
        let Some(package) = binary.frames_of_call(at).first().map(|frame| frame.package().to_owned()) else {
            continue;
        };
        match counts.iter_mut().find(|(known, _)| *known == package) {
            Some((_, count)) => *count += 1,
            None => counts.push((package, 1)),
        }
    }
    counts.sort_by(|one, other| other.1.cmp(&one.1).then_with(|| one.0.cmp(&other.0)));
    let more = counts.len().saturating_sub(NAMED);
    let named: Vec<String> = counts.into_iter().take(NAMED).map(|(package, _)| package).collect();
    named.join(", ") + &if more > 0 { format!(" and {more} more") } else { String::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(function: &'static str, file: &'static str, line: u32) -> Frame<'static> {
        Frame { function, file: Some(file), line: Some(line), inlined: false, wrapper: false }
    }

    #[test]
    fn a_place_is_a_function_a_package_packages_below_one_or_a_line() {
        let serve = frame("net/http.(*Server).Serve", "/usr/local/go/src/net/http/server.go", 3454);
        for (text, matches) in [
            ("net/http", true),
            ("net/http.(*Server).Serve", true),
            ("net/...", true),
            ("net/http/...", true),
            ("server.go:3454", true),
            ("http/server.go:3454", true),
            ("net", false),
            ("ne/...", false),
            ("net/http.(*Server)", false),
            ("erver.go:3454", false),
            ("server.go:3455", false),
        ] {
            assert_eq!(text.parse::<Place>().unwrap().matches(&serve), matches, "{text}");
        }
    }

    #[test]
    fn a_function_literal_belongs_to_its_function_and_a_namesake_does_not() {
        let place: Place = "main.serve".parse().unwrap();
        assert!(place.matches(&frame("main.serve.func1", "main.go", 1)));
        assert!(!place.matches(&frame("main.server", "main.go", 1)));
    }

    #[test]
    fn what_is_no_place_and_what_is_no_sample_is_refused() {
        for text in ["", "  ", "server.go:", "server.go:x"] {
            assert!(text.parse::<Place>().is_err(), "{text:?}");
        }
        for text in ["", "1/0", "1/1", "1/", "2/3", "0.1", "1/-2", "1/4294967296"] {
            assert!(text.parse::<Sample>().is_err(), "{text:?}");
        }
        assert_eq!("1/100".parse(), Ok(Sample(100)));
    }

    #[test]
    fn only_what_is_not_recorded_otherwise_is_silent() {
        let aggregate = Filter { aggregate: true, ..Filter::default() };
        let sampled = Filter { sample: Sample::new(10), ..aggregate.clone() };
        assert!(aggregate.records_nothing() && aggregate.thins());
        assert!(!sampled.records_nothing() && sampled.thins());
        assert!(!Filter::default().thins());
    }
}
