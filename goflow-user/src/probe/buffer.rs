//! What lies between the programs and the reader: the kernel's ring buffer, or goflow's own rings.
//!
//! In: maps that were just created; out: records as bytes, in the order of each ring. The layout and the protocol of our own
//! rings are in [`goflow_common::ring`]. The hard thing: the programs write while we read, so every word that both
//! sides touch is an atomic, and a record is copied out before its slots are given back.

use aya::maps::{MapData, RingBuf};
use goflow_common::ring::{Chunk, Geometry, MAX_RECORD_BYTES, Positions, SLOT_WORDS, slots_of};
use memmap2::{MmapOptions, MmapRaw};
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::sync::atomic::{AtomicU64, Ordering};

/// Where a session's records come from.
pub enum EventBuffer {
    /// The kernel's ring buffer, one for all CPUs.
    Kernel(RingBuf<MapData>),
    /// goflow's own rings.
    Own(Rings),
}

impl EventBuffer {
    /// How many rings there are. The records of each are nearly in order of time, those of two are not.
    #[must_use]
    pub fn rings(&self) -> u32 {
        match self {
            Self::Kernel(_) => 1,
            Self::Own(rings) => rings.geometry.rings,
        }
    }

    /// How far a ring has been written and read, where the ring tells.
    #[must_use]
    pub fn extent(&self, ring: u32) -> Option<Extent> {
        match self {
            Self::Kernel(_) => None,
            Self::Own(rings) => {
                Some(Extent { reserved: rings.reserved(ring), read: rings.read[ring as usize] })
            }
        }
    }

    /// Shows `see` up to `most` records of one ring; returns how many.
    pub fn take(&mut self, ring: u32, most: usize, mut see: impl FnMut(&[u8])) -> usize {
        let mut records = 0;
        match self {
            Self::Kernel(events) => {
                while records < most {
                    let Some(record) = events.next() else { break };
                    see(&record);
                    records += 1;
                }
            }
            Self::Own(rings) => {
                while records < most {
                    let Some(record) = rings.next(ring) else { break };
                    see(record.bytes());
                    records += 1;
                }
                rings.release(ring);
            }
        }
        records
    }
}

/// Places in a ring: positions as of [`goflow_common::ring`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Up to where records have begun. One that begins here or later has a time later than this look.
    pub reserved: u64,
    /// Up to where they have been shown.
    pub read: u64,
}

/// goflow's own rings, mapped into this process.
pub struct Rings {
    positions: MmapRaw,
    chunks: MmapRaw,
    geometry: Geometry,
    /// Of each ring, how far it has been read.
    read: Vec<u64>,
    /// Of each ring, how far it has been given back.
    released: Vec<u64>,
}

/// One record, copied out of its ring.
pub struct Record {
    words: [u64; MAX_RECORD_BYTES / 8],
    bytes: usize,
}

impl Record {
    /// The record as the program wrote it.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &bytemuck::cast_slice(&self.words)[..self.bytes]
    }
}

impl Rings {
    /// Maps the rings that the programs write.
    ///
    /// # Errors
    /// The kernel would not map them.
    pub fn map(positions: &MapData, chunks: &MapData, geometry: Geometry) -> io::Result<Self> {
        let map =
            |data: &MapData, bytes| MmapOptions::new().len(bytes).map_raw(data.fd().as_fd().as_raw_fd());
        let (positions_bytes, chunks_bytes) = Self::sizes(geometry);
        Ok(Self::over(map(positions, positions_bytes)?, map(chunks, chunks_bytes)?, geometry))
    }

    fn sizes(geometry: Geometry) -> (usize, usize) {
        let rings = geometry.rings as usize;
        (rings * size_of::<Positions>(), rings * geometry.chunks as usize * size_of::<Chunk>())
    }

    fn over(positions: MmapRaw, chunks: MmapRaw, geometry: Geometry) -> Self {
        let none = || vec![0; geometry.rings as usize];
        Self { positions, chunks, geometry, read: none(), released: none() }
    }

    /// The next record of a ring; `None` where there is none, or its program is not done with it.
    fn next(&mut self, ring: u32) -> Option<Record> {
        let position = self.read[ring as usize];
        let words = self.words(ring, position);
        // SAFETY: the slot's first word is inside the mapping and aligned; the programs write it as one word.
        let bytes = unsafe { AtomicU64::from_ptr(words) }.load(Ordering::Acquire) as usize;
        if bytes == 0 {
            return None;
        }
        let bytes = bytes.min(MAX_RECORD_BYTES);
        let mut record = Record { words: [0; MAX_RECORD_BYTES / 8], bytes };
        // SAFETY: a chunk has room for the largest record behind each of its slots, and a program that has committed a
        // record writes there no more until we release it.
        unsafe { std::ptr::copy_nonoverlapping(words.add(1), record.words.as_mut_ptr(), bytes.div_ceil(8)) };
        let slots = slots_of(bytes);
        for slot in 0..slots as usize {
            // SAFETY: as above.
            unsafe { AtomicU64::from_ptr(words.add(slot * SLOT_WORDS)) }.store(0, Ordering::Relaxed);
        }
        self.read[ring as usize] = position + slots;
        if position + slots - self.released[ring as usize] >= self.geometry.slots() / 8 {
            self.release(ring);
        }
        Some(record)
    }

