//! Where a trace goes: a file that is created with care, or a stream.
//!
//! In: `--output`; out: a writer. A file that exists is not touched before the first byte of a trace is written, one
//! that was made for a trace that never started is removed again, and under sudo the file belongs to the user who asked.
//! Every byte goes to the end of the file, wherever that is by then: logrotate(8) empties files that are still written
//! (`copytruncate`).

use std::fs::{self, File, OpenOptions};
use std::io::{self, IsTerminal as _, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, anyhow};
use rustix::fs::{Gid, OFlags, Uid};

use crate::advice::Advise as _;
use crate::target::sudo::{self, Ids};

/// Has a write beyond the limit on file sizes (`ulimit -f`) fail, where the signal would end goflow in its midst. The
/// signal is handled, not ignored: a traced command would inherit that.
pub(super) fn survive_size_limit() {
    if let Err(error) = signal_hook::flag::register(libc::SIGXFSZ, Arc::default()) {
        tracing::debug!(%error, "a limit on file sizes will end goflow");
    }
}

/// A file that a trace is written to.
pub(super) struct OutputFile {
    file: File,
    path: PathBuf,
    is_new: bool,
    has_begun: bool,
}

impl OutputFile {
    /// Opens `path` for a trace, which may replace what is there once it starts. `inputs` are the files that goflow
    /// reads.
    ///
    /// # Errors
    /// It cannot be created or written, or is one of `inputs`.
    pub(super) fn open(path: &Path, inputs: &[PathBuf]) -> anyhow::Result<Self> {
        // Before it is opened: an executable that is open for writing cannot be started.
        if let Some(input) = inputs.iter().find(|input| is_same_file(path, input)) {
            return Err(anyhow!("{} is {}, which would be lost", path.display(), input.display()))
                .advise(|| "give --output another file");
        }
        let (file, is_new) = open(path)
            .map_err(|error| (advice_against(path, &error), error))
            .or_else(|(advice, error)| Err(error).advise(|| advice))
            .with_context(|| format!("{} cannot be written", path.display()))?;
        Ok(Self { file, path: path.to_owned(), is_new, has_begun: false })
    }

    /// Empties the file; what is no regular file (a pipe, /dev/null) has no length.
    fn begin(&mut self) -> io::Result<()> {
        if self.file.metadata()?.is_file() {
            self.file.set_len(0)?;
        }
        self.has_begun = true;
        Ok(())
    }

    /// The system's words for a full disk do not say which.
    fn named(&self, error: &io::Error) -> io::Error {
        io::Error::new(error.kind(), format!("{}: {error}", self.path.display()))
    }
}

/// Whether two paths lead to one file that exists.
fn is_same_file(one: &Path, other: &Path) -> bool {
    let id = |path| fs::metadata(path).map(|metadata| (metadata.dev(), metadata.ino()));
    matches!((id(one), id(other)), (Ok(one), Ok(other)) if one == other)
}

/// What to do when the system refuses to open `path`.
fn advice_against(path: &Path, error: &io::Error) -> String {
    match (error.kind(), fs::read_link(path)) {
        (io::ErrorKind::NotConnected, _) => "start the reader of the pipe first".to_owned(),
        (io::ErrorKind::ExecutableFileBusy, _) => {
            "a process runs this file as its program: give --output another file".to_owned()
        }
        (io::ErrorKind::NotFound, Ok(target)) => format!(
            "it is a symbolic link to {}, which does not exist: remove the link or create that file",
            target.display()
        ),
        (io::ErrorKind::Other, _) => "call goflow by sudo, which sets its variables itself".to_owned(),
        _ => {
            "give --output a file in a directory that you may write to, or `-` for standard output".to_owned()
        }
    }
}

/// Opens without emptying, and tells whether the file was made just now.
fn open(path: &Path) -> io::Result<(File, bool)> {
    let user = sudo::invoking_user().map_err(io::Error::other)?;
    match OpenOptions::new().append(true).create_new(true).open(path) {
        Ok(file) => {
            if let Some(Ids { uid, gid }) = user {
                rustix::fs::fchown(&file, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?;
            }
            Ok((file, true))
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok((open_existing(path)?, false)),
        Err(error) => Err(error),
    }
}

/// Opens what is there already; a named pipe that nobody reads is an error instead of a wait without end.
fn open_existing(path: &Path) -> io::Result<File> {
    let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
    let file = OpenOptions::new().append(true).custom_flags(flags).open(path).map_err(|error| {
        let is_pipe = || fs::metadata(path).is_ok_and(|metadata| metadata.file_type().is_fifo());
        // fifo(7): ENXIO when it is opened for writing without waiting and nobody has it open for reading.
        if error.raw_os_error() == Some(libc::ENXIO) && is_pipe() {
            return io::Error::new(io::ErrorKind::NotConnected, "nobody reads this pipe");
        }
        error
    })?;
    // From here on a slow reader is waited for.
    rustix::fs::fcntl_setfl(&file, rustix::fs::fcntl_getfl(&file)? - OFlags::NONBLOCK)?;
    Ok(file)
}

impl Write for OutputFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // An empty write is a flush before the trace has started.
        if !self.has_begun && !bytes.is_empty() {
            self.begin()?;
        }
        self.file.write(bytes).map_err(|error| self.named(&error))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush().map_err(|error| self.named(&error))
    }
}

