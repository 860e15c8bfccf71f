//! Where the sockets of traces are: a directory that only its owner may enter.
//!
//! In: the user and the environment; out: an open [`Directory`], in which sockets are made, found, connected to and, when
//! nobody is behind them any more, removed. What it refuses: a directory that is a symbolic link, is somebody else's, or is
//! open to others. The hard thing is that a path may lead elsewhere a moment later, so everything below the directory goes
//! through its descriptor.

use rustix::fs::{AtFlags, FileType, Mode, OFlags, fstat, mkdirat, openat, renameat, unlinkat};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, connect, listen, socket_with, sockopt,
};
use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;
use thiserror::Error;

/// Names the directory to use instead of the usual one.
pub const VARIABLE: &str = "GOFLOW_RUNTIME_DIR";

/// Connections that wait until somebody has time for them.
const BACKLOG: i32 = 8;

/// Why there is no directory to use.
#[derive(Debug, Error)]
pub enum PlaceError {
    /// There is no usual place.
    #[error("XDG_RUNTIME_DIR is not set, and {VARIABLE} is not either")]
    Nowhere,
    /// It is not there, and cannot be made.
    #[error("{} cannot be used: {error}", path.display())]
    Unusable {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// Somebody else could be behind what is in it.
    #[error("{} {why}, so it is not used", path.display())]
    Untrusted {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        why: &'static str,
    },
}

impl PlaceError {
    /// The machine has no such place for this user, which is nothing to worry about.
    pub(super) fn is_usual(&self) -> bool {
        match self {
            Self::Nowhere => true,
            Self::Unusable { error, .. } => matches!(
                error.kind(),
                io::ErrorKind::NotFound
                    | io::ErrorKind::PermissionDenied
                    | io::ErrorKind::ReadOnlyFilesystem
                    | io::ErrorKind::StorageFull
            ),
            Self::Untrusted { .. } => false,
        }
    }
}

/// An open directory of sockets.
#[derive(Debug)]
pub(super) struct Directory {
    descriptor: OwnedFd,
    path: PathBuf,
    owner: u32,
}

/// What is behind the name of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Behind {
    Somebody,
    Nobody,
    /// It cannot be told, or it is no socket.
    Unknown,
}

/// Where this user's traces are to be found.
pub(super) fn own() -> Result<PathBuf, PlaceError> {
    let given = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    if let Some(path) = given(VARIABLE) {
        return Ok(path);
    }
    if rustix::process::geteuid().is_root() {
        return Ok(PathBuf::from("/run/goflow"));
    }
    given("XDG_RUNTIME_DIR").map(|directory| directory.join("goflow")).ok_or(PlaceError::Nowhere)
}

/// Where those of other users are, with the user; for root, who may open them.
pub(super) fn others() -> Vec<(PathBuf, u32)> {
    if !rustix::process::geteuid().is_root() || std::env::var_os(VARIABLE).is_some() {
        return Vec::new();
    }
    let Ok(users) = std::fs::read_dir("/run/user") else { return Vec::new() };
    let of_user = |name: &OsStr| name.to_str()?.parse::<u32>().ok();
    let users =
        users.filter_map(|entry| Some((entry.as_ref().ok()?.path(), of_user(&entry.ok()?.file_name())?)));
    users.map(|(path, user)| (path.join("goflow"), user)).collect()
}

/// The user that this process acts as.
pub(super) fn user() -> u32 {
    rustix::process::geteuid().as_raw()
}

impl Directory {
    /// Makes the directory if it is not there, and opens it.
    ///
    /// # Errors
    /// See [`PlaceError`].
    pub(super) fn make(path: &Path) -> Result<Self, PlaceError> {
        match mkdirat(rustix::fs::CWD, path, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => Self::open(path, user()),
            Err(error) => Err(PlaceError::Unusable { path: path.to_owned(), error: error.into() }),
        }
    }

