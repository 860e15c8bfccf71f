//! Names for what events mention by number: source positions, goroutines by where they were created, channels by where
//! they were made.
//!
//! In: events in order and the [`Names`] of the binary; out: small ids, so that counting does not touch text, and the
//! text behind them. What was created before the trace keeps its number. Bounded: the target decides how much there is
//! to remember, so at a limit everything is forgotten, which [`Book::make_room`] reports.

use foldhash::HashMap;

use crate::binary::addr::RuntimeAddr;
use crate::ingest::event::{ChanAddr, Goid, Pid, WaitReason};
use crate::sink::printable::printable;
use crate::sink::record::{Frame, Names};
use crate::sink::words::{self, is_go_statement};
use crate::target::snapshot::{Blocked, BlockedOn, Channel, Goroutine};

/// Entries to remember, over all kinds; some 10 MiB.
const LIMIT: usize = 100_000;

/// A source position in this book; positions that read alike are one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct SiteId(u32);

/// A text in this book: a wait reason, a type, a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct TextId(u32);

#[cfg(test)]
impl TextId {
    /// An id without a book.
    pub(super) fn of_test(number: u32) -> Self {
        Self(number)
    }
}

/// A channel whose making was seen.
struct Made {
    elem_type: Option<TextId>,
    site: SiteId,
    /// Counts the channels made at one site, from 1.
    ordinal: u32,
}

/// A channel that a snapshot found somebody waiting on, and whose making was not seen.
struct Older {
    elem_type: Option<TextId>,
    cap: u64,
}

/// Such channels to remember of one process.
const OLDER: usize = 10_000;

/// What has been learned.
#[derive(Default)]
pub(super) struct Book {
    sites: Vec<Site>,
    site_ids: HashMap<String, SiteId>,
    texts: Vec<String>,
    text_ids: HashMap<String, TextId>,
    processes: HashMap<Pid, Process>,
    remembered: usize,
    modules: Vec<String>,
}

struct Site {
    /// `pool.Submit pool.go:57`.
    full: String,
    /// `pool.go:57`.
    position: String,
}

/// A position, and how much it says about why a goroutine is there.
#[derive(Clone, Copy)]
struct Place {
    site: SiteId,
    origin: Origin,
    /// The compiler wrote it: there is no source to look at.
    is_generated: bool,
}

/// Whose code it is; what explains more comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Origin {
    /// The program's own or one of its modules'.
    Program,
    /// Go's standard library.
    Library,
    /// Packages that any blocking operation passes through.
    Machinery,
    /// The Go runtime, in which its own goroutines are.
    Runtime,
    /// What any wait in the runtime itself passes through.
    Waiting,
}

#[derive(Default)]
struct Process {
    places: HashMap<RuntimeAddr, Place>,
    starts: HashMap<RuntimeAddr, TextId>,
    types: HashMap<RuntimeAddr, Option<TextId>>,
    wait_reasons: HashMap<WaitReason, TextId>,
    channels: HashMap<ChanAddr, Made>,
    older: HashMap<ChanAddr, Older>,
    made_at: HashMap<SiteId, u32>,
    goroutines: HashMap<Goid, SiteId>,
}

impl Book {
    /// Forgets everything when the limit is reached, and tells whether it did. Ids from before are void then.
    pub(super) fn make_room(&mut self) -> bool {
        let full = self.remembered > LIMIT;
        if full {
            *self = Self { modules: std::mem::take(&mut self.modules), ..Self::default() };
        }
        full
    }

    /// Learns the path of a program's main module, without which its packages may look like the standard library's.
    pub(super) fn know_module(&mut self, module: &str) {
        self.modules.push(module.to_owned());
    }

    /// Forgets one process: its pid now runs something else.
    pub(super) fn forget(&mut self, pid: Pid) {
        self.processes.remove(&pid);
    }

