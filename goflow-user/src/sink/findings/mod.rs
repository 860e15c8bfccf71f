//! Findings for a person or a program: as text ([`text`]), as one JSON object ([`json`]), for code scanning ([`sarif`]), or as
//! tests ([`junit`]).
//!
//! In: findings, the model they were found in, and the binary that names their addresses. Out: [`Described`], sentences and
//! places in source, and from those bytes. What makes a finding the same one tomorrow and in another process is its
//! fingerprint: the rule, and the functions and lines, without any number that only this process has.

pub mod json;
pub mod junit;
mod report;
pub mod sarif;
pub mod text;

pub use self::report::{Found, Of, Report, Subject};

use super::pretty::layout::{counted, span};
use super::words;
use crate::binary::GoBinary;
use crate::binary::addr::{LoadBias, RuntimeAddr};
use crate::binary::frame::Frame;
use crate::detect::{Evidence, Finding, Involved};
use crate::model::{Goroutine, MisuseKind, Object, Process};
use crate::target::id::{Goid, MonotonicNs, SyncPrimitive};
use crate::target::reach::Hold;
use crate::target::snapshot::Direction;
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

/// A place in the source.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// Function, as the binary spells it.
    pub function: String,
    /// File, as the binary spells it.
    pub file: Option<String>,
    /// Line.
    pub line: Option<u32>,
}

/// The file of a test program's `main`, which `go test` generates.
const TEST_MAIN: &str = "_testmain.go";

/// A goroutine of a finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// Its id.
    pub goid: Goid,
    /// Where in the program's own code it waits: the innermost frame that is not of Go's standard library, or the innermost at all.
    pub place: Option<Place>,
    /// Where it was created.
    pub created: Option<Place>,
    /// Why it waits, in the runtime's words.
    pub wait_reason: Option<String>,
    /// The runtime's word for its state at the last look that had it.
    pub state: Option<&'static str>,
    /// Since when, at the latest.
    pub since: Option<MonotonicNs>,
    /// Its frames, innermost first.
    pub stack: Vec<Place>,
}

/// A finding in words.
#[derive(Clone, Debug)]
pub struct Described<'f> {
    /// What was found.
    pub finding: Cow<'f, Finding>,
    /// The same for the same fault in every process of the program, 16 hexadecimal digits.
    pub fingerprint: String,
    /// Who is in it.
    pub goroutines: Vec<Named>,
    /// Functions to look at that no goroutine stands in.
    pub functions: Vec<Place>,
    /// Why, a sentence each, without the full stop.
    pub evidence: Vec<String>,
}

impl Described<'_> {
    /// To be kept for longer than what it was found in.
    #[must_use]
    pub fn into_owned(self) -> Described<'static> {
        let Self { finding, fingerprint, goroutines, functions, evidence } = self;
        Described { finding: Cow::Owned(finding.into_owned()), fingerprint, goroutines, functions, evidence }
    }
}

/// Names what findings are about.
pub struct Namer<'a> {
    binary: &'a GoBinary<'a>,
    bias: LoadBias,
    process: &'a Process,
    /// It is now; what began is told as so long ago.
    now: MonotonicNs,
}

impl<'a> Namer<'a> {
    /// Of a process in which `binary` was moved by `bias`.
    #[must_use]
    pub fn new(binary: &'a GoBinary<'a>, bias: LoadBias, process: &'a Process, now: MonotonicNs) -> Self {
        Self { binary, bias, process, now }
    }

