//! A snapshot as Go prints goroutines (`GOTRACEBACK=all`, `debug=2` of net/http/pprof), so that whatever reads those reads
//! it: `goroutineheader`, `traceback2`, `showfuncinfo` and `printcreatedby` in src/runtime/traceback.go.
//!
//! What Go leaves out is left out: the runtime's frames and compiler-made wrappers; the runtime's own goroutines are not among
//! those to tell of. Arguments of functions are not read, so all have `(...)`, as Go's own inlined calls do.

use super::group::{Group, reason};
use super::{Named, View};
use crate::binary::frame::Frame;
use crate::sink::printable::printable;
use crate::target::snapshot::{Goroutine, Label, StackEnd, State};
use std::borrow::Cow;
use std::io::{self, Write};
use std::ops::Range;

/// Frames of a deep stack that are printed at each end (`tracebackInnerFrames`, `tracebackOuterFrames`).
const INNERMOST: usize = 50;
const OUTERMOST: usize = 50;

/// Writes the goroutines, with a blank line between two.
///
/// # Errors
/// The output fails.
pub fn write(view: &View<'_>, out: &mut impl Write) -> io::Result<()> {
    for (index, goroutine) in view.chosen.iter().enumerate() {
        if index > 0 {
            writeln!(out)?;
        }
        header(view, goroutine, out)?;
        frames(view, goroutine, out)?;
        created_by(view, goroutine, out)?;
    }
    Ok(())
}

/// Writes groups: how many goroutines, then what they have in common.
///
/// # Errors
/// The output fails.
pub fn write_groups(groups: &[Group<'_>], out: &mut impl Write) -> io::Result<()> {
    for group in groups {
        for (index, line) in group.key.iter().enumerate() {
            match index {
                0 => writeln!(out, "{:>8}  {}", group.goroutines.len(), printable(line))?,
                _ => writeln!(out, "{:>8}  {}", "", printable(line))?,
            }
        }
    }
    Ok(())
}

fn header(view: &View<'_>, goroutine: &Goroutine, out: &mut impl Write) -> io::Result<()> {
    const MINUTE: u64 = 60_000_000_000;
    write!(out, "goroutine {} [{}", goroutine.goid.0, reason(view, goroutine))?;
    if goroutine.state == State::Leaked {
        write!(out, " (leaked)")?;
    }
    if goroutine.scanned {
        write!(out, " (scan)")?;
    }
    let waits =
        |since: crate::target::id::MonotonicNs| view.snapshot.ended.0.saturating_sub(since.0) / MINUTE;
    match goroutine.wait_since.map(waits) {
        Some(minutes) if minutes > 0 => write!(out, ", {minutes} minutes")?,
        _ => {}
    }
    if goroutine.locked {
        write!(out, ", locked to thread")?;
    }
    write!(out, "]")?;
    if !goroutine.labels.is_empty() && has_labels(view) {
        labels(&goroutine.labels, out)?;
    }
    writeln!(out, ":")
}

/// Whether this binary's Go prints labels: from Go 1.27 on, by default only where the module asks for that. A `GODEBUG` in the
/// environment, which may say otherwise, is not asked.
fn has_labels(view: &View<'_>) -> bool {
    let built_in = view.binary().build_info().and_then(|info| info.setting("DefaultGODEBUG"));
    let off = built_in.is_some_and(|list| list.split(',').any(|it| it == "tracebacklabels=0"));
    view.at_least((1, 27)) && !off
}

fn labels(labels: &[Label], out: &mut impl Write) -> io::Result<()> {
    let pairs = labels.iter().map(|label| format!("{}: {}", quoted(&label.key), quoted(&label.value)));
    write!(out, " {{{}}}", pairs.collect::<Vec<_>>().join(", "))
}

/// As `tracebackStringNeedsQuoting` and `printquoted` (src/runtime/print.go) have it.
fn quoted(text: &str) -> Cow<'_, str> {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '.' | '/' | '_');
    if text.chars().all(is_plain) {
        return text.into();
    }
    let letters = text.chars().map(|letter| match letter {
        '\n' => "\\n".to_owned(),
        '\r' => "\\r".to_owned(),
        '\t' => "\\t".to_owned(),
        '\\' | '"' => format!("\\{letter}"),
        ' '..='~' => letter.to_string(),
        _ if u32::from(letter) < 127 => format!("\\x{:02x}", u32::from(letter)),
        _ if u32::from(letter) < 0x1_0000 => format!("\\u{:04x}", u32::from(letter)),
        _ => format!("\\U{:08x}", u32::from(letter)),
    });
    format!("\"{}\"", letters.collect::<String>()).into()
}

