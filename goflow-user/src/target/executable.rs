//! An executable file: opened once, mapped, analysed, and kept open so that everything later means this very file,
//! whatever is renamed or replaced in the meantime.

use super::Pid;
use super::process::{Fileless, despite_exec};
use super::refusal::Refusal;
use crate::binary::{BinaryError, GoBinary};
use memmap2::Mmap;
use self_cell::self_cell;
use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Why an executable cannot be traced.
#[derive(Debug, Error)]
pub enum ExecutableError {
    /// The file could not be opened or mapped.
    #[error("{path}: {error}")]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        error: io::Error,
    },
    /// A thread of the kernel.
    #[error("{0} is a thread of the kernel, which runs no program; `pgrep -l NAME` finds the right pid")]
    KernelThread(Pid),
    /// A process that was there a moment ago.
    #[error("there is no process {0} any more")]
    Gone(Pid),
    /// A process that has ended.
    #[error("process {0} has ended; only its parent has not taken note of that")]
    Ended(Pid),
    /// Somebody else's process.
    #[error("process {pid} may not be looked at {why}: {error}")]
    NotAllowed {
        /// The process.
        pid: Pid,
        /// Whether the capability for that is there.
        why: &'static str,
        /// What the kernel said.
        #[source]
        error: io::Error,
    },
    /// A script, not a program.
    #[error("{path} is a script (it starts with `#!`); give the Go program that it runs")]
    Script {
        /// The file.
        path: PathBuf,
    },
    /// The bytes are not those of a Go program goflow knows.
    #[error("{path}: {source}")]
    Binary {
        /// The file.
        path: PathBuf,
        /// What is wrong with them.
        source: BinaryError,
    },
}

impl ExecutableError {
    fn is_absence(&self) -> bool {
        match self {
            Self::Open { error, .. } => error.kind() == io::ErrorKind::NotFound,
            Self::Gone(_) | Self::Ended(_) => true,
            _ => false,
        }
    }
}

/// Which file it is, whatever it is called. On overlayfs two paths of one lower file differ here although the kernel
/// probes the same inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FileId {
    device: u64,
    inode: u64,
}

impl FileId {
    pub(super) fn of(file: &File) -> io::Result<Self> {
        let metadata = file.metadata()?;
        Ok(Self { device: metadata.dev(), inode: metadata.ino() })
    }
}

self_cell!(
    struct Analysed {
        owner: Mmap,
        #[covariant]
        dependent: GoBinary,
    }
);

/// An analysed executable.
pub struct Executable {
    path: PathBuf,
    is_deleted: bool,
    id: FileId,
    file: File,
    analysed: Analysed,
}

impl Executable {
    /// Opens and analyses the file at `path`.
    ///
    /// # Errors
    /// It cannot be read, or is not a Go program that goflow can analyse.
    pub fn open(path: &Path) -> Result<Self, ExecutableError> {
        let file = open_at_once(path).map_err(|error| ExecutableError::Open { path: path.into(), error })?;
        Self::analyse(file, path.to_owned(), false)
    }

    /// Opens and analyses the file that `pid` runs, even if it has been deleted or replaced on disk since.
    ///
    /// # Errors
    /// As [`Executable::open`]; `NotFound` when there is no such process.
    pub fn of_process(pid: Pid) -> Result<Self, ExecutableError> {
        let link = PathBuf::from(format!("/proc/{pid}/exe"));
        let open = || File::open(&link).map_err(|error| without_file(pid, &link, error));
        let file = despite_exec(open, |error| error.is_absence().then_some(pid))?;
        let id = FileId::of(&file).map_err(|error| ExecutableError::Open { path: link.clone(), error })?;
        let (path, is_deleted) = name_of(pid, std::fs::read_link(&link).unwrap_or(link), id);
        Self::analyse(file, path, is_deleted)
    }

    /// Which file `pid` runs now.
    ///
    /// # Errors
    /// The process is gone, or may not be looked at.
    pub fn id_of_process(pid: Pid) -> io::Result<FileId> {
        let metadata = std::fs::metadata(format!("/proc/{pid}/exe"))?;
        Ok(FileId { device: metadata.dev(), inode: metadata.ino() })
    }

    fn analyse(file: File, path: PathBuf, is_deleted: bool) -> Result<Self, ExecutableError> {
        let open = |error| ExecutableError::Open { path: path.clone(), error };
        let metadata = file.metadata().map_err(open)?;
        if !metadata.is_file() {
            return Err(open(io::Error::other("not a regular file; give the Go program itself")));
        }
        if metadata.len() == 0 {
            return Err(open(io::Error::other("the file is empty")));
        }
        let id = FileId::of(&file).map_err(open)?;
        // SAFETY: the mapping is private and read-only. Linux refuses writes to a running executable (ETXTBSY); a file
        // that is truncated while it is not running raises SIGBUS, which ends goflow (`survive_truncation`).
        let map = unsafe { Mmap::map(&file) }.map_err(open)?;
        if map.starts_with(b"#!") {
            return Err(ExecutableError::Script { path });
        }
        let analysed = Analysed::try_new(map, |bytes| GoBinary::parse(bytes)?.for_this_machine())
            .map_err(|source| ExecutableError::Binary { path: path.clone(), source })?;
        Ok(Self { path, is_deleted, id, file, analysed })
    }