    /// Gives back what has been read.
    fn release(&mut self, ring: u32) {
        let ring = ring as usize;
        if self.released[ring] == self.read[ring] {
            return;
        }
        self.released[ring] = self.read[ring];
        // SAFETY: the entry is inside the mapping and aligned; programs only read this word.
        let released = unsafe {
            let positions = self.positions.as_mut_ptr().cast::<Positions>().add(ring);
            AtomicU64::from_ptr(&raw mut (*positions).released)
        };
        released.store(self.read[ring], Ordering::Release);
    }

    /// Slots that programs have reserved so far.
    fn reserved(&self, ring: u32) -> u64 {
        // SAFETY: the entry is inside the mapping and aligned; programs change this word by compare-and-swap only.
        let reserved = unsafe {
            let positions = self.positions.as_mut_ptr().cast::<Positions>().add(ring as usize);
            AtomicU64::from_ptr(&raw mut (*positions).reserved)
        };
        reserved.load(Ordering::Acquire)
    }

    /// The first word of the slot at `position`.
    fn words(&self, ring: u32, position: u64) -> *mut u64 {
        let chunk = self.geometry.chunk(ring, position) as usize;
        // SAFETY: the chunk is below the number of chunks, and the slot is inside it.
        unsafe {
            let chunk = self.chunks.as_mut_ptr().cast::<Chunk>().add(chunk);
            chunk.cast::<u64>().add(Geometry::slot(position) * SLOT_WORDS)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::VecDeque;

    const GEOMETRY: Geometry = Geometry { rings: 2, chunks: 2 };

    fn empty() -> Rings {
        let (positions, chunks) = Rings::sizes(GEOMETRY);
        let map = |bytes| MmapRaw::from(MmapOptions::new().len(bytes).map_anon().unwrap());
        Rings::over(map(positions), map(chunks), GEOMETRY)
    }

    /// What a program does, up to the commit.
    fn reserve(rings: &Rings, ring: u32, bytes: usize) -> Option<*mut u64> {
        // SAFETY: the entry is inside the mapping.
        let positions = unsafe { &mut *rings.positions.as_mut_ptr().cast::<Positions>().add(ring as usize) };
        let position = positions.reserved;
        if position - positions.released + slots_of(bytes) > GEOMETRY.slots() {
            return None;
        }
        positions.reserved += slots_of(bytes);
        Some(rings.words(ring, position))
    }

    fn write(rings: &Rings, ring: u32, payload: &[u64]) -> bool {
        let Some(words) = reserve(rings, ring, payload.len() * 8) else { return false };
        // SAFETY: the place is inside the mapping and long enough.
        unsafe {
            assert_eq!(*words, 0, "a slot that is given out begins with 0");
            words.add(1).copy_from_nonoverlapping(payload.as_ptr(), payload.len());
            *words = payload.len() as u64 * 8;
        }
        true
    }

    #[test]
    fn a_record_that_is_not_committed_holds_back_those_behind_it() {
        let mut rings = empty();
        let first = reserve(&rings, 0, 8).unwrap();
        assert!(write(&rings, 0, &[7]) && write(&rings, 1, &[8]));
        assert!(rings.next(0).is_none());
        assert_eq!(rings.next(1).unwrap().bytes(), 8u64.to_le_bytes());
        // SAFETY: the place was reserved.
        unsafe { *first = 8 };
        assert_eq!(rings.next(0).unwrap().bytes(), 0u64.to_le_bytes());
        assert_eq!(rings.next(0).unwrap().bytes(), 7u64.to_le_bytes());
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_once_and_in_order_and_only_a_full_ring_refuses(
            steps in proptest::collection::vec((1usize..=MAX_RECORD_BYTES / 8, 0usize..3, 1usize..40), 1..300),
        ) {
            let mut rings = empty();
            let mut written: VecDeque<Vec<u64>> = VecDeque::new();
            let mut next_word = 1u64;
            for (words, reads, repeats) in steps {
                for _ in 0..repeats {
                    let payload: Vec<u64> = (0..words as u64).map(|word| next_word + word).collect();
                    next_word += words as u64;
                    let used: u64 = written.iter().map(|payload| slots_of(payload.len() * 8)).sum();
                    let fits = used + slots_of(words * 8) <= GEOMETRY.slots();
                    prop_assert_eq!(write(&rings, 1, &payload), fits);
                    if fits {
                        written.push_back(payload);
                    }
                    for _ in 0..reads {
                        let Some(record) = rings.next(1) else {
                            prop_assert!(written.is_empty());
                            continue;
                        };
                        let expected = written.pop_front();
                        prop_assert_eq!(expected.as_deref().map(bytemuck::cast_slice), Some(record.bytes()));
                    }
                    rings.release(1);
                }
            }
        }
    }
}
