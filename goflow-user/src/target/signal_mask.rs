//! Which signals a thread does not take.
//!
//! In: sets of signals; out: the mask of the calling thread, set or replaced. Nothing here allocates, so it may be called
//! between `fork` and `exec`.

use std::io;
use std::mem::MaybeUninit;

/// A set of signals.
#[derive(Clone, Copy)]
pub(crate) struct SignalMask(libc::sigset_t);

impl SignalMask {
    /// No signal at all.
    pub(crate) fn none() -> Self {
        // SAFETY: sigemptyset(3) initialises the whole set.
        Self(unsafe { filled(libc::sigemptyset) })
    }

    /// Every signal; the kernel leaves SIGKILL and SIGSTOP out.
    pub(crate) fn all() -> Self {
        // SAFETY: sigfillset(3) initialises the whole set.
        Self(unsafe { filled(libc::sigfillset) })
    }

    /// These.
    pub(crate) fn of(signals: &[libc::c_int]) -> Self {
        let Self(mut set) = Self::none();
        for &signal in signals {
            // SAFETY: a valid set; what is no signal changes nothing.
            unsafe { libc::sigaddset(&raw mut set, signal) };
        }
        Self(set)
    }

    /// Blocks these in this thread, beside what is blocked already; returns what that was.
    pub(crate) fn block(&self) -> io::Result<Self> {
        let mut before = Self::none();
        // SAFETY: both sets are initialised and live.
        match unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const self.0, &raw mut before.0) } {
            0 => Ok(before),
            error => Err(io::Error::from_raw_os_error(error)),
        }
    }

    /// Blocks these and no others in this thread.
    pub(crate) fn set(&self) -> io::Result<()> {
        // SAFETY: the set is initialised and live; the old one is not asked for.
        match unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.0, std::ptr::null_mut()) } {
            0 => Ok(()),
            error => Err(io::Error::from_raw_os_error(error)),
        }
    }
}

/// # Safety
/// `fill` initialises the whole set; on a valid pointer it cannot fail.
unsafe fn filled(fill: unsafe extern "C" fn(*mut libc::sigset_t) -> libc::c_int) -> libc::sigset_t {
    let mut set = MaybeUninit::uninit();
    // SAFETY: the pointer is valid, and the caller vouches for `fill`.
    unsafe {
        fill(set.as_mut_ptr());
        set.assume_init()
    }
}