    /// Path as the user would open it, or where the file was: see [`Executable::is_deleted`].
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the file was no longer at its path when this was opened: a process runs it on after it was deleted, or
    /// replaced by another.
    #[must_use]
    pub fn is_deleted(&self) -> bool {
        self.is_deleted
    }

    /// Which file it is.
    #[must_use]
    pub fn id(&self) -> FileId {
        self.id
    }

    /// What its bytes say.
    #[must_use]
    pub fn binary(&self) -> &GoBinary<'_> {
        self.analysed.borrow_dependent()
    }

    /// Gives the pages that the analysis touched back to the page cache; they come back when they are needed.
    pub fn release_pages(&self) {
        // An executable of 40 MB would otherwise count as resident memory of goflow. Failing loses nothing.
        // SAFETY: the mapping is private, read-only and file-backed, so its pages can be dropped and read again.
        let _ = unsafe { self.analysed.borrow_owner().unchecked_advise(memmap2::UncheckedAdvice::DontNeed) };
    }
}

/// Makes a read beyond the end of a mapped file an error of goflow instead of a crash: a message and status 2. A file is
/// mapped, not read, because an executable of 50 MB of which the analysis touches a quarter would have to be copied.
pub fn survive_truncation() {
    /// To this process alone: a child has the default again after its `exec`.
    extern "C" fn tell_and_exit(_: libc::c_int) {
        const MESSAGE: &[u8] = b"goflow: a file was truncated, or could not be read, while goflow read it\n\
            help: try again when nothing writes to it\n";
        // SAFETY: write(2) and _exit(2) are async-signal-safe, and the message lives for ever.
        unsafe {
            libc::write(libc::STDERR_FILENO, MESSAGE.as_ptr().cast(), MESSAGE.len());
            libc::_exit(2);
        }
    }
    let handler = tell_and_exit as extern "C" fn(libc::c_int);
    // SAFETY: the handler makes async-signal-safe calls only and does not return.
    if unsafe { libc::signal(libc::SIGBUS, handler as libc::sighandler_t) } == libc::SIG_ERR {
        tracing::debug!("a file that is truncated while it is read will end goflow without a word");
    }
}

/// Where the file is that `pid` runs, from what the link in /proc shows, and whether it was deleted there.
fn name_of(pid: Pid, shown: PathBuf, id: FileId) -> (PathBuf, bool) {
    // proc_pid_exe(5): the kernel adds this to the path of what was unlinked, as every replaced file is.
    let Some(path) = shown.as_os_str().as_bytes().strip_suffix(b" (deleted)") else { return (shown, false) };
    // There may be a file that is called so.
    let in_its_root = format!("/proc/{pid}/root{}", shown.display());
    match std::fs::metadata(in_its_root) {
        Ok(found) if (found.dev(), found.ino()) == (id.device, id.inode) => (shown, false),
        _ => (PathBuf::from(OsStr::from_bytes(path)), true),
    }
}

/// Why the file that `pid` runs cannot be opened.
fn without_file(pid: Pid, link: &Path, error: io::Error) -> ExecutableError {
    match (error.kind(), Fileless::of(pid)) {
        (_, Some(Fileless::KernelThread)) => ExecutableError::KernelThread(pid),
        (_, Some(Fileless::Zombie)) => ExecutableError::Ended(pid),
        (io::ErrorKind::NotFound, None) if !Path::new("/proc").join(pid.to_string()).exists() => {
            ExecutableError::Gone(pid)
        }
        (io::ErrorKind::PermissionDenied, None) => {
            ExecutableError::NotAllowed { pid, why: Refusal::detect().sentence(), error }
        }
        _ => ExecutableError::Open { path: link.into(), error },
    }
}

/// Opens for reading without waiting for the other end of a named pipe, so that the caller can refuse one.
pub(super) fn open_at_once(path: &Path) -> io::Result<File> {
    // On a regular file neither flag means anything.
    OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path)
}

impl AsFd for Executable {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_is_gone_is_no_path_that_was_mistyped() {
        // pid_max(5) is at most 2^22.
        let gone = Executable::of_process(Pid(u32::MAX >> 1)).err().unwrap();
        assert!(matches!(gone, ExecutableError::Gone(_)), "{gone:?}");
    }

    #[test]
    fn a_file_that_was_deleted_is_told_from_one_that_is_called_so() {
        let directory = tempfile::tempdir().unwrap();
        let shown = directory.path().join("app (deleted)");
        let file = File::create(&shown).unwrap();
        let id = FileId::of(&file).unwrap();
        let name = || name_of(Pid(std::process::id()), shown.clone(), id);
        assert_eq!(name(), (shown.clone(), false));
        std::fs::remove_file(&shown).unwrap();
        assert_eq!(name(), (directory.path().join("app"), true));
        // Another file now has that very name.
        File::create(&shown).unwrap();
        let other = FileId { inode: u64::MAX, ..id };
        let name = name_of(Pid(std::process::id()), shown.clone(), other);
        assert_eq!(name, (directory.path().join("app"), true));
    }
}