    /// Opens the directory of `owner`.
    ///
    /// # Errors
    /// See [`PlaceError`].
    pub(super) fn open(path: &Path, owner: u32) -> Result<Self, PlaceError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let untrusted = |why| PlaceError::Untrusted { path: path.to_owned(), why };
        let unusable = |error: Errno| PlaceError::Unusable { path: path.to_owned(), error: error.into() };
        let descriptor = match openat(rustix::fs::CWD, path, flags, Mode::empty()) {
            Ok(descriptor) => descriptor,
            Err(Errno::LOOP) => return Err(untrusted("is a symbolic link")),
            Err(Errno::NOTDIR) => return Err(untrusted("is no directory")),
            Err(error) => return Err(unusable(error)),
        };
        let status = fstat(&descriptor).map_err(unusable)?;
        if status.st_uid != owner {
            return Err(untrusted("belongs to another user"));
        }
        if status.st_mode & 0o077 != 0 {
            return Err(untrusted("is open to other users"));
        }
        Ok(Self { descriptor, path: path.to_owned(), owner })
    }

    /// As it was given.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whose it is.
    pub(super) fn owner(&self) -> u32 {
        self.owner
    }

    /// The traces behind whose sockets somebody is, by pid. What a trace has left that did not end by itself is removed from
    /// the own directory.
    pub(super) fn sessions(&self) -> io::Result<Vec<u32>> {
        let mut sessions = Vec::new();
        for entry in rustix::fs::Dir::read_from(&self.descriptor)? {
            let entry = entry?;
            let Some((pid, is_ready)) = entry.file_name().to_str().ok().and_then(parse) else { continue };
            let name = name(pid, is_ready);
            match self.behind(&name) {
                Behind::Somebody if is_ready => sessions.push(pid),
                // One that is not ready may be about to listen.
                Behind::Nobody if self.owner == user() && (is_ready || !is_alive(pid)) => self.remove(&name),
                Behind::Somebody | Behind::Nobody | Behind::Unknown => {}
            }
        }
        sessions.sort_unstable();
        Ok(sessions)
    }

    /// Makes the socket of this process, for its owner alone.
    pub(super) fn listen(&self) -> io::Result<UnixListener> {
        let pid = std::process::id();
        let (early, ready) = (name(pid, false), name(pid, true));
        // Of an earlier process with this pid.
        self.remove(&early);
        let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        // What is set before it has a name is the mode of the name.
        rustix::fs::fchmod(&socket, Mode::RUSR | Mode::WUSR)?;
        let through = format!("/proc/self/fd/{}/{early}", self.descriptor.as_raw_fd());
        bind(&socket, &SocketAddrUnix::new(through)?)?;
        listen(&socket, BACKLOG)?;
        // Whoever finds it under its own name finds somebody behind it.
        renameat(&self.descriptor, &early, &self.descriptor, &ready).inspect_err(|_| self.remove(&early))?;
        let listener = UnixListener::from(socket);
        listener.set_nonblocking(true)?;
        Ok(listener)
    }

    /// Removes the socket of this process.
    pub(super) fn unlisten(&self) {
        self.remove(&name(std::process::id(), true));
    }

    /// Connects to the trace of `pid`; neither that nor anything later takes longer than `patience`.
    pub(super) fn connect(&self, pid: u32, patience: Duration) -> io::Result<UnixStream> {
        let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        // Where the backlog is full, connecting waits like sending (unix(7)).
        sockopt::set_socket_timeout(&socket, sockopt::Timeout::Send, Some(patience))?;
        sockopt::set_socket_timeout(&socket, sockopt::Timeout::Recv, Some(patience))?;
        self.connect_to(&socket, &name(pid, true))?;
        Ok(UnixStream::from(socket))
    }

    /// A symbolic link could lead to somebody who is no goflow.
    fn connect_to(&self, socket: &OwnedFd, name: &str) -> io::Result<()> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let target = openat(&self.descriptor, name, flags, Mode::empty())?;
        let status = fstat(&target)?;
        if FileType::from_raw_mode(status.st_mode) != FileType::Socket || status.st_uid != self.owner {
            return Err(io::Error::other("it is no socket of the directory's owner"));
        }
        Ok(connect(socket, &SocketAddrUnix::new(format!("/proc/self/fd/{}", target.as_raw_fd()))?)?)
    }

    fn behind(&self, name: &str) -> Behind {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let Ok(socket) = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None) else {
            return Behind::Unknown;
        };
        match self.connect_to(&socket, name) {
            Ok(()) => Behind::Somebody,
            Err(error) => match error.kind() {
                io::ErrorKind::ConnectionRefused => Behind::Nobody,
                // Others are before us.
                io::ErrorKind::WouldBlock => Behind::Somebody,
                _ => Behind::Unknown,
            },
        }
    }

    /// What is not there needs no removing.
    fn remove(&self, name: &str) {
        match unlinkat(&self.descriptor, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(error) => {
                tracing::info!(%error, "{} cannot be removed", self.path.join(name).display());
            }
        }
    }
}

/// The name of a socket, before and after somebody listens.
fn name(pid: u32, is_ready: bool) -> String {
    if is_ready { format!("{pid}.sock") } else { format!("{pid}.new") }
}

