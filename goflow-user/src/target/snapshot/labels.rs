//! Profiler labels of goroutines (`runtime/pprof.Do`).
//!
//! In: `g.labels`, a pointer to a `runtime/pprof.labelMap`: up to Go 1.23 a map of strings, from 1.24 on a slice of pairs
//! (src/runtime/pprof/label.go). Out: the labels, or nothing where that is not what stands there. Bounded in number and in
//! length.

use super::Label;
use crate::binary::addr::RuntimeAddr;
use crate::binary::read::{u8_at, u64_at};
use crate::target::memory::{Memory, MemoryError};

/// Most labels of one goroutine.
const MOST: u64 = 64;

/// Longest name or value.
const LONGEST: u64 = 1 << 10;

/// A string header: pointer and length.
const STRING: usize = 16;

/// A bucket of a map of strings to strings (`bmap`, src/runtime/map.go, up to Go 1.23): 8 hashes, 8 keys, 8 values and a
/// pointer to the next.
const BUCKET: usize = 8 + 16 * STRING + 8;

/// The labels at `address`, by the layout of this release of Go; `None` when that is not what is there.
pub(super) fn read(
    memory: &dyn Memory,
    release: (u32, u32),
    address: u64,
) -> Result<Option<Vec<Label>>, MemoryError> {
    let pairs = if release >= (1, 24) { slice(memory, address)? } else { map(memory, address)? };
    let Some(pairs) = pairs else { return Ok(None) };
    let mut labels = Vec::new();
    for pair in pairs {
        let (Some(key), Some(value)) = (string(memory, &pair[..STRING])?, string(memory, &pair[STRING..])?)
        else {
            return Ok(None);
        };
        labels.push(Label { key, value });
    }
    Ok(Some(labels))
}

/// Headers of a key and its value.
type Pair = [u8; 2 * STRING];

fn slice(memory: &dyn Memory, address: u64) -> Result<Option<Vec<Pair>>, MemoryError> {
    let mut header = [0; 16];
    if !memory.read(RuntimeAddr(address), &mut header)? {
        return Ok(None);
    }
    let (at, len) = (u64_at(&header, 0).unwrap_or(0), u64_at(&header, 8).unwrap_or(0));
    if len > MOST {
        return Ok(None);
    }
    let mut pairs = vec![[0; 2 * STRING]; len as usize];
    Ok(memory.read(RuntimeAddr(at), pairs.as_flattened_mut())?.then_some(pairs))
}

fn map(memory: &dyn Memory, address: u64) -> Result<Option<Vec<Pair>>, MemoryError> {
    let mut pointer = [0; 8];
    // `hmap` (src/runtime/map.go): count, flags, B, two numbers, buckets, old buckets.
    let mut header = [0; 32];
    if !memory.read(RuntimeAddr(address), &mut pointer)? {
        return Ok(None);
    }
    match u64::from_le_bytes(pointer) {
        0 => return Ok(Some(Vec::new())),
        map if !memory.read(RuntimeAddr(map), &mut header)? => return Ok(None),
        _ => {}
    }
    let word = |at| u64_at(&header, at).unwrap_or(0);
    let (count, log, buckets, old) = (word(0), u8_at(&header, 9).unwrap_or(u8::MAX), word(16), word(24));
    // A label set is never changed once it is made, so it is not about to grow.
    if count > MOST || log > 4 || old != 0 {
        return Ok(None);
    }
    let mut pairs = Vec::new();
    let mut left = 2 * MOST;
    for index in 0..1_u64 << log {
        let mut at = buckets.wrapping_add(index * BUCKET as u64);
        while at != 0 && left > 0 && (pairs.len() as u64) < count {
            left -= 1;
            let mut bucket = [0; BUCKET];
            if !memory.read(RuntimeAddr(at), &mut bucket)? {
                return Ok(None);
            }
            pairs.extend((0..8).filter(|&slot| bucket[slot] >= FILLED).map(|slot| pair(&bucket, slot)));
            at = u64_at(&bucket, BUCKET - 8).unwrap_or(0);
        }
    }
    Ok((pairs.len() as u64 == count).then_some(pairs))
}

/// `minTopHash` (src/runtime/map.go): smaller values mark empty slots.
const FILLED: u8 = 5;

fn pair(bucket: &[u8; BUCKET], slot: usize) -> Pair {
    let mut pair = [0; 2 * STRING];
    let (key, value) = (8 + slot * STRING, 8 + (8 + slot) * STRING);
    pair[..STRING].copy_from_slice(&bucket[key..key + STRING]);
    pair[STRING..].copy_from_slice(&bucket[value..value + STRING]);
    pair
}

fn string(memory: &dyn Memory, header: &[u8]) -> Result<Option<String>, MemoryError> {
    let (at, len) = (u64_at(header, 0).unwrap_or(0), u64_at(header, 8).unwrap_or(u64::MAX));
    if len > LONGEST {
        return Ok(None);
    }
    let mut text = vec![0; len as usize];
    let whole = len == 0 || memory.read(RuntimeAddr(at), &mut text)?;
    Ok(whole.then(|| String::from_utf8_lossy(&text).into_owned()))
}