fn frames(view: &View<'_>, goroutine: &Goroutine, out: &mut impl Write) -> io::Result<()> {
    if goroutine.stack.end == StackEnd::Running {
        return writeln!(out, "\tgoroutine running on other thread; stack unavailable");
    }
    let (shown, is_whole) = shown(view, goroutine);
    let elided = elided(shown.len(), is_whole);
    for (named, frame) in &shown[..elided.start] {
        call(view, named, frame, out)?;
    }
    match elided.len() {
        0 if is_whole => {}
        count if is_whole => writeln!(out, "...{count} frames elided...")?,
        _ => writeln!(out, "...additional frames elided...")?,
    }
    for (named, frame) in &shown[elided.end..] {
        call(view, named, frame, out)?;
    }
    Ok(())
}

/// The frames that this binary's Go would show of a stack if it were not deep, and whether those are all. Up to Go 1.20 it looks
/// at the innermost hundred only, the runtime's own and those not shown among them.
fn shown<'a>(view: &View<'a>, goroutine: &Goroutine) -> (Vec<(Named<'a>, Frame<'a>)>, bool) {
    let most = if view.at_least((1, 21)) { usize::MAX } else { INNERMOST + OUTERMOST };
    let mut is_whole = !matches!(goroutine.stack.end, StackEnd::Cut | StackEnd::Broken);
    let (mut shown, mut calls) = (Vec::new(), 0);
    for named in view.stack(goroutine) {
        if calls == most {
            is_whole = false;
            break;
        }
        calls += usize::from(!named.is_inlined());
        let is_shown = |frame: &Frame<'_>| is_shown(view, frame.function, shown.is_empty());
        if let Some(frame) = named.frame.filter(|frame| !named.elided && is_shown(frame)) {
            shown.push((named, frame));
        }
    }
    (shown, is_whole)
}

/// Which of so many frames are left out: those in the middle where these are all, else the last ones.
fn elided(shown: usize, is_whole: bool) -> Range<usize> {
    match shown.checked_sub(INNERMOST + OUTERMOST) {
        None => shown..shown,
        Some(_) if is_whole => INNERMOST..shown - OUTERMOST,
        Some(_) => INNERMOST + OUTERMOST..shown,
    }
}

fn call(view: &View<'_>, named: &Named<'_>, frame: &Frame<'_>, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "{}(...)", printable(&printed(view, frame.function)))?;
    position(frame.file, frame.line, named, out)
}

fn position(
    file: Option<&str>,
    line: Option<u32>,
    named: &Named<'_>,
    out: &mut impl Write,
) -> io::Result<()> {
    write!(out, "\t{}:{}", printable(file.unwrap_or("?")), line.unwrap_or(0))?;
    match named.offset {
        Some(offset) if offset > 0 => writeln!(out, " +{offset:#x}"),
        _ => writeln!(out),
    }
}

fn created_by(view: &View<'_>, goroutine: &Goroutine, out: &mut impl Write) -> io::Result<()> {
    let Some(pc) = goroutine.creation() else { return Ok(()) };
    let place = view.place(pc);
    // Go names the function that the code is in, and the line of the innermost inlined call.
    let (Some(function), Some(at)) = (place.frames.last(), place.frames.first()) else { return Ok(()) };
    if function.wrapper || !is_shown(view, function.function, false) {
        return Ok(());
    }
    let creator = printed(view, function.function);
    let creator = printable(&creator);
    match goroutine.parent {
        Some(parent) => writeln!(out, "created by {creator} in goroutine {}", parent.0)?,
        None => writeln!(out, "created by {creator}")?,
    }
    let named = Named { pc, frame: None, offset: place.offset, elided: false };
    position(at.file, at.line, &named, out)
}