fn parse(found: &str) -> Option<(u32, bool)> {
    let (pid, end) = found.split_once('.')?;
    let pid = pid.parse().ok()?;
    let is_ready = end == "sock";
    // No other spelling of the number.
    (name(pid, is_ready) == found).then_some((pid, is_ready))
}

fn is_alive(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

/// As whom the process on the other end has connected, or listens.
pub(super) fn user_behind(stream: &UnixStream) -> io::Result<u32> {
    let mut credentials = libc::ucred { pid: 0, uid: u32::MAX, gid: u32::MAX };
    let mut length = size_of::<libc::ucred>() as libc::socklen_t;
    // SAFETY: both pointers are to locals that are valid for writing, and `length` is the size of the first.
    let result = unsafe {
        libc::getsockopt(
            stream.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            (&raw mut credentials).cast(),
            &raw mut length,
        )
    };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(credentials.uid)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

    fn refusal(path: &Path) -> String {
        Directory::make(path).unwrap_err().to_string()
    }

    #[test]
    fn the_directory_and_the_socket_are_for_their_owner_alone() {
        let temporary = tempfile::tempdir().unwrap();
        let path = temporary.path().join("goflow");
        let directory = Directory::make(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o700);
        let listener = directory.listen().unwrap();
        let socket = path.join(format!("{}.sock", std::process::id()));
        assert_eq!(fs::symlink_metadata(&socket).unwrap().mode() & 0o777, 0o600);
        assert_eq!(directory.sessions().unwrap(), [std::process::id()]);
        let stream = directory.connect(std::process::id(), Duration::from_secs(1)).unwrap();
        assert_eq!(user_behind(&stream).unwrap(), user());
        directory.unlisten();
        drop(listener);
        assert_eq!(fs::read_dir(&path).unwrap().count(), 0);
    }

    #[test]
    fn a_directory_that_somebody_else_may_have_prepared_is_refused() {
        let temporary = tempfile::tempdir().unwrap();
        let path = |name| temporary.path().join(name);
        fs::create_dir(path("open")).unwrap();
        fs::set_permissions(path("open"), fs::Permissions::from_mode(0o750)).unwrap();
        assert!(refusal(&path("open")).contains("is open to other users"), "{}", refusal(&path("open")));
        Directory::make(&path("fine")).unwrap();
        symlink(path("fine"), path("link")).unwrap();
        let link = refusal(&path("link"));
        assert!(link.contains("symbolic link") || link.contains("no directory"), "{link}");
        fs::write(path("file"), "").unwrap();
        assert!(refusal(&path("file")).contains("no directory"));
        let others = Directory::open(&path("fine"), user() + 1).unwrap_err();
        assert!(others.to_string().contains("belongs to another user") && !others.is_usual());
        let missing = Directory::open(&path("missing"), user()).unwrap_err();
        assert!(missing.is_usual(), "{missing}");
    }

    #[test]
    fn what_a_trace_left_that_was_killed_is_removed_and_nothing_else() {
        let temporary = tempfile::tempdir().unwrap();
        let path = temporary.path().join("goflow");
        let directory = Directory::make(&path).unwrap();
        // Dropping a listener leaves its name.
        drop(UnixListener::bind(path.join("4000001.sock")).unwrap());
        drop(UnixListener::bind(path.join("4000002.new")).unwrap());
        let own = std::process::id();
        drop(UnixListener::bind(path.join(format!("{own}.new"))).unwrap());
        for other in ["notes", "12.txt", "x.sock", "0012.sock"] {
            fs::write(path.join(other), "").unwrap();
        }
        fs::write(path.join("13.sock"), "").unwrap();
        assert_eq!(directory.sessions().unwrap(), [0; 0]);
        let mut left: Vec<String> = fs::read_dir(&path)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        let mut expected: Vec<String> =
            ["0012.sock", "12.txt", "13.sock", "notes", "x.sock"].map(str::to_owned).to_vec();
        expected.push(format!("{own}.new"));
        expected.sort();
        assert_eq!(left, expected);
    }

    #[test]
    fn a_name_that_leads_elsewhere_is_not_followed() {
        let temporary = tempfile::tempdir().unwrap();
        let elsewhere = temporary.path().join("elsewhere");
        let _listener = UnixListener::bind(&elsewhere).unwrap();
        let directory = Directory::make(&temporary.path().join("goflow")).unwrap();
        symlink(&elsewhere, directory.path().join("1.sock")).unwrap();
        assert!(directory.connect(1, Duration::from_secs(1)).is_err());
        assert_eq!(directory.sessions().unwrap(), [0; 0]);
    }
}
