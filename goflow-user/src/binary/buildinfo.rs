//! What `go build` wrote about itself: Go version, main module, settings; and the build ids.
//!
//! Found in `.go.buildinfo`, else by its magic in the data segments (Go's linker aligns it to 16 bytes). Format: a
//! 32-byte header, then two length-prefixed strings (cmd/link/internal/ld/data.go `buildinfo`, unchanged from Go 1.18 to
//! 1.27). The pointer form of older Go is read far enough to name the version that is refused.

use super::addr::LinkAddr;
use super::elf::Image;
use super::read::{array, uvarint};
use super::version::GoVersion;
use memchr::memmem;
use std::borrow::Cow;

/// Start of the header.
const MAGIC: &[u8] = b"\xff Go buildinf:";

/// Size of the header and of the alignment of its start.
const HEADER: usize = 32;
const ALIGN: usize = 16;

/// Longest version text accepted, in bytes; Go's own are below 100.
const LONGEST_VERSION: usize = 256;

/// Most places with the magic that are examined; a real file has one, and this program has another in its code.
const MAX_CANDIDATES: usize = 16;

/// Flag in byte 15: the strings follow inline (Go 1.18 and later).
const INLINE: u8 = 2;

/// Framing of the module text on either side (cmd/go/internal/modload `infoStart`, `infoEnd`).
const SENTINEL: usize = 16;

/// Owner and type of the note with Go's build id (cmd/link/internal/ld/elf.go `ELF_NOTE_BUILDID_TAG`).
const GO_NOTE: (&[u8], u32) = (b"Go", 4);
const GNU_NOTE: (&[u8], u32) = (b"GNU", 3);

/// How a file was recognised as Go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recognition {
    /// By its `.go.buildinfo` section.
    BuildInfoSection,
    /// By the build-info magic in a data segment.
    BuildInfoMagic,
    /// By its `.gopclntab` section; there is no build info.
    PclntabSection,
    /// By a function table found in a segment; there is neither build info nor a section table.
    PclntabScan,
}

/// The build info of an executable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuildInfo<'d> {
    /// Go version as written, even when [`GoVersion`] cannot read it.
    pub version_text: &'d str,
    /// The module text without its framing; empty in a build without module support.
    text: &'d str,
    /// How it was found.
    pub recognition: Recognition,
}

/// A module, as `mod`, `dep` and `=>` lines name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Module<'d> {
    /// Module path.
    pub path: &'d str,
    /// Version; `(devel)` in a build from a working tree.
    pub version: Option<&'d str>,
}

impl<'d> BuildInfo<'d> {
    /// Finds the build info of `image`; `None` when it has none.
    #[must_use]
    pub fn find(image: &Image<'d>) -> Option<Self> {
        let section = image.section_range(".go.buildinfo").and_then(|range| {
            let bytes = image.bytes(range.start, range.end.0.checked_sub(range.start.0)?)?;
            Self::scan(image, range.start, bytes, Recognition::BuildInfoSection)
        });
        section.or_else(|| {
            // Go's linker puts it at the start of the data segment. Reading megabytes of constants for it is only
            // worth it where no section table says what they are.
            let bare = image.sections().next().is_none();
            let mut data: Vec<_> =
                image.segments().iter().filter(|s| s.writable || (bare && !s.executable)).collect();
            data.sort_by_key(|s| !s.writable);
            data.iter().find_map(|segment| {
                Self::scan(image, segment.start, image.segment_bytes(segment)?, Recognition::BuildInfoMagic)
            })
        })
    }

    fn scan(image: &Image<'d>, start: LinkAddr, bytes: &'d [u8], recognition: Recognition) -> Option<Self> {
        memmem::find_iter(bytes, MAGIC)
            .filter(|&at| start.0.wrapping_add(at as u64).is_multiple_of(ALIGN as u64))
            .take(MAX_CANDIDATES)
            .find_map(|at| Self::decode(image, &bytes[at..], recognition))
    }

    fn decode(image: &Image<'d>, data: &'d [u8], recognition: Recognition) -> Option<Self> {
        let [pointer_size, flags] = array(data, MAGIC.len())?;
        let (version_text, text) = if flags & INLINE != 0 {
            let (version, rest) = prefixed(data.get(HEADER..)?)?;
            let text = prefixed(rest).and_then(|(framed, _)| without_framing(framed));
            let version = version.get(..LONGEST_VERSION).is_none().then_some(version)?;
            (std::str::from_utf8(version).ok()?, text.unwrap_or(""))
        } else if pointer_size == 8 {
            let version = LinkAddr(u64::from_le_bytes(array(data, ALIGN)?));
            (version_string(image, version)?, "")
        } else {
            return None;
        };
        if version_text.is_empty() {
            return None;
        }
        Some(Self { version_text, text, recognition })
    }

