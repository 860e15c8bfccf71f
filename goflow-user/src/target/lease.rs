//! A file that nobody overwrites while it is traced.
//!
//! Breakpoints belong to places in a file. If its bytes are replaced in place (`cp new old`), the kernel puts the
//! breakpoints of the old program into the next process of the new one, in the middle of instructions, and that process
//! crashes. While a process runs a file the kernel refuses to open it for writing; when every process of a file is traced,
//! there may be none. So goflow holds a read lease (fcntl(2), `F_SETLEASE`): whoever opens the file for writing waits until
//! the lease is given back, and goflow, told by SIGIO, takes its probes out first.

use super::executable::FileId;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// The signal by which the kernel says that somebody wants to write. By default it ends the process: whoever takes a lease
/// must catch it.
pub const WANTED_BACK: i32 = libc::SIGIO;

/// A read lease, given back when dropped.
#[derive(Debug)]
pub struct Lease(File);

impl Lease {
    /// Takes the lease of the file at `path`; `None` where there is no regular file that can be read.
    ///
    /// # Errors
    /// `WouldBlock` while the file is open for writing; other errors where the file system has no leases, or the file is
    /// another user's and CAP_LEASE is missing.
    pub fn take(path: &Path) -> io::Result<Option<Self>> {
        // A named pipe would make us wait for somebody who writes to it.
        let opened = File::options().read(true).custom_flags(libc::O_NONBLOCK).open(path);
        let Some(file) = opened.ok().filter(|file| file.metadata().is_ok_and(|found| found.is_file())) else {
            return Ok(None);
        };
        set(&file, libc::F_RDLCK)?;
        Ok(Some(Self(file)))
    }

    /// Which file it is of.
    ///
    /// # Errors
    /// The kernel's.
    pub fn id(&self) -> io::Result<FileId> {
        FileId::of(&self.0)
    }
}

/// A copy of it holds the lease as well, until it is closed or the lease is dropped.
impl AsFd for Lease {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Err(error) = set(&self.0, libc::F_UNLCK) {
            tracing::debug!(%error, "closing the file gives its lease back");
        }
    }
}

fn set(file: &File, kind: i32) -> io::Result<()> {
    // SAFETY: the descriptor is open, and F_SETLEASE takes an integer.
    let result = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLEASE, kind) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
