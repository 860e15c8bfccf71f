//! The layout of goflow's own ring buffers, for kernels that can run them.
//!
//! What a hit costs the target beyond the trap is mostly calls inside the kernel, and the kernel's ring buffer makes
//! half a dozen for one record. These rings need none: they are two memory-mapped arrays that programs and reader
//! share. [`Positions`] has one entry per ring, and a ring's slots lie in a run of [`Chunk`]s, because the size of a map's
//! value is fixed when the object is built and that of a ring only when it is loaded:
//!
//! ```text
//! position   0 ───────────── 1024 ──────────── 2048 …      one counter, never reset; wraps through the chunks
//! chunk      [slots 0…1023 │spill][slots 0…1023 │spill]
//! record           └─▶ commit word, payload; the last of a chunk may run into its spill, and then the slots of the next
//!                      chunk that its positions stand for stay unused
//! ```
//!
//! A program reserves by compare-and-swap of `reserved`, then takes the time, writes the payload, and writes the commit word
//! last: the length of the payload in bytes. So what is not reserved yet when the reader looks will have a later time than
//! that look, which is how events of several rings are put in order. The reader stops at a commit word of 0, sets the first word of every slot it has read back to
//! 0, and then raises `released`. So a commit word that is not 0 always belongs to a complete record.

use crate::{
    MAX_STACK_DEPTH,
    event::park::{Park, ReadyAfterPark},
};

/// Bytes in one slot: a cache line, and all that most records take.
pub const SLOT_BYTES: usize = 64;
/// Words in one slot.
pub const SLOT_WORDS: usize = SLOT_BYTES / 8;
/// Slots of a chunk in which a record can begin; a power of two.
pub const CHUNK_SLOTS: u64 = 1024;
/// Bytes of the largest record.
pub const MAX_RECORD_BYTES: usize = size_of::<ReadyAfterPark<MAX_STACK_DEPTH>>();
/// Slots behind those, into which the last record runs.
const SPILL_SLOTS: usize = slots_of(MAX_RECORD_BYTES) as usize - 1;

const _: () = assert!(CHUNK_SLOTS.is_power_of_two());
const _: () = assert!(size_of::<Park>() <= MAX_RECORD_BYTES);

/// The memory of [`CHUNK_SLOTS`] slots, a value of the map `RING_CHUNKS`.
pub type Chunk = [u64; (CHUNK_SLOTS as usize + SPILL_SLOTS) * SLOT_WORDS];

/// Where a ring is, a value of the map `RING_POSITIONS`. The two counters are on cache lines of their own, since two CPUs
/// write them.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Positions {
    /// Slots that programs have ever reserved.
    pub reserved: u64,
    _apart: [u64; SLOT_WORDS - 1],
    /// Slots that the reader has ever given back.
    pub released: u64,
    _apart_too: [u64; SLOT_WORDS - 1],
}

/// Slots that a record of so many bytes takes, its commit word included.
#[must_use]
pub const fn slots_of(record_bytes: usize) -> u64 {
    (8 + record_bytes).div_ceil(SLOT_BYTES) as u64
}

/// How many rings there are and how large each is; both are powers of two, and a ring is one chunk at least.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// Number of rings; a CPU uses the one of its number, modulo this.
    pub rings: u32,
    /// Chunks of each ring.
    pub chunks: u32,
}

impl Geometry {
    /// A ring for each CPU where that leaves each this much, in bytes.
    const ENOUGH: u32 = 256 << 10;

    /// The split of `bytes`, a power of two, among `cpus` CPUs.
    #[must_use]
    pub const fn new(bytes: u32, cpus: u32) -> Self {
        let chunk_bytes = CHUNK_SLOTS as u32 * SLOT_BYTES as u32;
        let mut rings = cpus.next_power_of_two();
        while rings > 1 && bytes / rings < Self::ENOUGH {
            rings /= 2;
        }
        let chunks = bytes / rings / chunk_bytes;
        Self { rings, chunks: if chunks == 0 { 1 } else { chunks } }
    }

    /// Slots of each ring.
    #[inline(always)]
    #[must_use]
    pub const fn slots(self) -> u64 {
        self.chunks as u64 * CHUNK_SLOTS
    }

    /// The chunk, counted over all rings, in which a record at `position` of `ring` begins.
    #[inline(always)]
    #[must_use]
    pub const fn chunk(self, ring: u32, position: u64) -> u32 {
        ring * self.chunks + ((position / CHUNK_SLOTS) as u32 & (self.chunks - 1))
    }

    /// The slot in that chunk.
    #[inline(always)]
    #[must_use]
    pub const fn slot(position: u64) -> usize {
        (position % CHUNK_SLOTS) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_is_split_among_the_cpus_while_each_gets_enough() {
        assert_eq!(Geometry::new(8 << 20, 2), Geometry { rings: 2, chunks: 64 });
        assert_eq!(Geometry::new(8 << 20, 3), Geometry { rings: 4, chunks: 32 });
        assert_eq!(Geometry::new(8 << 20, 128), Geometry { rings: 32, chunks: 4 });
        assert_eq!(Geometry::new(64 << 10, 8), Geometry { rings: 1, chunks: 1 });
    }

    #[test]
    fn positions_walk_through_the_chunks_of_their_ring_and_begin_again() {
        let geometry = Geometry { rings: 2, chunks: 4 };
        let places: [u64; 4] = [0, CHUNK_SLOTS - 1, CHUNK_SLOTS, 4 * CHUNK_SLOTS + 3];
        let found = places.map(|position| (geometry.chunk(1, position), Geometry::slot(position)));
        assert_eq!(found, [(4, 0), (4, 1023), (5, 0), (4, 3)]);
    }

    #[test]
    fn a_record_that_begins_in_the_last_slot_ends_inside_its_chunk() {
        let end = (CHUNK_SLOTS as usize - 1) * SLOT_BYTES + 8 + MAX_RECORD_BYTES;
        assert!(end <= size_of::<Chunk>());
    }
}