    /// The position of the call that returns to `pc`: where functions were inlined, the one that explains most.
    pub(super) fn site(&mut self, pid: Pid, pc: RuntimeAddr, names: &dyn Names) -> SiteId {
        self.place(pid, pc, names).site
    }

    /// The position in a stack that explains most: the innermost one of the program, else of the standard library, else
    /// the outermost one of the packages that waits pass through, else the one in the runtime that waits. Code without a
    /// source explains nothing.
    pub(super) fn site_of_stack(
        &mut self,
        pid: Pid,
        stack: &[RuntimeAddr],
        names: &dyn Names,
    ) -> Option<SiteId> {
        let mut best: Option<Place> = None;
        for pc in stack {
            let place = self.place(pid, *pc, names);
            if self.full(place.site).starts_with("runtime.goexit ") {
                break;
            }
            let rank = |place: Place| (place.is_generated, place.origin);
            let is_outermost_best = matches!(place.origin, Origin::Machinery | Origin::Waiting);
            if best
                .is_none_or(|best| rank(place) < rank(best) || rank(place) == rank(best) && is_outermost_best)
            {
                best = Some(place);
            }
            if rank(place) == (false, Origin::Program) {
                break;
            }
        }
        best.map(|place| place.site)
    }

    /// The position of the `go` statement that returns to `created_at`; `None` where there is no source of that: the
    /// runtime creates the first goroutine in a wrapper.
    pub(super) fn go_statement(
        &mut self,
        pid: Pid,
        created_at: RuntimeAddr,
        names: &dyn Names,
    ) -> Option<SiteId> {
        is_go_statement(&names.frames(pid, created_at)).then(|| self.site(pid, created_at, names))
    }

    /// The position by which a goroutine is called: where it was created, and if there is no source of that, what it runs.
    pub(super) fn creation_site(
        &mut self,
        pid: Pid,
        created_at: Option<RuntimeAddr>,
        start: Option<RuntimeAddr>,
        names: &dyn Names,
    ) -> Option<SiteId> {
        let statement = self.go_statement(pid, created_at?, names);
        Some(statement.unwrap_or_else(|| match start.and_then(|entry| names.function_at(pid, entry)) {
            Some(frame) => {
                let function = short_function(frame.function);
                self.intern_site(format!("{function} {}", position_of(&frame)), function)
            }
            None => self.intern_site("the runtime".to_owned(), "runtime".to_owned()),
        }))
    }

    /// Records that `child` was created at `site`.
    pub(super) fn created(&mut self, pid: Pid, child: Goid, site: SiteId) {
        self.remembered += 1;
        self.processes.entry(pid).or_default().goroutines.insert(child, site);
    }

    /// Records where a goroutine was created, which a snapshot tells, unless that is known. Most of the book is kept for
    /// what events tell.
    pub(super) fn existed(&mut self, pid: Pid, goroutine: &Goroutine, names: &dyn Names) {
        let Goroutine { goid, created, start, .. } = *goroutine;
        if self.creation(pid, goid).is_none()
            && self.remembered < LIMIT / 4
            && let Some(site) = self.creation_site(pid, created, start, names)
        {
            self.created(pid, goid, site);
        }
    }

    /// Where `goid` was created, if that was seen.
    pub(super) fn creation(&self, pid: Pid, goid: Goid) -> Option<SiteId> {
        self.processes.get(&pid)?.goroutines.get(&goid).copied()
    }

    /// Forgets a goroutine that ended; ids are never used again.
    pub(super) fn exited(&mut self, pid: Pid, goid: Goid) {
        let known = self.processes.get_mut(&pid).and_then(|process| process.goroutines.remove(&goid));
        self.remembered -= usize::from(known.is_some());
    }

