//! What `goflow ctl` and a trace say to each other: one JSON object a line, a request and then its response.
//!
//! In: a line of whoever connected; out: a [`Command`], or a [`Refusal`] that says what was wrong with it. Both sides name
//! the version of this protocol in every line and refuse another, so that what one of them does not know is never taken for
//! something else. A request that changes something has to say everything: nothing is left out for a default.

use crate::probe::budget::Budget;
use crate::probe::catalog::Level;
use serde::{Deserialize, Serialize};

/// Raised by every change that the other side has to know of.
pub(super) const VERSION: u32 = 1;

/// The longest request; bytes with the line feed.
pub(super) const LONGEST_REQUEST: usize = 4 << 10;

/// The longest response: ten thousand pids take a tenth of it; bytes.
pub(super) const LONGEST_RESPONSE: usize = 1 << 20;

/// What is asked of a trace.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub enum Command {
    /// How it is.
    Status,
    /// To watch this level and those below it.
    Level {
        /// The level.
        level: Level,
    },
    /// To keep to another budget.
    Budget {
        /// The part of their CPU time that the targets may lose; `null` for any, but not absent.
        #[serde(deserialize_with = "Option::deserialize")]
        budget: Option<f64>,
    },
}

/// A line to a trace.
#[derive(Debug, Serialize, Deserialize)]
struct Request {
    version: u32,
    #[serde(flatten)]
    command: Command,
}

/// What every line of every version has.
#[derive(Debug, Deserialize)]
struct Versioned {
    version: u32,
    /// Of responses: the version of the goflow that sent it.
    goflow: Option<String>,
}

/// A line from a trace.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Response {
    version: u32,
    goflow: String,
    /// What came of the request.
    #[serde(flatten)]
    outcome: Outcome,
}

/// What came of a request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It is in effect, and this is the state by now.
    Ok(Box<Report>),
    /// It is not.
    Error(Refusal),
}

/// Why a request was not done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// What failed and why.
    pub message: String,
    /// What to do next.
    pub help: Option<String>,
}

/// The state of a trace, and what else there is to say.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The state.
    #[serde(flatten)]
    pub status: Status,
    /// What whoever asked should know beside it: a sentence.
    pub note: Option<String>,
}

/// The state of a trace.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The goflow that traces.
    pub pid: u32,
    /// The binaries that it traces.
    pub binaries: Vec<String>,
    /// Processes of them that live and are known.
    pub pids: Vec<u32>,
    /// The highest level that is wanted.
    pub level: Level,
    /// The part of their CPU time that the targets may lose; `None` for any.
    pub budget: Option<f64>,
    /// How each level is watched; empty where there are no probes.
    pub levels: Vec<LevelStatus>,
    /// Since all probes were in, nanoseconds.
    pub elapsed_ns: u64,
    /// CPU time that the probes took from the targets so far, nanoseconds.
    pub cost_ns: u64,
    /// `measured` or `assumed`.
    pub cost_source: String,
    /// CPU time that the targets used so far, nanoseconds; `None` where it is not known.
    pub target_cpu_ns: Option<u64>,
    /// Events so far.
    pub events: u64,
    /// Events that were lost so far.
    pub lost: u64,
}

/// How one level is watched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LevelStatus {
    /// What it adds to those before it.
    pub level: String,
    /// `continuous`, `sampled`, `removed` or `off`.
    pub mode: String,
    /// All of its probes are in at this moment.
    pub watched: bool,
    /// For how long they were so far, nanoseconds.
    pub watched_ns: u64,
    /// For how long nobody wanted it so far, nanoseconds.
    pub off_ns: u64,
}

impl Refusal {
    /// A refusal for which there is something to do.
    pub(crate) fn new(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { message: message.into(), help: Some(help.into()) }
    }

    /// A refusal whose message says it all.
    pub(crate) fn plain(message: impl Into<String>) -> Self {
        Self { message: message.into(), help: None }
    }
}

impl Response {
    /// Of this goflow.
    pub(super) fn of(outcome: Outcome) -> Self {
        Self { version: VERSION, goflow: env!("CARGO_PKG_VERSION").to_owned(), outcome }
    }

    /// With its line feed.
    pub(super) fn line(&self) -> Vec<u8> {
        let mut line = serde_json::to_vec(self).unwrap_or_default();
        line.push(b'\n');
        line
    }
}

impl Command {
    /// As a request, with its line feed.
    pub(super) fn line(self) -> Vec<u8> {
        let request = Request { version: VERSION, command: self };
        let mut line = serde_json::to_vec(&request).unwrap_or_default();
        line.push(b'\n');
        line
    }
}