    /// Puts a finding in words.
    #[must_use]
    pub fn describe<'f>(&self, finding: &'f Finding) -> Described<'f> {
        let goroutines: Vec<Named> = finding.goroutines.iter().map(|one| self.named(one)).collect();
        let evidence = finding.evidence.iter().map(|one| self.sentence(one)).collect();
        let functions: Vec<Place> =
            finding.functions.iter().filter_map(|entry| self.function(*entry)).collect();
        let fingerprint = fingerprint(finding, &goroutines, &functions);
        Described { finding: Cow::Borrowed(finding), fingerprint, goroutines, functions, evidence }
    }

    fn named(&self, involved: &Involved) -> Named {
        let stack: Vec<Place> = involved.stack.iter().flat_map(|pc| self.frames(*pc)).collect();
        let goroutine = self.process.goroutine(involved.goid);
        let wait = goroutine.and_then(|goroutine| goroutine.wait.as_deref());
        let reason = wait.and_then(|wait| wait.reason);
        Named {
            goid: involved.goid,
            place: own(&stack).cloned(),
            created: involved.created_at.and_then(|pc| self.frames(pc).into_iter().next()),
            wait_reason: reason.and_then(|reason| self.binary.wait_reason(reason.0)).map(str::to_owned),
            state: goroutine.and_then(|goroutine| goroutine.seen).map(|(state, _)| state.name()),
            since: wait.map(|wait| wait.since),
            stack,
        }
    }

    /// A goroutine of the process.
    pub(in crate::sink) fn goroutine(&self, goroutine: &Goroutine) -> Named {
        self.named(&Involved::of(goroutine))
    }

    fn frames(&self, pc: RuntimeAddr) -> Vec<Place> {
        let frames = self.binary.frames_of_call(self.bias.to_link(pc));
        frames.iter().filter(|frame| !frame.is_generated()).map(place).collect()
    }

    fn sentence(&self, evidence: &Evidence) -> String {
        match evidence {
            Evidence::Waits(goid, objects) => self.waits(*goid, objects),
            Evidence::Holds(hold) => self.holds("holds", hold),
            Evidence::Needs(object, goid) => format!(
                "only goroutine {} could {}, and it waits itself",
                goid.0,
                match object {
                    Object::Channel(_) => "use the other end of that channel",
                    Object::Sync(SyncPrimitive::WaitGroup, _) => "call Done of that wait group",
                    Object::Sync(SyncPrimitive::Cond, _) => "signal that condition",
                    Object::Sync(..) => "release that",
                }
            ),
            Evidence::Seen(object, goid) => format!(
                "of all goroutines only goroutine {} is seen to have to do with {}, and it waits itself; a function that names the \
                 package variable may still be called",
                goid.0,
                self.object(*object)
            ),
            Evidence::NobodyReaches(goid) => format!(
                "nothing that goes on in this process can reach what goroutine {} waits for, so nobody will ever wake it",
                goid.0
            ),
            Evidence::NobodyNames(goid) => format!(
                "only package variables lead to what goroutine {} waits for, and no function names one of them that anything which \
                 goes on may still come to",
                goid.0
            ),
            Evidence::Nothing(goid) => format!(
                "goroutine {} waits for nothing that exists: a nil channel, or a select without a case",
                goid.0
            ),
            Evidence::Alike(count) => {
                format!("{count} goroutines from the same place wait at the same place")
            }
            Evidence::Orphaned(object) => format!(
                "nobody is seen to hold {}: who locked it may have returned or ended without unlocking it",
                self.object(*object)
            ),
            Evidence::AllAsleep(count) => format!(
                "{}, and no timer, descriptor or signal is left that would wake {}",
                match count {
                    1 => "1 goroutine waits for what nobody else is left to do".to_owned(),
                    _ => format!("{} wait for each other or for nothing", counted(*count, "goroutine")),
                },
                if *count == 1 { "it" } else { "one" },
            ),
            Evidence::Running(goid, looks) => {
                format!("goroutine {} was on a CPU, or had just lost it, at each of {looks} looks", goid.0)
            }
            Evidence::Computing(count, looks) => format!(
                "{count} goroutines from the same place were on a CPU, or had just lost it, at each of {looks} looks"
            ),
            Evidence::Runnable(count, looks) => format!(
                "{} ready to run at each of {looks} looks, and did not run in between",
                if *count == 1 { "1 goroutine was".to_owned() } else { format!("{count} goroutines were") },
            ),
            Evidence::Crowd(object, count, hits, looks) => format!(
                "{} waited for {}, and many did at {hits} of {looks} looks",
                counted(*count, "goroutine"),
                self.object(*object)
            ),
            Evidence::Longest(ns) => format!("one of them had been waiting for at least {}", span(*ns)),
            Evidence::Held(hold) => self.holds("held", hold),
            Evidence::Pressed(object, direction, count, hits, looks) => {
                self.pressed(*object, *direction, *count, (*hits, *looks))
            }
            Evidence::AtHand(object, goid) => self.at_hand(*object, *goid),
            Evidence::Backlog(object, before, now, ns) => format!(
                "{} had {before} values {} before, and never fewer from look to look until it had {now}",
                self.object(*object),
                span(*ns)
            ),
            Evidence::Timers { calls, is_periodic, before, now, ns } => format!(
                "there were {before} {} that call {}, and {now} after {}, never fewer",
                if *is_periodic { "tickers" } else { "timers" },
                self.function(*calls).map_or_else(|| calls.to_string(), |place| spot(&place)),
                span(*ns)
            ),
            Evidence::Growth(created, before, now, ns) => format!(
                "the goroutines that are created at {} were {before}, and {now} after {}, never fewer",
                own(&self.frames(*created)).map_or_else(|| created.to_string(), spot),
                span(*ns)
            ),
            Evidence::Untaken(goid, looks) => {
                format!("nobody has come for what goroutine {} sends, in {looks} looks", goid.0)
            }
            Evidence::Closed(channel, by, site) => {
                let at = site.map_or_else(String::new, |site| self.at_call(&[site]));
                format!("{} closed {}{at}", who(*by), self.object(*channel))
            }
            Evidence::AwaitsClose(goid) => format!(
                "goroutine {} takes values until that is closed (`range`, or `v, ok := <-ch`), and nothing that goes on in this \
                 process can reach it, so nobody will",
                goid.0
            ),
            Evidence::Made(object, by, site) => {
                format!("{} made {}{}", who(*by), self.object(*object), self.at_call(&[*site]))
            }
            Evidence::Unlocks(goid, kind, at) => format!(
                "goroutine {} unlocks a {}{}, and neither it nor what it calls has locked one before",
                goid.0,
                words::primitive(*kind),
                self.at_call(&[*at]),
            ),
            Evidence::WillUnlock(object, goid) => {
                format!("{} is locked, and goroutine {} is about to unlock it", self.object(*object), goid.0)
            }
            Evidence::Misused(kind, by, site, after_ns) => {
                let (who, at) = (who(*by), self.at_call(site));
                match kind {
                    MisuseKind::SendAfterClose => format!("{who} sent on it{at}, {} later", span(*after_ns)),
                    MisuseKind::CloseUnderSender => format!("{who} was waiting to send on it{at}"),
                    MisuseKind::DoubleClose => {
                        format!("{who} closed it again{at}, {} later", span(*after_ns))
                    }
                }
            }
            Evidence::GroupWait(group, goid, site) => {
                let at = site.map_or_else(String::new, |site| self.at_call(&[site]));
                format!("goroutine {} called Wait of {}{at}", goid.0, self.object(*group))
            }
            Evidence::CountedLate { goid, at, after_ns, is_over } => format!(
                "goroutine {}, which existed by then, counted itself in it{} only {} later, {}",
                goid.0,
                at.map_or_else(String::new, |site| self.at_call(&[site])),
                span(*after_ns),
                if *is_over {
                    "when the wait was over"
                } else {
                    "and was waited for only because others were still counted"
                }
            ),
            Evidence::DoneByItself(goid) => {
                format!("goroutine {} itself called Done for that, and nobody had counted it before", goid.0)
            }
            Evidence::Times(times) => format!("that has happened {times} times"),
            Evidence::Behind(count) => {
                format!("{} more wait behind them", counted(*count, "goroutine"))
            }
        }
    }

    fn waits(&self, goid: Goid, objects: &[Object]) -> String {
        let goroutine = self.process.goroutine(goid);
        let wait = goroutine.and_then(|goroutine| goroutine.wait.as_deref());
        let mut text = format!("goroutine {}", goid.0);
        let reason = wait.and_then(|wait| wait.reason).and_then(|reason| self.binary.wait_reason(reason.0));
        let _ = write!(text, " is blocked in {}", reason.unwrap_or("a wait"));
        if let Some(at) = goroutine.and_then(|goroutine| self.at(goroutine)) {
            let _ = write!(text, " at {}", spot(&at));
        }
        if let Some(wait) = wait.filter(|_| self.now.0 > 0) {
            let since = self.now.0.saturating_sub(wait.since.0);
            let least = if wait.exact { "" } else { "at least " };
            let _ = write!(text, " for {least}{}", span(since));
        }
        match objects {
            [] => {}
            [one] => _ = write!(text, ", on {}", self.object(*one)),
            several => _ = write!(text, ", on {} channels", several.len()),
        }
        text
    }

    /// Where in the program's own code a call is, from its return addresses.
    fn at_call(&self, stack: &[RuntimeAddr]) -> String {
        let stack: Vec<Place> = stack.iter().flat_map(|pc| self.frames(*pc)).collect();
        own(&stack).map_or_else(String::new, |place| format!(" at {}", spot(place)))
    }

    fn at(&self, goroutine: &Goroutine) -> Option<Place> {
        let stack: Vec<Place> =
            goroutine.wait.iter().flat_map(|wait| &wait.stack).flat_map(|pc| self.frames(*pc)).collect();
        own(&stack).cloned()
    }

    /// The function that begins at an address; where the compiler made that, the one it calls.
    fn function(&self, entry: RuntimeAddr) -> Option<Place> {
        self.binary.started_function(self.bias.to_link(entry)).as_ref().map(place)
    }

    fn pressed(&self, object: Object, direction: Direction, count: u64, (hits, looks): (u32, u32)) -> String {
        let verb = if direction == Direction::Send { "send to" } else { "receive from" };
        format!(
            "{} waited to {verb} {}, and several did at {hits} of {looks} looks, while values went through it",
            counted(count, "goroutine"),
            self.object(object)
        )
    }

    fn at_hand(&self, object: Object, goid: Goid) -> String {
        let goroutine = self.process.goroutine(goid);
        let wait = goroutine.and_then(|goroutine| goroutine.wait.as_deref());
        let reason = wait.and_then(|wait| wait.reason).and_then(|reason| self.binary.wait_reason(reason.0));
        let mut text = format!("goroutine {} has {} at hand", goid.0, self.object(object));
        if let Some(reason) = reason {
            let _ = write!(text, ", and is in {reason}");
        }
        if let Some(at) = goroutine.and_then(|goroutine| self.at(goroutine)) {
            let _ = write!(text, " at {}", spot(&at));
        }
        text
    }

    fn holds(&self, verb: &str, hold: &Hold) -> String {
        let taken = self.frames(hold.taken_at);
        let mut text = format!(
            "goroutine {} {verb} {}",
            hold.goid.0,
            self.object(Object::Sync(hold.kind, hold.address))
        );
        if hold.is_shared {
            text.push_str(" for reading");
        }
        let Some(taken) = own(&taken) else { return text };
        // Where no place is seen at which it takes it, all that is known is that it gives it back.
        let link = self.bias.to_link(RuntimeAddr(hold.taken_at.0.wrapping_sub(1)));
        if self.binary.is_entry(link) {
            let seems = if hold.is_certain { "" } else { ", it seems" };
            let _ = write!(text, "{seems}, for {} will unlock it", taken.function);
        } else {
            let _ = write!(text, ", which it locked at {}", spot(taken));
        }
        text
    }

    /// A channel or a sync object.
    pub(in crate::sink) fn object(&self, object: Object) -> String {
        match object {
            Object::Channel(address) => {
                let channel = self.process.channel(address);
                let elem = channel.and_then(|channel| channel.elem_type);
                let elem = elem.and_then(|elem| self.binary.type_name(self.bias.to_link(elem)));
                let buffer = match channel.and_then(|channel| Some((channel.cap?, channel.len))) {
                    Some((0, _)) => ", unbuffered".to_owned(),
                    Some((cap, Some((len, _)))) => format!(", with {len} of {cap} values"),
                    _ => String::new(),
                };
                format!(
                    "the channel{} {:#x}{buffer}",
                    elem.map_or_else(String::new, |elem| format!(" of {elem}")),
                    address.0
                )
            }
            Object::Sync(kind, address) => format!("the {} {address}", words::primitive(kind)),
        }
    }
}