    /// Records that `chan` was made at `site`; a channel that had the same address before is gone.
    pub(super) fn made(&mut self, pid: Pid, chan: ChanAddr, elem_type: Option<TextId>, site: SiteId) {
        let process = self.processes.entry(pid).or_default();
        let ordinal = process.made_at.entry(site).or_default();
        *ordinal = ordinal.saturating_add(1);
        let made = Made { elem_type, site, ordinal: *ordinal };
        if process.channels.insert(chan, made).is_none() {
            self.remembered += 1;
        }
    }

    /// Learns of the channels that somebody waits on, which a snapshot tells. Those that nobody waits on any more are still
    /// known, as long as there is room for all.
    pub(super) fn waited_on(&mut self, pid: Pid, channels: &[Channel], names: &dyn Names) {
        let channels = &channels[..channels.len().min(OLDER)];
        let older = &mut self.processes.entry(pid).or_default().older;
        let new = channels.iter().filter(|channel| !older.contains_key(&channel.address)).count();
        if older.len() + new > OLDER {
            self.remembered = self.remembered.saturating_sub(older.len());
            older.clear();
        }
        for &Channel { address, cap, elem_type, .. } in channels {
            if self.remembered >= LIMIT / 2 {
                break;
            }
            let elem_type = elem_type.and_then(|descriptor| self.elem_type(pid, descriptor, names));
            let older = &mut self.processes.entry(pid).or_default().older;
            let before = older.insert(address, Older { elem_type, cap });
            self.remembered += usize::from(before.is_none());
        }
    }

    /// How `chan` is called: `chan int@pool.go:31#2` where its making was seen, else by its address, and by its type if somebody
    /// was seen waiting on it.
    pub(super) fn channel_name(&self, pid: Pid, chan: ChanAddr) -> String {
        match (self.made_channel(pid, chan), self.older_channel(pid, chan)) {
            (Some(made), _) => {
                let position = self.position(made.site);
                format!("chan {}@{position}#{}", self.elem_type_name(made.elem_type), made.ordinal)
            }
            (None, Some(older)) => format!("chan {} {:#x}", self.elem_type_name(older.elem_type), chan.0),
            (None, None) => format!("chan {:#x}", chan.0),
        }
    }

    /// The size of the buffer of `chan`, unless the line that shows where it was made tells that.
    pub(super) fn untold_cap(&self, pid: Pid, chan: ChanAddr) -> Option<u64> {
        match self.made_channel(pid, chan) {
            Some(_) => None,
            None => self.older_channel(pid, chan).map(|older| older.cap),
        }
    }

    /// What a goroutine waits for, behind its wait reason.
    pub(super) fn object(&self, pid: Pid, blocked: &Blocked) -> String {
        let chan = match (blocked.on, blocked.address) {
            (BlockedOn::Channel, Some(address)) => ChanAddr(address.0),
            (BlockedOn::Channel | BlockedOn::Sync(_) | BlockedOn::Timer | BlockedOn::Descriptor(_), _) => {
                return words::object(blocked);
            }
        };
        if self.made_channel(pid, chan).is_none() && self.older_channel(pid, chan).is_none() {
            return words::object(blocked);
        }
        let name = self.channel_name(pid, chan);
        match self.untold_cap(pid, chan) {
            Some(0) => format!(" ({name}, unbuffered)"),
            Some(cap) => format!(" ({name}, buffer {cap})"),
            None => format!(" ({name})"),
        }
    }

    /// How `chan` is called on the line that shows where it is made: `chan int #2`.
    pub(super) fn channel_name_here(&self, pid: Pid, chan: ChanAddr) -> String {
        match self.made_channel(pid, chan) {
            Some(made) => format!("chan {} #{}", self.elem_type_name(made.elem_type), made.ordinal),
            None => format!("chan {:#x}", chan.0),
        }
    }

    /// The type of the elements of `chan`, if its making was seen, or somebody waiting on it.
    pub(super) fn elem_type_of(&self, pid: Pid, chan: ChanAddr) -> Option<TextId> {
        match self.made_channel(pid, chan) {
            Some(made) => made.elem_type,
            None => self.older_channel(pid, chan)?.elem_type,
        }
    }

