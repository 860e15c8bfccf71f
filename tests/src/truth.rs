//! A process's own account of its goroutines: what Go's execution tracer recorded, in the words of Go's own parser.
//!
//! In: the output of `go tool trace -d=parsed`; out: the life of each goroutine. Its times are those of
//! `CLOCK_MONOTONIC` in steps of 64 ns (`traceClockNow` in src/runtime/tracetime.go, Go 1.22 and later), so they need no
//! alignment with those of probes.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};

/// What a goroutine did.
#[derive(Clone, Debug, Default)]
pub struct Life {
    /// The goroutine that created it; 0 for the runtime.
    pub parent: u64,
    /// Function and line of the `go` statement.
    pub created_at: Option<(String, u32)>,
    /// When it was created; `None` for one that was there before.
    pub born: Option<u64>,
    /// When it ended.
    pub died: Option<u64>,
    /// When it was blocked, in order.
    pub waits: Vec<Wait>,
}

/// A time in which a goroutine was blocked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wait {
    /// From when.
    pub from: u64,
    /// Until when it was made runnable; `None` where that is not recorded.
    pub to: Option<u64>,
    /// Why, in the tracer's words.
    pub reason: String,
    /// Who made it runnable; 0 for the runtime.
    pub by: u64,
}

/// Reads the account, by goid.
///
/// # Errors
/// A line is not as expected.
pub fn lives(words: &str) -> Result<BTreeMap<u64, Life>> {
    let mut lives = BTreeMap::<u64, Life>::new();
    let mut lines = words.lines().peekable();
    while let Some(line) = lines.next() {
        let Some(goid) = field(line, " GoID=").filter(|_| line.contains(" StateTransition ")) else {
            continue;
        };
        let goid: u64 = goid.parse().with_context(|| line.to_owned())?;
        let at: u64 = field(line, " Time=").context("no time")?.parse().with_context(|| line.to_owned())?;
        // No goroutine is -1 there and 0 here.
        let actor: i64 = field(line, " G=").unwrap_or("-1").parse().with_context(|| line.to_owned())?;
        let actor = u64::try_from(actor).unwrap_or(0);
        let life = lives.entry(goid).or_default();
        if line.contains(" NotExist->") {
            (life.parent, life.born) = (actor, Some(at));
            while lines.peek().is_some_and(|next| !next.starts_with("M=") && *next != "Stack=") {
                lines.next();
            }
            if lines.next_if(|next| *next == "Stack=").is_some() {
                life.created_at = frame(lines.next(), lines.next());
            }
        }
        if line.contains("->Waiting ") {
            let reason = line.split_once("Reason=\"").map_or("", |(_, rest)| rest.trim_end_matches('"'));
            life.waits.push(Wait { from: at, to: None, reason: reason.to_owned(), by: 0 });
        } else if line.contains(" Waiting->")
            && let Some(wait) = life.waits.last_mut()
        {
            (wait.to, wait.by) = (Some(at), actor);
        }
        if line.contains("->NotExist ") {
            life.died = Some(at);
        }
    }
    ensure!(!lives.is_empty(), "the recording tells of no goroutine");
    Ok(lives)
}

/// `main.f @ 0x474c06` and the `file:line` below it.
fn frame(function: Option<&str>, position: Option<&str>) -> Option<(String, u32)> {
    let function = function?.trim().split_once(" @ ")?.0.to_owned();
    let line = position?.trim().rsplit_once(':')?.1.parse().ok()?;
    Some((function, line))
}

/// The word that follows `name` in a line of the parser.
fn field<'l>(line: &'l str, name: &str) -> Option<&'l str> {
    line.split_once(name)?.1.split_ascii_whitespace().next()
}