/// A goroutine whose id may not have been read.
fn who(goid: Option<Goid>) -> String {
    goid.map_or_else(|| "a goroutine".to_owned(), |goid| format!("goroutine {}", goid.0))
}

/// A file from the directory `root`, where it lies under it.
fn relative<'f>(file: &'f str, root: &str) -> &'f str {
    Path::new(file).strip_prefix(root).ok().and_then(Path::to_str).unwrap_or(file)
}

/// A place on one line.
fn spot(place: &Place) -> String {
    match (&place.file, place.line) {
        (Some(file), Some(line)) => format!("{} ({file}:{line})", place.function),
        _ => place.function.clone(),
    }
}

fn place(frame: &Frame<'_>) -> Place {
    Place { function: frame.function.to_owned(), file: frame.file.map(str::to_owned), line: frame.line }
}

/// First elements of the import paths of Go's standard library (`go list std`).
const STANDARD: [&str; 52] = [
    "archive",
    "bufio",
    "bytes",
    "cmp",
    "compress",
    "container",
    "context",
    "crypto",
    "database",
    "debug",
    "embed",
    "encoding",
    "errors",
    "expvar",
    "flag",
    "fmt",
    "go",
    "hash",
    "html",
    "image",
    "index",
    "internal",
    "io",
    "iter",
    "log",
    "maps",
    "math",
    "mime",
    "net",
    "os",
    "path",
    "plugin",
    "reflect",
    "regexp",
    "runtime",
    "slices",
    "sort",
    "strconv",
    "strings",
    "structs",
    "sync",
    "syscall",
    "testing",
    "text",
    "time",
    "unicode",
    "unique",
    "unsafe",
    "vendor",
    "weak",
    "arena",
    "simd",
];

fn is_standard(place: &Place) -> bool {
    let frame = Frame { function: &place.function, file: None, line: None, inlined: false, wrapper: false };
    let package = frame.package();
    STANDARD.contains(&package.split('/').next().unwrap_or(package))
}

/// The innermost place in the program's own code; the innermost at all where there is none.
fn own(stack: &[Place]) -> Option<&Place> {
    stack.iter().find(|place| !is_standard(place)).or(stack.first())
}

/// FNV-1a over what does not depend on the process.
fn fingerprint(finding: &Finding, goroutines: &[Named], functions: &[Place]) -> String {
    let mut places: BTreeSet<String> = functions.iter().map(spot).collect();
    for (involved, goroutine) in finding.goroutines.iter().zip(goroutines) {
        let text = |place: &Option<Place>| place.as_ref().map_or_else(String::new, spot);
        let place = goroutine.place.clone().filter(|_| !involved.is_passing);
        places.insert(format!("{}\n{}", text(&place), text(&goroutine.created)));
    }
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    let mut add = |text: &str| {
        for byte in text.bytes().chain([0]) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    };
    add(finding.rule.id);
    places.iter().for_each(|place| add(place));
    format!("{hash:016x}")
}
