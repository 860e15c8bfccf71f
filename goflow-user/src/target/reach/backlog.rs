//! Channels in which values pile up. A snapshot has those that somebody waits on; one that is neither empty nor full has nobody
//! waiting.
//!
//! In: what goroutines have on their stacks. Out: the channels among that and one step further (`w.queue` of a `w` on the
//! stack) that have values in their buffers. An object is taken for a channel where its fields agree as those of a channel do
//! (`hchan` in src/runtime/chan.go): its type is among the program's types, and what is in the buffer lies between where it is
//! received and where it is sent. One that changes while it is read does not agree, and is not found at that look.

use super::ReachError;
use super::spans::Spans;
use crate::binary::addr::RuntimeAddr;
use crate::binary::offsets::Hchan;
use crate::binary::read::{array, u32_at, u64_at};
use crate::target::id::{ChanAddr, Goid};
use crate::target::memory::{Memory, read_each};
use crate::target::snapshot::reader::Reader;
use crate::target::snapshot::{Channel, Few, Map};
use std::ops::Range;

/// Most words of stacks that are followed: of some thousand goroutines. What more have is not looked at.
const MOST_STARTS: usize = 1 << 16;

/// Most objects that are looked at one step further.
const MOST_FURTHER: usize = 1 << 16;

/// Words up to here point to nothing.
const LOWEST: u64 = 1 << 16;

/// Bytes of an object that are followed.
const FOLLOWED: usize = 256;

/// Goroutines that are named for a channel.
const MOST_NAMED: usize = 16;

/// A channel with values in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backlog {
    /// The channel, without who waits for it.
    pub channel: Channel,
    /// Goroutines that have it at hand, some if they are many.
    pub by: Vec<Goid>,
}

/// Words of stacks, with whose they are.
#[derive(Default)]
pub(super) struct Starts {
    by: Map<Vec<Goid>>,
}

impl Starts {
    /// What `goid` has on its stack.
    pub(super) fn add(&mut self, goid: Goid, words: &[u64]) {
        for &word in words.iter().filter(|&&word| word > LOWEST && word.is_multiple_of(8)) {
            if self.by.len() < MOST_STARTS || self.by.contains_key(&word) {
                note(self.by.entry(word).or_default(), goid);
            }
        }
    }
}

fn note(by: &mut Vec<Goid>, goid: Goid) {
    if by.len() < MOST_NAMED && !by.contains(&goid) {
        by.push(goid);
    }
}

/// The channels with values among `starts` and what those point to.
pub(super) fn find(
    reader: &Reader<'_>,
    memory: &dyn Memory,
    spans: &Spans,
    starts: Starts,
) -> Result<Vec<Backlog>, ReachError> {
    let Some(types) = reader.binary().module_data().and_then(|module| Some(module.types?..module.etypes?))
    else {
        return Ok(Vec::new());
    };
    let types = [types.start, types.end].map(|link| reader.bias().to_runtime(link).0);
    let layout = &reader.offsets().hchan;
    let mut near: Map<Vec<Goid>> = Map::default();
    for (word, by) in starts.by {
        if let Some(object) = spans.object(word) {
            let known = near.entry(object.address).or_default();
            by.into_iter().for_each(|goid| note(known, goid));
        }
    }
    let addresses: Vec<u64> = near.keys().copied().collect();
    let mut further: Map<Vec<Goid>> = Map::default();
    read_each(memory, &addresses, FOLLOWED, |index, bytes| {
        let address = addresses[index];
        let Some((object, bytes)) = spans.object(address).zip(bytes) else { return };
        let bytes = &bytes[..bytes.len().min(object.size as usize)];
        for word in bytes.chunks_exact(8).filter_map(|word| u64_at(word, 0)) {
            let has_room = further.len() < MOST_FURTHER || further.contains_key(&word);
            if has_room && may_be_channel(spans, word, layout) {
                let known = further.entry(word).or_default();
                near[&address].iter().for_each(|&goid| note(known, goid));
            }
        }
    })?;
    near.retain(|&address, _| may_be_channel(spans, address, layout));
    for (address, by) in further {
        let known = near.entry(address).or_default();
        by.into_iter().for_each(|goid| note(known, goid));
    }
    let candidates: Vec<(u64, Vec<Goid>)> = near.into_iter().collect();
    let addresses: Vec<u64> = candidates.iter().map(|(address, _)| *address).collect();
    let mut found = Vec::new();
    read_each(memory, &addresses, layout.size as usize, |index, bytes| {
        let (address, by) = &candidates[index];
        let channel = bytes.and_then(|bytes| decode(*address, bytes, layout, &(types[0]..types[1])));
        found.extend(channel.map(|channel| Backlog { channel, by: by.clone() }));
    })?;
    found.sort_unstable_by_key(|backlog| backlog.channel.address);
    Ok(found)
}

