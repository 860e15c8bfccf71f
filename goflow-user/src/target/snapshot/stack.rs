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
use std::ops::Range;

/// Bytes read at a time, up from the stack or frame pointer. Most parked goroutines have less on their stack.
const WINDOW: usize = 512;

/// Windows handled at a time.
pub(super) const CHUNK: usize = 4096;

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

/// Functions without a frame that are passed before one that saved the frame pointer.
const MOST_FRAMELESS: usize = 8;

/// What is known of the program whose stacks are walked.
pub(super) struct Program<'f> {
    /// The depth of the stack at an instruction, in bytes, from the function table: how to start where no frame pointer is
    /// saved.
    pub(super) depth_at: &'f dyn Fn(u64) -> Option<u64>,
    /// Instructions of the functions that a signal handler makes interrupted code seem to have called (`isInjectedCall` in
    /// src/runtime/traceback.go): that code may not have made its frame yet, or have none.
    pub(super) injected: Vec<Range<u64>>,
    /// Instructions of `runtime.goexit`, into which every goroutine's first function returns; empty when not known.
    pub(super) goexit: Range<u64>,
    /// Most frames of a stack.
    pub(super) most: usize,
}

impl Program<'_> {
    fn is_injected(&self, pc: u64) -> bool {
        self.injected.iter().any(|range| range.contains(&pc))
    }
}

/// Walks the stacks of `goroutines`, and keeps the words of those for which `keep` says so.
pub(super) fn walk(
    memory: &dyn Memory,
    goroutines: &[&Raw],
    keep: &dyn Fn(&Raw) -> bool,
    program: &Program<'_>,
) -> Result<Vec<Walk>, MemoryError> {
    let mut walks = Vec::with_capacity(goroutines.len());
    for chunk in goroutines.chunks(CHUNK) {
        walks.extend(walk_chunk(memory, chunk, keep, program)?);
    }
    Ok(walks)
}

fn walk_chunk(
    memory: &dyn Memory,
    goroutines: &[&Raw],
    keep: &dyn Fn(&Raw) -> bool,
    program: &Program<'_>,
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
                begin(&mut step, walk, raw, &window, program);
            }
            if let Some(from) = follow(&mut step, walk, from, &window, program) {
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

/// Starts a walk without a saved frame pointer from what the function table says of the depth, through functions without
/// a frame to the first that has one.
fn begin(step: &mut Step, walk: &mut Walk, raw: &Raw, window: &[u8], program: &Program<'_>) {
    let (mut pc, mut sp) = (raw.pc, 0_usize);
    for _ in 0..MOST_FRAMELESS {
        let depth = (program.depth_at)(pc).and_then(|depth| usize::try_from(depth).ok());
        let Some(at) = depth.and_then(|depth| sp.checked_add(depth)) else { return };
        let Some(caller) = u64_at(window, at).filter(|&caller| caller != 0) else { return };
        walk.frames.push(caller);
        if at > sp {
            // A function with a frame saved the frame pointer right below its return address.
            step.bp = at.checked_sub(8).and_then(|at| u64_at(window, at)).unwrap_or(0);
            return;
        }
        if program.goexit.contains(&caller) {
            return;
        }
        (pc, sp) = (caller, at + 8);
    }
}

/// Follows frame pointers as far as the window has them; gives where to read on.
fn follow(step: &mut Step, walk: &mut Walk, from: u64, window: &[u8], program: &Program<'_>) -> Option<u64> {
    let mut lowest = from;
    loop {
        if step.bp == 0 {
            let last = walk.frames.last();
            let whole = last.is_some_and(|pc| program.goexit.is_empty() || program.goexit.contains(pc));
            walk.end = if whole { StackEnd::Complete } else { StackEnd::Broken };
            return None;
        }
        if walk.frames.len() >= program.most {
            walk.end = StackEnd::Cut;
            return None;
        }
        let on_stack = |bp: u64| bp >= lowest && bp.is_multiple_of(8) && bp < step.hi - 8;
        if !on_stack(step.bp) {
            // Up to Go 1.25 a stack that moves keeps the frame pointers of frames that a fault ended as they were (`continpc`
            // in `adjustframe`, src/runtime/stack.go). The function table tells where the frame's own is saved.
            let depth = walk.frames.last().and_then(|&pc| (program.depth_at)(pc)).filter(|&depth| depth >= 8);
            step.bp = depth.and_then(|depth| lowest.checked_add(depth - 8)).filter(|&bp| on_stack(bp))?;
        }
        let at = (step.bp - from) as usize;
        let (Some(next), Some(caller)) = (u64_at(window, at), u64_at(window, at + 8)) else {
            // The first window may miss it, a window of its own may not.
            return (step.bp != from).then_some(step.bp);
        };
        if caller == 0 {
            return None;
        }
        lowest = step.bp + 16;
        let interrupted = walk.frames.last().is_some_and(|pc| program.is_injected(*pc));
        let frameless = interrupted && (program.depth_at)(caller) == Some(0);
        if !frameless {
            walk.frames.push(caller);
        } else {
            // The frame pointer is its caller's; where it returns to is the next word.
            let Some(beyond) = u64_at(window, at + 16) else { return (step.bp != from).then_some(step.bp) };
            walk.frames.extend([caller, beyond]);
            lowest += 8;
        }
        step.bp = next;
    }
}
