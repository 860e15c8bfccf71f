//! Where the objects of a target's heap are: its spans.
//!
//! In: `runtime.mheap_.allspans` (src/runtime/mheap.go). Out: for any word the object that it points into, if it does.
//! Every number is the target's: the list is bounded, and a span that makes no sense holds no objects.

use super::ReachError;
use crate::binary::addr::RuntimeAddr;
use crate::binary::offsets::{Mspan, Offsets};
use crate::binary::read::{u8_at, u64_at};
use crate::target::memory::{Memory, read_each};

/// Bytes of a page of the heap (`pageSize` in src/runtime/sizeclasses.go).
const PAGE: u64 = 8192;

/// `mSpanInUse`: the span holds objects.
const IN_USE: u8 = 1;

/// Most spans that are read: of a heap of 128 GiB of small objects.
const MOST_SPANS: u64 = 1 << 24;

/// Most pages, from the first to the last of the heap, for which a table is kept: 64 MB for 128 GiB.
const MOST_PAGES: u64 = 1 << 24;

/// Most objects that the spans have room for: a bit is kept for each, so 512 MB; 128 GiB of objects of 32 bytes.
const MOST_OBJECTS: u64 = 1 << 32;

/// Most objects in one span: it counts them in 16 bits (`nelems` in src/runtime/mheap.go, from Go 1.22 on), and before that no
/// size class had more than 1,024.
const MOST_IN_SPAN: u64 = u16::MAX as u64;

/// A run of pages that holds objects of one size.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    pub(super) start: u64,
    end: u64,
    elem: u64,
    has_pointers: bool,
    /// Number of its first object.
    first: u64,
    /// Its list of specials, 0 for none.
    pub(super) specials: u64,
}

/// An object of the heap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Object {
    pub(super) address: u64,
    pub(super) size: u64,
    pub(super) has_pointers: bool,
    /// Which of all objects it is.
    pub(super) number: u64,
}

/// The spans of a heap.
#[derive(Default)]
pub(super) struct Spans {
    /// By address.
    spans: Vec<Span>,
    /// For each page from that of the first span on, one more than the place of its span, or 0; empty where that were too many.
    pages: Vec<u32>,
    /// How many objects they have room for.
    pub(super) objects: u64,
}

impl Spans {
    /// Those that hold objects now.
    pub(super) fn read(memory: &dyn Memory, offsets: &Offsets, mheap: u64) -> Result<Self, ReachError> {
        let mut slice = [0; 16];
        let at = mheap.wrapping_add(u64::from(offsets.mheap.allspans));
        if !memory.read(RuntimeAddr(at), &mut slice)? {
            return Err(ReachError::Heap("runtime.mheap_ is not mapped".to_owned()));
        }
        let word = |at| u64_at(&slice, at).unwrap_or(0);
        let (list, len) = (word(0), word(8));
        if len > MOST_SPANS {
            return Err(ReachError::Heap(format!("its list of spans has {len} entries")));
        }
        let pointers = super::words(memory, list, len)?
            .ok_or_else(|| ReachError::Heap("its list of spans is not mapped".to_owned()))?;
        let layout = &offsets.mspan;
        let mut spans = Vec::new();
        let Mspan { start_addr, npages, spanclass, state, elemsize, specials } = *layout;
        let last = [start_addr, npages, spanclass, state, elemsize, specials].into_iter().max().unwrap_or(0);
        read_each(memory, &pointers, last as usize + 8, |_, bytes| {
            spans.extend(bytes.and_then(|bytes| span(bytes, layout)));
        })?;
        Self::of(spans)
    }

    fn of(mut spans: Vec<Span>) -> Result<Self, ReachError> {
        spans.sort_unstable_by_key(|span| span.start);
        // Of two that overlap one was read while it changed hands.
        spans.dedup_by(|later, earlier| later.start < earlier.end);
        let mut objects = 0;
        for span in &mut spans {
            span.first = objects;
            objects += (span.end - span.start) / span.elem;
        }
        if objects > MOST_OBJECTS {
            return Err(ReachError::Heap(format!("its spans have room for {objects} objects")));
        }
        let pages = page_table(&spans);
        Ok(Self { spans, pages, objects })
    }

    /// Every span.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Span> {
        self.spans.iter()
    }

    /// The object that `word` points to or into.
    pub(super) fn object(&self, word: u64) -> Option<Object> {
        let span = self.span(word)?;
        let number = (word - span.start) / span.elem;
        let address = span.start + number * span.elem;
        // What is left at the end of a span is no object.
        (span.end - address >= span.elem).then_some(Object {
            address,
            size: span.elem,
            has_pointers: span.has_pointers,
            number: span.first + number,
        })
    }

    fn span(&self, word: u64) -> Option<&Span> {
        let first = self.spans.first()?;
        let place = if self.pages.is_empty() {
            self.spans.partition_point(|span| span.start <= word).checked_sub(1)?
        } else {
            let page = usize::try_from(word.checked_sub(first.start)? / PAGE).ok()?;
            (*self.pages.get(page)? as usize).checked_sub(1)?
        };
        self.spans.get(place).filter(|span| (span.start..span.end).contains(&word))
    }
}