/// A channel is at the start of an object, alone where its values have pointers (`makechan` in src/runtime/chan.go).
fn may_be_channel(spans: &Spans, word: u64, layout: &Hchan) -> bool {
    /// To the next size class.
    const ROOM: u64 = 16;
    let size = u64::from(layout.size);
    spans.object(word).is_some_and(|object| {
        object.address == word && object.size >= size && (!object.has_pointers || object.size < size + ROOM)
    })
}

/// The channel that these bytes are of, if they are, and it has values.
fn decode(address: u64, bytes: &[u8], layout: &Hchan, types: &Range<u64>) -> Option<Channel> {
    let word = |offset: u32| u64_at(bytes, offset as usize);
    let (len, cap) = (word(layout.qcount)?, word(layout.dataqsiz)?);
    let (sendx, recvx) = (word(layout.sendx)?, word(layout.recvx)?);
    let elem_type = word(layout.elemtype)?;
    let closed = u32_at(bytes, layout.closed as usize)?;
    let is_in_buffer = len > 0 && len <= cap && sendx < cap && recvx < cap;
    let agrees = is_in_buffer && recvx.checked_add(len)? % cap == sendx;
    if !agrees || closed > 1 || !types.contains(&elem_type) || word(layout.buf)? == 0 {
        return None;
    }
    Some(Channel {
        address: ChanAddr(address),
        len,
        cap,
        elem_size: array(bytes, layout.elemsize as usize).map(u16::from_le_bytes)?,
        elem_type: Some(RuntimeAddr(elem_type)),
        closed: closed == 1,
        sendx,
        recvx,
        senders: Few::default(),
        receivers: Few::default(),
        timer: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAYOUT: Hchan = Hchan {
        size: 96,
        qcount: 0,
        dataqsiz: 8,
        buf: 16,
        elemsize: 24,
        closed: 28,
        timer: None,
        elemtype: 32,
        sendx: 40,
        recvx: 48,
        recvq: 56,
        sendq: 72,
        lock: 88,
    };

    fn hchan(words: &[(u32, u64)]) -> Vec<u8> {
        let mut bytes = vec![0; 96];
        for &(offset, word) in words {
            bytes[offset as usize..offset as usize + 8].copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    fn len(words: &[(u32, u64)]) -> Option<u64> {
        decode(0xc000, &hchan(words), &LAYOUT, &(0x50_0000..0x60_0000)).map(|channel| channel.len)
    }

    #[test]
    fn only_what_agrees_as_the_fields_of_a_channel_do_is_one() {
        let channel = [(0, 3), (8, 8), (16, 0xc100), (24, 8), (32, 0x50_0040), (40, 1), (48, 6)];
        assert_eq!(len(&channel), Some(3));
        let with = |at: usize, word| {
            let mut words = channel;
            words[at].1 = word;
            len(&words)
        };
        // Empty, more than fits, without a buffer, of no type, and with an index that does not follow from the other.
        for (at, word) in [(0, 0), (0, 9), (2, 0), (4, 0x70_0000), (5, 2), (6, 8)] {
            assert_eq!(with(at, word), None, "{at} {word}");
        }
    }
}
