//! Stacks of goroutines that do not run, by frame pointers.
//!
//! In: saved registers and the bounds of the stack. Out: return addresses, innermost first. All goroutines go one step at a
//! time together, so that a step of thousands is a few reads. Each frame pointer must lie on the stack and above the one
//! before, so a walk ends, however hostile the stack. Go keeps frame pointers on amd64 since 1.7: at the frame pointer
//! stands the caller's, above it the return address (src/runtime/traceback.go `fpTracebackPCs`).

use super::StackEnd;
use super::raw::Raw;
use crate::binary::read::u64_at;
use crate::target::memory::{Memory, MemoryError, read_each};

/// Bytes read at a time, up from the stack or frame pointer. Most parked goroutines have less on their stack.
const WINDOW: usize = 512;

/// Windows handled at a time.
const CHUNK: usize = 4096;

/// One walk.
pub(super) struct Walk {
    pub(super) frames: Vec<u64>,
    pub(super) end: StackEnd,
    /// The words from the saved stack pointer up, as far as they were asked for.
    pub(super) words: Vec<u64>,
}

/// What is known of a walk that goes on.
struct Step {
    index: usize,
    bp: u64,
    hi: u64,
}

/// How to start where no frame pointer is saved: the depth of the stack at this instruction, in bytes, from the
/// function table.
pub(super) type DepthAt<'f> = dyn Fn(u64) -> Option<u64> + 'f;

/// Walks the stacks of `goroutines`, at most `most` frames each; keeps the words of those for which `keep` says so.
pub(super) fn walk(
    memory: &dyn Memory,
    goroutines: &[&Raw],
    most: usize,
    keep: &dyn Fn(&Raw) -> bool,
    depth_at: &DepthAt<'_>,
) -> Result<Vec<Walk>, MemoryError> {
    let mut walks = Vec::with_capacity(goroutines.len());
    for chunk in goroutines.chunks(CHUNK) {
        walks.extend(walk_chunk(memory, chunk, most, keep, depth_at)?);
    }
    Ok(walks)
}

fn walk_chunk(
    memory: &dyn Memory,
    goroutines: &[&Raw],
    most: usize,
    keep: &dyn Fn(&Raw) -> bool,
    depth_at: &DepthAt<'_>,
) -> Result<Vec<Walk>, MemoryError> {
    let mut walks: Vec<Walk> = goroutines
        .iter()
        .map(|raw| Walk {
            frames: if raw.pc == 0 { Vec::new() } else { vec![raw.pc] },
            end: StackEnd::Broken,
            words: Vec::new(),
        })
        .collect();
    let mut steps: Vec<(Step, u64)> = goroutines
        .iter()
        .enumerate()
        .filter(|(_, raw)| raw.has_stack() && raw.pc != 0)
        .map(|(index, raw)| (Step { index, bp: raw.bp, hi: raw.stack.1 }, raw.sp))
        .collect();
    let mut first = true;
    while !steps.is_empty() {
        let windows = read_windows(memory, &steps)?;
        let mut next = Vec::new();
        for ((mut step, from), window) in steps.into_iter().zip(windows) {
            let (walk, raw) = (&mut walks[step.index], goroutines[step.index]);
            if first && keep(raw) {
                walk.words = window.chunks_exact(8).filter_map(|word| u64_at(word, 0)).collect();
            }
            if first && step.bp == 0 {
                begin(&mut step, walk, raw, &window, depth_at);
            }
            if let Some(from) = follow(&mut step, walk, from, &window, most) {
                next.push((step, from));
            }
        }
        steps = next;
        first = false;
    }
    Ok(walks)
}

/// The window of each step: up to [`WINDOW`] bytes from its address, less at the end of the stack; empty when unreadable.
fn read_windows(memory: &dyn Memory, steps: &[(Step, u64)]) -> Result<Vec<Vec<u8>>, MemoryError> {
    // Windows end with the stack: what is beyond belongs to somebody else, or is not mapped.
    let starts: Vec<u64> =
        steps.iter().map(|(step, from)| (*from).min(step.hi.saturating_sub(WINDOW as u64))).collect();
    let mut windows = vec![Vec::new(); steps.len()];
    read_each(memory, &starts, WINDOW, |index, bytes| {
        let skip = (steps[index].1 - starts[index]) as usize;
        if let Some(rest) = bytes.and_then(|bytes| bytes.get(skip..)) {
            windows[index] = rest.to_vec();
        }
    })?;
    Ok(windows)
}

/// Starts a walk without a saved frame pointer from what the function table says of the depth.
fn begin(step: &mut Step, walk: &mut Walk, raw: &Raw, window: &[u8], depth_at: &DepthAt<'_>) {
    let Some(depth) = depth_at(raw.pc).and_then(|depth| usize::try_from(depth).ok()) else { return };
    let caller = u64_at(window, depth);
    walk.frames.extend(caller.filter(|&caller| caller != 0));
    // The function saved the frame pointer below its return address, if it has a frame at all.
    step.bp = depth.checked_sub(8).and_then(|at| u64_at(window, at)).unwrap_or(0);
}

/// Follows frame pointers as far as the window has them; gives where to read on.
fn follow(step: &mut Step, walk: &mut Walk, from: u64, window: &[u8], most: usize) -> Option<u64> {
    let mut lowest = from;
    loop {
        if step.bp == 0 {
            walk.end = if walk.frames.len() > 1 { StackEnd::Complete } else { StackEnd::Broken };
            return None;
        }
        if walk.frames.len() >= most {
            walk.end = StackEnd::Cut;
            return None;
        }
        let on_stack = step.bp >= lowest && step.bp.is_multiple_of(8) && step.bp < step.hi - 8;
        if !on_stack {
            return None;
        }
        let at = (step.bp - from) as usize;
        let (Some(next), Some(caller)) = (u64_at(window, at), u64_at(window, at + 8)) else {
            // The first window may miss it, a window of its own may not.
            return (step.bp != from).then_some(step.bp);
        };
        if caller == 0 {
            return None;
        }
        walk.frames.push(caller);
        lowest = step.bp + 16;
        step.bp = next;
    }
}