/// The command in a request without its line feed.
///
/// # Errors
/// It is no request, or one of another version, or wants what cannot be.
pub(super) fn command(line: &[u8]) -> Result<Command, Refusal> {
    let not_understood = |error| Refusal::plain(format!("this is no request of goflow ctl: {error}"));
    let Versioned { version, goflow: _ } = serde_json::from_slice(line).map_err(not_understood)?;
    if version != VERSION {
        let own = env!("CARGO_PKG_VERSION");
        return Err(Refusal::new(
            format!(
                "the trace is by goflow {own}, which speaks version {VERSION} of this protocol; the request is of version {version}"
            ),
            "use the goflow that traces for goflow ctl, or start the trace anew with the other one",
        ));
    }
    let request: Request = serde_json::from_slice(line).map_err(not_understood)?;
    if let Command::Budget { budget: Some(share) } = request.command
        && !Budget::SHARES.contains(&share)
    {
        return Err(Refusal::plain(format!("a budget of {share} is not between 0.0001 and 1")));
    }
    Ok(request.command)
}

/// What a response without its line feed says.
///
/// # Errors
/// It is no response, or one of another version: a sentence.
pub(super) fn outcome(line: &[u8]) -> Result<Outcome, String> {
    let not_understood = |error| format!("its answer is none of goflow: {error}");
    let Versioned { version, goflow } = serde_json::from_slice(line).map_err(not_understood)?;
    if version != VERSION {
        let theirs = goflow.unwrap_or_else(|| "of another version".to_owned());
        return Err(format!(
            "it is goflow {theirs}, which speaks version {version} of this protocol, and this goflow version {VERSION}"
        ));
    }
    serde_json::from_slice::<Response>(line).map(|response| response.outcome).map_err(not_understood)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn refusal(line: &str) -> String {
        command(line.as_bytes()).unwrap_err().message
    }

    #[test]
    fn what_is_asked_is_understood() {
        let blocking = Command::Level { level: Level::Blocking };
        let budget = |budget| Command::Budget { budget };
        for asked in [Command::Status, blocking, budget(None), budget(Some(0.005))] {
            let line = asked.line();
            assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1);
            assert_eq!(command(&line[..line.len() - 1]), Ok(asked));
        }
        assert_eq!(command(br#"{"command":"level","level":"blocking","version":1}"#), Ok(blocking));
    }

    #[test]
    fn another_version_is_refused_by_both_sides_whatever_else_it_says() {
        let newer = refusal(r#"{"version":2,"command":{"dance":[]}}"#);
        assert!(newer.contains("version 1 of this protocol") && newer.contains("of version 2"), "{newer}");
        let newer = outcome(br#"{"version":7,"goflow":"9.9.9","fine":true}"#).unwrap_err();
        assert!(newer.contains("goflow 9.9.9") && newer.contains("version 7"), "{newer}");
    }

    #[test]
    fn a_request_that_leaves_something_out_is_refused() {
        for (line, why) in [
            ("", "EOF"),
            ("{}", "version"),
            (r#"{"version":1}"#, "command"),
            (r#"{"version":1,"command":"dance"}"#, "dance"),
            (r#"{"version":1,"command":"level"}"#, "level"),
            (r#"{"version":1,"command":"level","level":"all"}"#, "all"),
            // Not for any budget.
            (r#"{"version":1,"command":"budget"}"#, "budget"),
            (r#"{"version":1,"command":"budget","budget":"2%"}"#, "string"),
            (r#"{"version":1,"command":"budget","budget":0}"#, "between"),
            (r#"{"version":1,"command":"budget","budget":-0.5}"#, "between"),
            (r#"{"version":1,"command":"budget","budget":2}"#, "between"),
            (r#"{"version":1,"command":"budget","budget":1e999}"#, "out of range"),
            (r#"{"version":-1,"command":"status"}"#, "-1"),
        ] {
            assert!(refusal(line).contains(why), "{line}: {}", refusal(line));
        }
    }

    #[test]
    fn a_response_is_one_line_and_comes_back_as_it_was() {
        let status = Status {
            pid: 7,
            binaries: vec!["/srv/a\nb".to_owned()],
            pids: vec![1, 2],
            level: Level::Channels,
            budget: None,
            levels: vec![LevelStatus {
                level: "channels".to_owned(),
                mode: "off".to_owned(),
                watched: false,
                watched_ns: 1,
                off_ns: 2,
            }],
            elapsed_ns: 3,
            cost_ns: 4,
            cost_source: "measured".to_owned(),
            target_cpu_ns: None,
            events: 5,
            lost: 6,
        };
        let report = Report { status, note: Some("late".to_owned()) };
        for of in [Outcome::Ok(Box::new(report)), Outcome::Error(Refusal::plain("no"))] {
            let line = Response::of(of.clone()).line();
            assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1);
            assert_eq!(outcome(&line[..line.len() - 1]), Ok(of));
        }
    }

    proptest! {
        #[test]
        fn no_line_makes_either_side_panic(line in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = (command(&line), outcome(&line));
        }

        #[test]
        fn neither_does_one_that_is_nearly_right(
            at in 0..60usize,
            byte in any::<u8>(),
            command_of in prop::sample::select(vec![
                Command::Status,
                Command::Level { level: Level::Channels },
                Command::Budget { budget: Some(0.5) },
            ]),
        ) {
            let mut line = command_of.line();
            line.pop();
            let at = at % line.len();
            line[at] = byte;
            if let Ok(Command::Budget { budget: Some(share) }) = command(&line) {
                prop_assert!(Budget::SHARES.contains(&share));
            }
            let _ = outcome(&line);
        }
    }
}