    fn made_channel(&self, pid: Pid, chan: ChanAddr) -> Option<&Made> {
        self.processes.get(&pid)?.channels.get(&chan)
    }

    fn older_channel(&self, pid: Pid, chan: ChanAddr) -> Option<&Older> {
        self.processes.get(&pid)?.older.get(&chan)
    }

    fn elem_type_name(&self, elem_type: Option<TextId>) -> &str {
        elem_type.map_or("?", |id| self.text(id))
    }

    /// How `goid` is called: `g42`, and once its creation was seen `g42@pool.go:31`.
    pub(super) fn goroutine_name(&self, pid: Pid, goid: Option<Goid>) -> String {
        match goid {
            None => "g?".to_owned(),
            Some(Goid(0)) => "runtime".to_owned(),
            Some(goid) => match self.creation(pid, goid) {
                Some(site) => format!("g{}@{}", goid.0, self.position(site)),
                None => format!("g{}", goid.0),
            },
        }
    }

    /// The runtime's text of a wait reason, else `wait reason N`.
    pub(super) fn wait_reason(&mut self, pid: Pid, reason: WaitReason, names: &dyn Names) -> TextId {
        if let Some(id) = self.processes.get(&pid).and_then(|process| process.wait_reasons.get(&reason)) {
            return *id;
        }
        let id = match names.wait_reason(pid, reason) {
            Some(text) => self.intern(&printable(text)),
            None => self.intern(&format!("wait reason {}", reason.0)),
        };
        self.processes.entry(pid).or_default().wait_reasons.insert(reason, id);
        id
    }

    /// Go's name of an element type; `None` when the binary has no name for it.
    pub(super) fn elem_type(
        &mut self,
        pid: Pid,
        descriptor: RuntimeAddr,
        names: &dyn Names,
    ) -> Option<TextId> {
        if let Some(known) = self.processes.get(&pid).and_then(|process| process.types.get(&descriptor)) {
            return *known;
        }
        let id = names.type_name(pid, descriptor).map(|name| self.intern(&printable(&name)));
        self.remembered += 1;
        self.processes.entry(pid).or_default().types.insert(descriptor, id);
        id
    }

    /// The function that a goroutine runs which starts at `entry`, shortened, else its address.
    pub(super) fn start(&mut self, pid: Pid, entry: RuntimeAddr, names: &dyn Names) -> TextId {
        if let Some(id) = self.processes.get(&pid).and_then(|process| process.starts.get(&entry)) {
            return *id;
        }
        let id = match names.started_function(pid, entry) {
            Some(frame) => self.intern(&short_function(frame.function)),
            None => self.intern(&entry.to_string()),
        };
        self.remembered += 1;
        self.processes.entry(pid).or_default().starts.insert(entry, id);
        id
    }

    /// Text of an id of this book.
    pub(super) fn text(&self, id: TextId) -> &str {
        &self.texts[id.0 as usize]
    }

    /// Function and position of a site: `pool.Submit pool.go:57`.
    pub(super) fn full(&self, site: SiteId) -> &str {
        &self.sites[site.0 as usize].full
    }

    /// Position of a site: `pool.go:57`.
    pub(super) fn position(&self, site: SiteId) -> &str {
        &self.sites[site.0 as usize].position
    }

    fn place(&mut self, pid: Pid, pc: RuntimeAddr, names: &dyn Names) -> Place {
        if let Some(place) = self.processes.get(&pid).and_then(|process| process.places.get(&pc)) {
            return *place;
        }
        let frames = names.frames(pid, pc);
        let chosen = frames
            .iter()
            .map(|frame| (origin(frame, &self.modules), frame))
            .min_by_key(|(origin, frame)| (frame.is_generated(), *origin));
        let place = match chosen {
            Some((origin, frame)) => {
                let position = position_of(frame);
                let full = format!("{} {position}", short_function(frame.function));
                Place { site: self.intern_site(full, position), origin, is_generated: frame.is_generated() }
            }
            None => {
                let address = pc.to_string();
                let site = self.intern_site(address.clone(), address);
                Place { site, origin: Origin::Machinery, is_generated: false }
            }
        };
        self.remembered += 1;
        self.processes.entry(pid).or_default().places.insert(pc, place);
        place
    }