/// The span that these bytes of an `mspan` describe, if it holds objects.
fn span(bytes: &[u8], layout: &Mspan) -> Option<Span> {
    let word = |offset: u32| u64_at(bytes, offset as usize);
    let byte = |offset: u32| u8_at(bytes, offset as usize);
    let (start, pages, elem) = (word(layout.start_addr)?, word(layout.npages)?, word(layout.elemsize)?);
    let end = start.checked_add(pages.checked_mul(PAGE)?)?;
    let makes_sense = start != 0
        && start.is_multiple_of(PAGE)
        && (8..=end - start).contains(&elem)
        && (end - start) / elem <= MOST_IN_SPAN;
    (byte(layout.state)? == IN_USE && makes_sense && elem.is_multiple_of(8)).then_some(Span {
        start,
        end,
        elem,
        // The lowest bit is `noscan`.
        has_pointers: byte(layout.spanclass)? & 1 == 0,
        first: 0,
        specials: word(layout.specials)?,
    })
}

fn page_table(spans: &[Span]) -> Vec<u32> {
    let (Some(first), Some(last)) = (spans.first(), spans.last()) else { return Vec::new() };
    let pages = (last.end - first.start) / PAGE;
    if pages > MOST_PAGES {
        return Vec::new();
    }
    let mut table = vec![0; pages as usize];
    for (place, span) in (1..).zip(spans) {
        let (from, to) = ((span.start - first.start) / PAGE, (span.end - first.start) / PAGE);
        table[from as usize..to as usize].fill(place);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(start: u64, pages: u64, elem: u64) -> Span {
        Span { start, end: start + pages * PAGE, elem, has_pointers: true, first: 0, specials: 0 }
    }

    #[test]
    fn a_word_points_into_the_object_that_it_lies_in_and_nowhere_else() {
        let near = [span(0xc00_0000, 1, 48), span(0xc00_4000, 2, 16384)];
        // So far away that there is no table of pages.
        let far = [near[0], near[1], span(0xc00_0000 + (MOST_PAGES + 9) * PAGE, 1, 8)];
        for spans in [near.to_vec(), far.to_vec()] {
            let spans = Spans::of(spans).unwrap();
            let object = |word| spans.object(word).map(|object| (object.address, object.size, object.number));
            assert_eq!(object(0xc00_0000), Some((0xc00_0000, 48, 0)));
            assert_eq!(object(0xc00_0000 + 100), Some((0xc00_0000 + 96, 48, 2)));
            assert_eq!(object(0xc00_0000 + 8191), None, "what is left at the end");
            assert_eq!(object(0xc00_2000), None, "a page between");
            assert_eq!(object(0xc00_7fff), Some((0xc00_4000, 16384, 170)));
            assert_eq!(
                (object(0xc00_8000), object(0), object(u64::MAX), object(0xbff_ffff)),
                (None, None, None, None)
            );
        }
    }

    #[test]
    fn what_is_left_at_the_end_of_the_address_space_is_no_object() {
        let start = 0_u64.wrapping_sub(4 * PAGE);
        let spans = Spans::of(vec![span(start, 3, 2 * PAGE)]).unwrap();
        assert_eq!(spans.object(start).map(|object| object.size), Some(2 * PAGE));
        assert_eq!(spans.object(start + 2 * PAGE), None);
    }

    #[test]
    fn room_for_more_objects_than_can_be_marked_is_refused() {
        let spans = |count: u64| (1..=count).map(|n| span(n << 20, 63, 8)).collect();
        assert!(Spans::of(spans(60_000)).is_ok_and(|spans| spans.objects == 60_000 * 63 * 1024));
        assert!(matches!(Spans::of(spans(70_000)), Err(ReachError::Heap(_))));
    }

    #[test]
    fn what_makes_no_sense_holds_no_objects() {
        let layout = Mspan { start_addr: 0, npages: 8, elemsize: 16, spanclass: 24, state: 25, specials: 32 };
        let bytes = |start: u64, pages: u64, elem: u64, state: u8| {
            let mut bytes = [0; 56];
            bytes[..8].copy_from_slice(&start.to_le_bytes());
            bytes[8..16].copy_from_slice(&pages.to_le_bytes());
            bytes[16..24].copy_from_slice(&elem.to_le_bytes());
            (bytes[24], bytes[25]) = (5, state);
            bytes
        };
        let read = |bytes: [u8; 56]| super::span(&bytes, &layout);
        assert!(read(bytes(0xc00_0000, 1, 48, 1)).is_some_and(|span| !span.has_pointers));
        for bad in [
            bytes(0xc00_0000, 1, 48, 2),
            bytes(0, 1, 48, 1),
            bytes(0xc00_0008, 1, 48, 1),
            bytes(0xc00_0000, u64::MAX, 48, 1),
            bytes(0xc00_0000, 1, 0, 1),
            bytes(0xc00_0000, 1, 7, 1),
            bytes(0xc00_0000, 1, 9000, 1),
            bytes(!0 - 8191, 4, 48, 1),
            bytes(0xc00_0000, 64, 8, 1),
            bytes(0xc00_0000, 1 << 40, 8, 1),
        ] {
            assert!(read(bad).is_none(), "{bad:?}");
        }
        assert_eq!(Spans::of(vec![span(0x2000, 2, 8), span(0x4000, 2, 8)]).unwrap().spans.len(), 1);
        assert!(Spans::of(Vec::new()).unwrap().object(5).is_none());
    }
}
