//! Room for as many values as a process has goroutines.
//!
//! In: an empty vector and how many values it will hold. Out: the vector with that room. What is hard is that memory new to
//! goflow is given by the kernel page by page, each with a fault: a fifth of the time of a snapshot of 100,000. Huge pages
//! are asked for where the room is worth some; a kernel that has none gives the small ones.

use std::ffi::c_void;

/// Size of a huge page on amd64.
const HUGE: usize = 2 << 20;

/// Of a kernel page on amd64.
const PAGE: usize = 4096;

/// Makes room in `values` for `count` more.
pub(super) fn reserve<T>(values: &mut Vec<T>, count: usize) {
    if values.capacity() - values.len() >= count {
        return;
    }
    values.reserve_exact(count);
    let (start, len) = (values.as_ptr() as usize, values.capacity().saturating_mul(size_of::<T>()));
    let (from, to) = (start.next_multiple_of(PAGE), start.saturating_add(len) / PAGE * PAGE);
    if to.saturating_sub(from) >= 2 * HUGE {
        // SAFETY: whole pages inside of one allocation; the advice changes how they are backed, and not what is there.
        // It fails where the kernel has no huge pages, which changes nothing.
        unsafe { libc::madvise(from as *mut c_void, to - from, libc::MADV_HUGEPAGE) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_made_once_and_what_is_there_stays() {
        let mut values = vec![1_u64, 2, 3];
        reserve(&mut values, 1 << 20);
        let (at, room) = (values.as_ptr(), values.capacity());
        assert!(room >= 3 + (1 << 20), "{room}");
        values.extend(3..1 << 20);
        reserve(&mut values, 1);
        assert_eq!((values.as_ptr(), values.capacity()), (at, room));
        assert_eq!((&values[..4], values.last()), ([1, 2, 3, 3].as_slice(), Some(&((1 << 20) - 1))));
        reserve(&mut Vec::<()>::new(), 5);
    }
}