    fn intern_site(&mut self, full: String, position: String) -> SiteId {
        if let Some(id) = self.site_ids.get(&full) {
            return *id;
        }
        let id = SiteId(next_id(self.sites.len()));
        self.sites.push(Site { full: full.clone(), position });
        self.site_ids.insert(full, id);
        self.remembered += 1;
        id
    }

    fn intern(&mut self, text: &str) -> TextId {
        if let Some(id) = self.text_ids.get(text) {
            return *id;
        }
        let id = TextId(next_id(self.texts.len()));
        self.texts.push(text.to_owned());
        self.text_ids.insert(text.to_owned(), id);
        self.remembered += 1;
        id
    }
}

/// The id of the next entry. `LIMIT` keeps the count far below what an id holds, even though a fold may delay
/// forgetting by a second.
fn next_id(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}

fn position_of(frame: &Frame<'_>) -> String {
    let file = frame.file.map_or("?", |file| file.rsplit(['/', '\\']).next().unwrap_or(file));
    match frame.line {
        Some(line) => format!("{}:{line}", printable(file)),
        None => printable(file).into_owned(),
    }
}

/// A function without the path of its package: `github.com/x/pool.(*Pool).Submit` is `pool.(*Pool).Submit`. Type
/// arguments, which may hold slashes, stay.
fn short_function(function: &str) -> String {
    let name_end = function.find('[').unwrap_or(function.len());
    let start = function[..name_end].rfind('/').map_or(0, |slash| slash + 1);
    printable(&function[start..]).replace("%2e", ".")
}

