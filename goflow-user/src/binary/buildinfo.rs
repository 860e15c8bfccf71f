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
            (go_string(image, version)?, "")
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

/// The text of the Go string whose header (pointer, length) is at `addr`, if it is no longer than a version may be;
/// no text that is read this way is.
pub(crate) fn go_string<'d>(image: &Image<'d>, addr: LinkAddr) -> Option<&'d str> {
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

#[cfg(test)]
mod tests {
    use super::super::fixture::{DATA, Elf, READ_EXEC, READ_WRITE, RODATA, TEXT, build_info, note, words};
    use super::*;

    fn program(data: &[u8]) -> Elf {
        Elf::default().load(TEXT, READ_EXEC, &[0xc3; 16]).load(DATA, READ_WRITE, data)
    }

    fn found(file: &[u8]) -> Option<(String, Recognition)> {
        let image = Image::parse(file).unwrap();
        BuildInfo::find(&image).map(|info| (info.version_text.to_owned(), info.recognition))
    }

    #[test]
    fn module_path_and_settings_are_read_and_unquoted() {
        let file = program(&build_info("go1.22.5")).build();
        let image = Image::parse(&file).unwrap();
        let info = BuildInfo::find(&image).unwrap();
        assert_eq!(info.go_version().unwrap().release(), (1, 22));
        assert_eq!(info.path(), Some("example.com/shop/cmd/shop"));
        assert_eq!(info.module(), Some(Module { path: "example.com/shop", version: Some("v1.2.3") }));
        assert_eq!(info.setting("CGO_ENABLED").as_deref(), Some("1"));
        assert_eq!(info.setting("-ldflags").as_deref(), Some(r#"-s -w -X main.v="1""#));
        assert_eq!(info.setting("-race"), None);
        assert_eq!(info.settings().count(), 2);
    }

    #[test]
    fn the_magic_is_found_without_a_section_but_only_where_the_linker_puts_it() {
        let info = build_info("go1.22.5");
        let at_32 = [&[0; 32][..], &info].concat();
        let expected = Some(("go1.22.5".to_owned(), Recognition::BuildInfoMagic));
        assert_eq!(found(&program(&at_32).build()), expected);
        let at_8 = [&[0; 8][..], &info].concat();
        assert_eq!(found(&program(&at_8).build()), None);
        let in_constants = Elf::default().load(TEXT, READ_EXEC, &[0xc3; 16]).load(RODATA, 4, &info).build();
        assert_eq!(found(&in_constants), expected);
    }

    #[test]
    fn a_section_is_preferred_to_the_magic_elsewhere() {
        let mut file = program(&build_info("go1.22.5")).load(RODATA, 4, &build_info("go1.19"));
        file.loaded.push((".go.buildinfo", RODATA, 64));
        assert_eq!(found(&file.build()).map(|(_, by)| by), Some(Recognition::BuildInfoSection));
    }

    #[test]
    fn the_pointer_form_of_old_go_gives_the_version_that_is_refused() {
        let mut data = b"\xff Go buildinf:\x08\0".to_vec();
        data.extend(words(&[DATA + 32, 0]));
        data.extend(words(&[DATA + 48, 7]));
        data.extend(b"go1.16.3");
        assert_eq!(found(&program(&data).build()).map(|(version, _)| version), Some("go1.16.".to_owned()));
    }

    #[test]
    fn lengths_beyond_the_file_or_any_version_are_no_build_info() {
        let mut long = b"\xff Go buildinf:\x08\x02".to_vec();
        long.resize(32, 0);
        let lengths: [&[u8]; 4] = [b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", b"\x80\x80", b"", b"\0"];
        for length in lengths {
            assert_eq!(found(&program(&[&long, length].concat()).build()), None);
        }
        let endless = [&long[..], b"\x80\x08", &[b'1'; 1024]].concat();
        assert_eq!(found(&program(&endless).build()), None);
    }

    #[test]
    fn a_module_text_without_its_frame_is_ignored_and_the_version_stays() {
        let mut info = build_info("go1.22.5");
        info.truncate(32 + 9 + 20);
        let file = program(&info).build();
        let image = Image::parse(&file).unwrap();
        let info = BuildInfo::find(&image).unwrap();
        assert_eq!((info.version_text, info.path()), ("go1.22.5", None));
    }

    #[test]
    fn build_ids_come_from_their_notes() {
        let notes = [note(b"Go", 4, b"abc/def"), note(b"GNU", 3, &[1, 2, 3])].concat();
        let file = program(&[0; 16]).segment(4, 0, &notes).build();
        let image = Image::parse(&file).unwrap();
        assert_eq!(go_build_id(&image), Some("abc/def"));
        assert_eq!(gnu_build_id(&image), Some(&[1, 2, 3][..]));
        let without = program(&[0; 16]).build();
        let image = Image::parse(&without).unwrap();
        assert_eq!((go_build_id(&image), gnu_build_id(&image)), (None, None));
    }
}