    /// The Go version; `None` when its text is none that goflow can read.
    #[must_use]
    pub fn go_version(&self) -> Option<GoVersion> {
        GoVersion::parse(self.version_text)
    }

    /// Import path of the main package, such as `example.com/tool/cmd/tool` or `command-line-arguments`.
    #[must_use]
    pub fn path(&self) -> Option<&'d str> {
        self.lines("path").next()
    }

    /// The main module.
    #[must_use]
    pub fn module(&self) -> Option<Module<'d>> {
        self.lines("mod").next().map(module)
    }

    /// Build settings in the order of the file, such as `CGO_ENABLED`=`1`; quoted values are unquoted.
    pub fn settings(&self) -> impl Iterator<Item = (Cow<'d, str>, Cow<'d, str>)> + use<'d> {
        self.lines("build").filter_map(|line| {
            let (key, rest) = quoted_or_until(line, '=')?;
            Some((key, quoted_or_until(rest.strip_prefix('=')?, '\n')?.0))
        })
    }

    /// Value of one build setting.
    #[must_use]
    pub fn setting(&self, key: &str) -> Option<Cow<'d, str>> {
        self.settings().find(|(k, _)| k == key).map(|(_, value)| value)
    }

    fn lines(&self, kind: &'static str) -> impl Iterator<Item = &'d str> + use<'d> {
        self.text.lines().filter_map(move |line| line.strip_prefix(kind)?.strip_prefix('\t'))
    }
}

/// Go's build id: the text of the `NT_GO_BUILD_ID` note. Absent in some externally linked programs.
#[must_use]
pub fn go_build_id<'d>(image: &Image<'d>) -> Option<&'d str> {
    let id = image.note(GO_NOTE.0, GO_NOTE.1)?;
    std::str::from_utf8(id).ok().filter(|id| !id.is_empty())
}

/// The GNU build id, in bytes.
#[must_use]
pub fn gnu_build_id<'d>(image: &Image<'d>) -> Option<&'d [u8]> {
    image.note(GNU_NOTE.0, GNU_NOTE.1).filter(|id| !id.is_empty())
}

/// The text of the Go string whose header (pointer, length) is at `addr`, if it is short enough for a version.
pub(crate) fn version_string<'d>(image: &Image<'d>, addr: LinkAddr) -> Option<&'d str> {
    let text = image.pointer(addr)?;
    let len = u64::from_le_bytes(array(image.bytes_from(addr.checked_add(8)?)?, 0)?);
    if len > LONGEST_VERSION as u64 {
        return None;
    }
    std::str::from_utf8(image.bytes(text, len)?).ok()
}

/// The bytes behind a length prefix, and what follows them.
fn prefixed(data: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, prefix) = uvarint(data)?;
    data[prefix..].split_at_checked(usize::try_from(len).ok()?)
}

/// The module text between its two sentinels, as cmd/go writes it and debug/buildinfo strips it.
fn without_framing(framed: &[u8]) -> Option<&str> {
    let end = framed.len().checked_sub(SENTINEL)?;
    let text = framed.get(SENTINEL..end)?;
    std::str::from_utf8(text).ok().filter(|text| text.ends_with('\n'))
}

fn module(line: &str) -> Module<'_> {
    let mut fields = line.split('\t');
    let path = fields.next().unwrap_or(line);
    Module { path, version: fields.next().filter(|v| !v.is_empty()) }
}

/// A Go-quoted string at the start of `text` (unquoted), or the text before `end`; and the rest.
fn quoted_or_until(text: &str, end: char) -> Option<(Cow<'_, str>, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let at = text.find(end).unwrap_or(text.len());
        return Some((Cow::Borrowed(&text[..at]), &text[at..]));
    };
    let mut value = String::new();
    let mut chars = quoted.char_indices();
    loop {
        match chars.next()? {
            (at, '"') => return Some((Cow::Owned(value), &quoted[at + 1..])),
            (_, '\\') => value.push(match chars.next()?.1 {
                'n' => '\n',
                't' => '\t',
                'r' => '\r',
                other => other,
            }),
            (_, c) => value.push(c),
        }
    }
}