/// Whose code a function is. The standard library's packages are those without a dot in their first element, unless the
/// main module has no dot either.
fn origin(frame: &Frame<'_>, modules: &[String]) -> Origin {
    const MACHINERY: [&str; 8] = ["sync", "syscall", "time", "net", "os", "io", "bufio", "crypto/tls"];
    /// src/runtime/proc.go, chan.go, select.go and sema.go.
    const WAITING: [&str; 11] = [
        "gopark",
        "goparkunlock",
        "chanrecv",
        "chanrecv1",
        "chanrecv2",
        "chansend",
        "chansend1",
        "selectgo",
        "block",
        "semacquire",
        "semacquire1",
    ];
    let package = frame.package();
    if package == "runtime" {
        let is_waiting = frame.function.strip_prefix("runtime.").is_some_and(|name| WAITING.contains(&name));
        return if is_waiting { Origin::Waiting } else { Origin::Runtime };
    }
    if MACHINERY.contains(&package)
        || ["runtime/", "internal/", "sync/"].iter().any(|parent| package.starts_with(parent))
    {
        return Origin::Machinery;
    }
    let is_own = |module: &String| {
        package.strip_prefix(module.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let first_element = package.split('/').next().unwrap_or(package);
    if package == "main" || first_element.contains('.') || modules.iter().any(is_own) {
        Origin::Program
    } else {
        Origin::Library
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_lose_their_path_but_not_their_type_arguments() {
        assert_eq!(short_function("github.com/x/pool.(*Pool).Submit"), "pool.(*Pool).Submit");
        assert_eq!(
            short_function("main.Map[go.shape.int,github.com/x/y.T]"),
            "main.Map[go.shape.int,github.com/x/y.T]"
        );
        assert_eq!(short_function("gopkg.in/yaml%2ev3.parse"), "yaml.v3.parse");
    }

    #[test]
    fn whose_code_it_is_follows_from_the_package_and_not_from_its_spelling() {
        let modules = ["app".to_owned()];
        for (expected, functions) in [
            (Origin::Runtime, ["runtime.bgsweep", "runtime.main", "runtime.(*timer).f", "runtime.block.f"]),
            (Origin::Waiting, ["runtime.gopark", "runtime.chanrecv1", "runtime.block", "runtime.semacquire"]),
            (
                Origin::Machinery,
                ["runtime/pprof.f", "internal/poll.(*FD).Read", "sync.(*Mutex).Lock", "internal/sync.x"],
            ),
            (
                Origin::Library,
                ["net/http.(*conn).serve", "context.f", "vendor/golang.org/x/net/http2.f", "apple.f"],
            ),
            (
                Origin::Program,
                ["main.main", "app/pool.f", "github.com/internal/x.f", "app.(*T).f[go.shape.int]"],
            ),
        ] {
            for function in functions {
                let frame = Frame { function, file: None, line: None, inlined: false, wrapper: false };
                assert_eq!(origin(&frame, &modules), expected, "{function}");
            }
        }
    }

    /// `0xNN`: the digits are frames, innermost first, all inlined into the last: 1 what waits in the runtime, 2 library, 3
    /// program, 5 and 6 runtime, 7 a wrapper, 8 and 9 what any wait passes through.
    struct ByDigit;

    impl Names for ByDigit {
        fn frames(&self, _: Pid, pc: RuntimeAddr) -> Vec<Frame<'_>> {
            let frame = |digit| match digit {
                '1' => "runtime.chanrecv1",
                '2' => "net/http.(*conn).serve",
                '3' => "main.worker",
                '5' => "runtime.bgsweep",
                '6' => "runtime.gcenable.gowrap1",
                '7' => "main.(*T).Lock",
                '8' => "sync.(*Mutex).Lock",
                '9' => "internal/poll.(*FD).Read",
                _ => "runtime.goexit",
            };
            let digits = format!("{:x}", pc.0);
            digits
                .chars()
                .map(|digit| Frame {
                    function: frame(digit),
                    file: (digit == '7').then_some("<autogenerated>"),
                    line: None,
                    inlined: false,
                    wrapper: false,
                })
                .collect()
        }
        fn function_at(&self, _: Pid, _: RuntimeAddr) -> Option<Frame<'_>> {
            None
        }
        fn wait_reason(&self, _: Pid, _: WaitReason) -> Option<&str> {
            None
        }
        fn type_name(&self, _: Pid, _: RuntimeAddr) -> Option<String> {
            None
        }
    }

    #[test]
    fn a_stack_is_shown_by_the_position_that_explains_most() {
        for (stack, expected) in [
            (&[0x1, 0x2, 0x3, 0x4][..], Some("main.worker ?")),
            (&[0x1, 0x23, 0x4], Some("main.worker ?")),
            (&[0x1, 0x2, 0x4], Some("http.(*conn).serve ?")),
            (&[0x1, 0x1, 0x4], Some("runtime.chanrecv1 ?")),
            // The runtime's own goroutines: not where they were created.
            (&[0x1, 0x5, 0x6, 0x4], Some("runtime.bgsweep ?")),
            (&[0x15, 0x6, 0x4], Some("runtime.bgsweep ?")),
            (&[0x1, 0x8, 0x9, 0x6, 0x4], Some("poll.(*FD).Read ?")),
            // A wrapper is passed over for who called it, and for what it called.
            (&[0x1, 0x8, 0x7, 0x3, 0x4], Some("main.worker ?")),
            (&[0x1, 0x8, 0x7, 0x2, 0x4], Some("http.(*conn).serve ?")),
            (&[0x1, 0x8, 0x7, 0x4], Some("sync.(*Mutex).Lock ?")),
            (&[0x7, 0x4], Some("main.(*T).Lock <autogenerated>")),
            (&[0x4], None),
            (&[], None),
        ] {
            let mut book = Book::default();
            let stack: Vec<_> = stack.iter().copied().map(RuntimeAddr).collect();
            let site = book.site_of_stack(Pid(1), &stack, &ByDigit);
            assert_eq!(site.map(|site| book.full(site)), expected, "{stack:?}");
        }
    }

    /// 1 is the creation of the first goroutine, 2 a wrapper that was inlined; the functions start at 3.
    struct Generated;

    impl Names for Generated {
        fn frames(&self, _: Pid, pc: RuntimeAddr) -> Vec<Frame<'_>> {
            let wrapper = Frame {
                function: "runtime.newproc",
                file: Some("<autogenerated>"),
                line: Some(1),
                inlined: false,
                wrapper: false,
            };
            let caller =
                Frame { function: "runtime.init", file: Some("/go/proc.go"), line: Some(375), ..wrapper };
            if pc.0 == 1 { vec![wrapper] } else { vec![wrapper, caller] }
        }
        fn function_at(&self, _: Pid, entry: RuntimeAddr) -> Option<Frame<'_>> {
            let main = Frame {
                function: "runtime.main",
                file: Some("/go/proc.go"),
                line: Some(153),
                inlined: false,
                wrapper: false,
            };
            (entry.0 == 3).then_some(main)
        }
        fn wait_reason(&self, _: Pid, _: WaitReason) -> Option<&str> {
            None
        }
        fn type_name(&self, _: Pid, _: RuntimeAddr) -> Option<String> {
            None
        }
    }

    #[test]
    fn code_that_the_compiler_wrote_names_nobody() {
        let mut book = Book::default();
        for (created_at, start, name, full) in [
            (1, Some(3), "g1@runtime.main", "runtime.main proc.go:153"),
            (2, Some(3), "g1@proc.go:375", "runtime.init proc.go:375"),
            (1, None, "g1@runtime", "the runtime"),
        ] {
            let (created_at, start) = (Some(RuntimeAddr(created_at)), start.map(RuntimeAddr));
            let site = book.creation_site(Pid(1), created_at, start, &Generated).unwrap();
            book.created(Pid(1), Goid(1), site);
            assert_eq!(book.goroutine_name(Pid(1), Some(Goid(1))), name);
            assert_eq!(book.full(site), full);
        }
    }

    struct Numbered;

    impl Names for Numbered {
        fn frames(&self, _: Pid, pc: RuntimeAddr) -> Vec<Frame<'_>> {
            vec![Frame {
                function: "main.f",
                file: Some("/a/f.go"),
                line: u32::try_from(pc.0).ok(),
                inlined: false,
                wrapper: false,
            }]
        }
        fn function_at(&self, _: Pid, _: RuntimeAddr) -> Option<Frame<'_>> {
            None
        }
        fn wait_reason(&self, _: Pid, _: WaitReason) -> Option<&str> {
            None
        }
        fn type_name(&self, _: Pid, _: RuntimeAddr) -> Option<String> {
            None
        }
    }

    #[test]
    fn a_target_with_endless_channels_goroutines_and_addresses_cannot_fill_the_memory() {
        let mut book = Book::default();
        let mut forgotten = 0;
        for number in 0..400_000u64 {
            forgotten += u32::from(book.make_room());
            let site = book.site(Pid(1), RuntimeAddr(number), &Numbered);
            book.made(Pid(1), ChanAddr(number), None, site);
            book.created(Pid(1), Goid(number), site);
        }
        assert!(forgotten > 3, "{forgotten}");
        assert!(book.processes[&Pid(1)].channels.len() <= LIMIT);
    }

    #[test]
    fn goroutines_that_end_make_room_for_others() {
        let mut book = Book::default();
        let site = book.site(Pid(1), RuntimeAddr(1), &Numbered);
        for goid in 1..=2 * LIMIT as u64 {
            book.created(Pid(1), Goid(goid), site);
            book.exited(Pid(1), Goid(goid));
        }
        assert!(!book.make_room());
    }
}
