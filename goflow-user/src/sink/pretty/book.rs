//! Names for what events mention by number: source positions, goroutines by where they were created, channels by where
//! they were made.
//!
//! In: events in order and the [`Names`] of the binary; out: small ids, so that counting does not touch text, and the
//! text behind them. What was created before the trace keeps its number. Bounded: the target decides how much there is
//! to remember, so at a limit everything is forgotten, which [`Book::make_room`] reports.

use foldhash::HashMap;

use super::layout::printable;
use crate::binary::addr::RuntimeAddr;
use crate::ingest::event::{ChanAddr, Goid, Pid, WaitReason};
use crate::sink::record::{Frame, Names};

/// Entries to remember, over all kinds; some 10 MiB.
const LIMIT: usize = 100_000;

/// A source position in this book; positions that read alike are one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct SiteId(u32);

/// A text in this book: a wait reason, a type, a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct TextId(u32);

/// A channel whose making was seen.
struct Made {
    elem_type: Option<TextId>,
    site: SiteId,
    /// Counts the channels made at one site, from 1.
    ordinal: u32,
}

/// What has been learned.
#[derive(Default)]
pub(super) struct Book {
    sites: Vec<Site>,
    site_ids: HashMap<String, SiteId>,
    texts: Vec<String>,
    text_ids: HashMap<String, TextId>,
    processes: HashMap<Pid, Process>,
    remembered: usize,
}

struct Site {
    /// `pool.Submit pool.go:57`.
    full: String,
    /// `pool.go:57`.
    position: String,
}

/// A position, and whether it is in the machinery that every goroutine parks in.
#[derive(Clone, Copy)]
struct Place {
    site: SiteId,
    is_machinery: bool,
}

#[derive(Default)]
struct Process {
    places: HashMap<RuntimeAddr, Place>,
    starts: HashMap<RuntimeAddr, TextId>,
    types: HashMap<RuntimeAddr, Option<TextId>>,
    wait_reasons: HashMap<WaitReason, TextId>,
    channels: HashMap<ChanAddr, Made>,
    made_at: HashMap<SiteId, u32>,
    goroutines: HashMap<Goid, SiteId>,
}

impl Book {
    /// Forgets everything when the limit is reached, and tells whether it did. Ids from before are void then.
    pub(super) fn make_room(&mut self) -> bool {
        let full = self.remembered > LIMIT;
        if full {
            *self = Self::default();
        }
        full
    }

    /// Forgets one process: its pid now runs something else.
    pub(super) fn forget(&mut self, pid: Pid) {
        self.processes.remove(&pid);
    }

    /// The user's position at the call that returns to `pc`: the innermost frame outside the runtime's machinery.
    pub(super) fn site(&mut self, pid: Pid, pc: RuntimeAddr, names: &dyn Names) -> SiteId {
        self.place(pid, pc, names).site
    }

    /// The user's position in a stack: the innermost frame outside the runtime's machinery, else the outermost one.
    pub(super) fn site_of_stack(
        &mut self,
        pid: Pid,
        stack: &[RuntimeAddr],
        names: &dyn Names,
    ) -> Option<SiteId> {
        let mut outermost = None;
        for pc in stack {
            let place = self.place(pid, *pc, names);
            if !place.is_machinery {
                return Some(place.site);
            }
            if self.sites[place.site.0 as usize].full.starts_with("runtime.goexit ") {
                break;
            }
            outermost = Some(place.site);
        }
        outermost
    }

    /// Records that `child` was created at `site`.
    pub(super) fn created(&mut self, pid: Pid, child: Goid, site: SiteId) {
        self.remembered += 1;
        self.processes.entry(pid).or_default().goroutines.insert(child, site);
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

    /// How `chan` is called: `chan int@pool.go:31#2` where its making was seen, else by its address.
    pub(super) fn channel_name(&self, pid: Pid, chan: ChanAddr) -> String {
        match self.made_channel(pid, chan) {
            Some(made) => {
                let position = self.position(made.site);
                format!("chan {}@{position}#{}", self.elem_type_name(made), made.ordinal)
            }
            None => format!("chan {:#x}", chan.0),
        }
    }

    /// How `chan` is called on the line that shows where it is made: `chan int #2`.
    pub(super) fn channel_name_here(&self, pid: Pid, chan: ChanAddr) -> String {
        match self.made_channel(pid, chan) {
            Some(made) => format!("chan {} #{}", self.elem_type_name(made), made.ordinal),
            None => format!("chan {:#x}", chan.0),
        }
    }

    fn made_channel(&self, pid: Pid, chan: ChanAddr) -> Option<&Made> {
        self.processes.get(&pid)?.channels.get(&chan)
    }

    fn elem_type_name(&self, made: &Made) -> &str {
        made.elem_type.map_or("?", |id| self.text(id))
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

    /// The function that starts at `entry`, shortened, else its address.
    pub(super) fn start(&mut self, pid: Pid, entry: RuntimeAddr, names: &dyn Names) -> TextId {
        if let Some(id) = self.processes.get(&pid).and_then(|process| process.starts.get(&entry)) {
            return *id;
        }
        let id = match names.function_at(pid, entry) {
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
        let chosen = frames.iter().find(|frame| !is_machinery(frame.function)).or(frames.last());
        let place = match chosen {
            Some(frame) => {
                let position = position_of(frame);
                let full = format!("{} {position}", short_function(frame.function));
                Place { site: self.intern_site(full, position), is_machinery: is_machinery(frame.function) }
            }
            None => {
                let address = pc.to_string();
                Place { site: self.intern_site(address.clone(), address), is_machinery: false }
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

/// True for the packages that any blocking operation passes through, and that therefore explain nothing.
fn is_machinery(function: &str) -> bool {
    let package = package_of(function);
    matches!(package, "runtime" | "sync" | "syscall" | "time" | "net" | "os" | "io" | "bufio" | "crypto/tls")
        || ["runtime/", "internal/", "sync/"].iter().any(|parent| package.starts_with(parent))
}

/// Import path of a function's package.
fn package_of(function: &str) -> &str {
    let name_end = function.find('[').unwrap_or(function.len());
    let last_element = function[..name_end].rfind('/').map_or(0, |slash| slash + 1);
    match function[last_element..name_end].find('.') {
        Some(dot) => &function[..last_element + dot],
        None => function,
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
    fn machinery_is_a_matter_of_the_package_and_not_of_its_spelling() {
        for function in
            ["runtime.gopark", "internal/poll.(*FD).Read", "sync.(*Mutex).Lock", "internal/sync.x"]
        {
            assert!(is_machinery(function), "{function}");
        }
        for function in
            ["main.main", "net/http.(*conn).serve", "runtimex.f", "github.com/internal/x.f", "syncthing.f"]
        {
            assert!(!is_machinery(function), "{function}");
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