/// The name as a traceback has it (`printFuncName`).
fn printed<'n>(view: &View<'_>, function: &'n str) -> Cow<'n, str> {
    if function == GOPANIC { "panic".into() } else { view.printed(function) }
}

/// The boundary between code and the deferred calls that its panic runs.
const GOPANIC: &str = "runtime.gopanic";

/// Whether the binary's Go shows this function; `is_first` before any frame of the goroutine has been shown.
fn is_shown(view: &View<'_>, function: &str, is_first: bool) -> bool {
    let rules = Rules { callbacks: view.at_least((1, 25)), receivers: view.at_least((1, 23)) };
    rules.show(function, is_first)
}

/// What changed in `showfuncinfo` and `isExportedRuntime` (src/runtime/traceback.go, read for Go 1.18 to 1.27).
#[derive(Clone, Copy, Debug)]
struct Rules {
    /// The frames below finalizers and cleanups are shown (1.25).
    callbacks: bool,
    /// A method is exported if its type is too, and a closure is not (1.23).
    receivers: bool,
}

impl Rules {
    fn show(self, function: &str, is_first: bool) -> bool {
        if function == GOPANIC && !is_first {
            return true;
        }
        if self.callbacks && ["runtime.runFinalizers", "runtime.runCleanups"].contains(&function) {
            return true;
        }
        match function.strip_prefix("runtime.") {
            Some(rest) => self.is_exported(rest),
            None => function.contains('.'),
        }
    }

    fn is_exported(self, rest: &str) -> bool {
        let upper = |name: &str| name.starts_with(|first: char| first.is_ascii_uppercase());
        match rest.rsplit_once('.') {
            Some((receiver, name)) if self.receivers => {
                let bare = receiver.strip_prefix("(*").and_then(|rest| rest.strip_suffix(')'));
                upper(name) && upper(bare.unwrap_or(receiver))
            }
            _ => upper(rest),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_of_the_runtime_are_left_out_as_go_does() {
        let old = Rules { callbacks: false, receivers: false };
        let new = Rules { callbacks: true, receivers: true };
        for (function, before, since) in [
            ("runtime.gopark", false, false),
            ("runtime.goexit", false, false),
            ("goexit", false, false),
            ("runtime.runFinalizers", false, true),
            ("main.main.func1", true, true),
            ("runtime.Gosched", true, true),
            ("runtime.GC.func1", true, false),
            ("runtime.(*Func).Entry", false, true),
            ("runtime.(*mheap).Alloc", false, false),
            ("sync.runtime_Semacquire", true, true),
        ] {
            assert_eq!((old.show(function, true), new.show(function, true)), (before, since), "{function}");
        }
        assert!(new.show(GOPANIC, false) && !new.show(GOPANIC, true));
    }

    #[test]
    fn of_a_deep_stack_both_ends_are_printed_where_go_does() {
        assert_eq!([elided(99, true), elided(100, true), elided(100, false)], [99..99, 50..50, 100..100]);
        assert_eq!([elided(301, true), elided(301, false)], [50..251, 100..301]);
    }

    #[test]
    fn labels_are_quoted_where_go_quotes_them() {
        let texts = ["nightly", "a/b_c.D9", "", "a-b", "a \"b\"\n", "\u{1}\u{7f}\u{e9}", "\u{1f600}"];
        let printed = texts.map(|text| quoted(text).into_owned());
        let expected = [
            "nightly",
            "a/b_c.D9",
            "",
            r#""a-b""#,
            r#""a \"b\"\n""#,
            r#""\x01\u007f\u00e9""#,
            r#""\U0001f600""#,
        ];
        assert_eq!(printed, expected);
    }
}