impl Drop for OutputFile {
    fn drop(&mut self) {
        if self.is_new && !self.has_begun {
            // If it cannot be removed, an empty file stays behind: harmless, and there is nobody to tell.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Columns of the terminal behind `stream`: what `COLUMNS` says, else what the terminal says, `None` where there is none.
pub(super) fn width(stream: impl AsFd) -> Option<usize> {
    let told = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse::<usize>().ok());
    if told.is_some_and(|columns| columns > 0) {
        return told;
    }
    let fd = stream.as_fd();
    if !fd.is_terminal() {
        return None;
    }
    let size = rustix::termios::tcgetwinsize(fd).ok()?;
    // A serial console that does not know its size says 0.
    (size.ws_col > 0).then_some(usize::from(size.ws_col))
}

/// Is `stream` a terminal on which a line can be written over?
pub(super) fn can_write_over(stream: &impl io::IsTerminal) -> bool {
    stream.is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_only_when_the_trace_starts() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("trace.jsonl");
        fs::write(&path, "an earlier and longer trace").unwrap();
        let mut output = OutputFile::open(&path, &[]).unwrap();
        output.write_all(b"").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "an earlier and longer trace");
        output.write_all(b"new").unwrap();
        output.write_all(b"er").unwrap();
        drop(output);
        assert_eq!(fs::read_to_string(&path).unwrap(), "newer");
    }

    #[test]
    fn a_file_that_is_emptied_meanwhile_begins_with_what_comes_next() {
        let directory = tempfile::tempdir().unwrap();
        let (new, old) = (directory.path().join("new"), directory.path().join("old"));
        fs::write(&old, "an earlier trace").unwrap();
        for path in [&new, &old] {
            let mut output = OutputFile::open(path, &[]).unwrap();
            output.write_all(b"before").unwrap();
            OpenOptions::new().write(true).truncate(true).open(path).unwrap();
            output.write_all(b"after").unwrap();
            assert_eq!(fs::read_to_string(path).unwrap(), "after");
        }
    }

    #[test]
    fn a_trace_that_never_started_leaves_things_as_they_were() {
        let directory = tempfile::tempdir().unwrap();
        let (new, old) = (directory.path().join("new"), directory.path().join("old"));
        fs::write(&old, "kept").unwrap();
        drop(OutputFile::open(&new, &[]).unwrap());
        drop(OutputFile::open(&old, &[]).unwrap());
        assert!(!new.exists());
        assert_eq!(fs::read_to_string(&old).unwrap(), "kept");
    }

    #[test]
    fn a_directory_that_is_not_there_is_an_error_with_advice() {
        let error = OutputFile::open(Path::new("/nonexistent/trace.jsonl"), &[]).err().unwrap();
        assert!(error.to_string().contains("/nonexistent/trace.jsonl"));
        assert!(crate::advice::advice_of(&error).unwrap().contains("--output"));
    }

    #[test]
    fn a_pipe_is_refused_without_a_reader_and_waits_for_one_that_is_there() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pipe");
        rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR)
            .unwrap();
        let error = OutputFile::open(&path, &[]).err().unwrap();
        assert!(crate::advice::messages(&error).join(" ").contains("nobody reads this pipe"), "{error:#}");
        assert!(crate::advice::advice_of(&error).unwrap().contains("reader"), "{error:#}");

        let mut reader = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(&path).unwrap();
        let mut output = OutputFile::open(&path, &[]).unwrap();
        assert!(!rustix::fs::fcntl_getfl(&output.file).unwrap().contains(OFlags::NONBLOCK));
        output.write_all(b"events").unwrap();
        let mut read = [0; 6];
        io::Read::read_exact(&mut reader, &mut read).unwrap();
        assert_eq!(&read, b"events");
    }

    #[test]
    fn the_file_that_is_traced_is_never_written() {
        let directory = tempfile::tempdir().unwrap();
        let (program, link) = (directory.path().join("program"), directory.path().join("link"));
        fs::write(&program, "kept").unwrap();
        std::os::unix::fs::symlink(&program, &link).unwrap();
        for path in [&program, &link] {
            let error = OutputFile::open(path, std::slice::from_ref(&program)).err().unwrap();
            assert!(error.to_string().contains("would be lost"), "{error:#}");
        }
        assert_eq!(fs::read_to_string(&program).unwrap(), "kept");
    }

    #[test]
    fn what_prevents_writing_has_advice_of_its_own() {
        let directory = tempfile::tempdir().unwrap();
        let link = directory.path().join("link");
        std::os::unix::fs::symlink("nowhere/at/all", &link).unwrap();
        let advice = |path: &Path| {
            crate::advice::advice_of(&OutputFile::open(path, &[]).err().unwrap()).unwrap().to_owned()
        };
        assert!(advice(&link).contains("symbolic link to nowhere/at/all"), "{}", advice(&link));
        let own = std::env::current_exe().unwrap();
        assert!(advice(&own).contains("runs this file"), "{}", advice(&own));
    }

    #[test]
    fn a_device_is_written_as_it_is() {
        OutputFile::open(Path::new("/dev/null"), &[]).unwrap().write_all(b"x").unwrap();
    }

    #[test]
    fn a_full_disk_is_named() {
        let error = OutputFile::open(Path::new("/dev/full"), &[]).unwrap().write_all(b"x").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert!(error.to_string().starts_with("/dev/full: "), "{error}");
    }

    #[test]
    fn what_is_no_terminal_has_no_width_of_its_own() {
        if std::env::var_os("COLUMNS").is_none() {
            assert_eq!(width(File::open("/dev/null").unwrap()), None);
        }
    }
}
