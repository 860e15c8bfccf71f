//! Starting a command that waits, after `fork` and before `exec`, until the probes are in.
//!
//! In: a command line; out: a child that has not executed its first instruction, then its exit status. The child runs
//! as the user who invoked `sudo`, in the same session and on the same terminal. `std::process::Command::spawn`
//! returns only after `exec`, so it runs on a thread of its own while the caller attaches.

use super::Pid;
use super::signal_mask::SignalMask;
use super::sudo::{self, Ids, SudoError};
use std::ffi::{OsStr, OsString};
use std::io::{self, Read as _, Write as _};
use std::mem::ManuallyDrop;
use std::os::fd::{AsRawFd as _, FromRawFd as _, RawFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use thiserror::Error;

/// Signals that goflow handles, and whose handlers a forked child inherits until its `exec`.
const HANDLED: [libc::c_int; 4] = [libc::SIGINT, libc::SIGQUIT, libc::SIGTERM, libc::SIGHUP];

/// Why a command could not be started.
#[derive(Debug, Error)]
pub enum SpawnError {
    /// No such program in `PATH`.
    #[error("{0:?} is not in PATH; give its path")]
    NotFound(OsString),
    /// A file that may not be executed.
    #[error("{0:?} is not executable; chmod +x makes it so")]
    NotExecutable(PathBuf),
    /// Whose the command is cannot be told.
    #[error(transparent)]
    Sudo(#[from] SudoError),
    /// The system refused.
    #[error("{program:?} could not be started: {error}")]
    Start {
        /// The program.
        program: OsString,
        /// Why.
        #[source]
        error: io::Error,
    },
}

/// A child that has not run a single instruction of its program.
pub struct Waiting {
    pid: Pid,
    program: OsString,
    /// `None` once it is open or closed for good; `spawn` likewise once it has been joined.
    gate: Option<std::fs::File>,
    spawn: Option<JoinHandle<io::Result<Child>>>,
}

/// Finds the file that `program` names, as a shell would. A path that names no regular file is returned as it is.
///
/// # Errors
/// [`SpawnError::NotFound`], [`SpawnError::NotExecutable`].
pub fn find_program(program: &OsStr) -> Result<PathBuf, SpawnError> {
    find_program_in(&std::env::var_os("PATH").unwrap_or_default(), program)
}

fn find_program_in(path: &OsStr, program: &OsStr) -> Result<PathBuf, SpawnError> {
    if program.as_bytes().contains(&b'/') {
        let file = PathBuf::from(program);
        let refused = file.is_file() && !is_executable(&file);
        return if refused { Err(SpawnError::NotExecutable(file)) } else { Ok(file) };
    }
    let found = || std::env::split_paths(path).map(|it| it.join(program)).filter(|it| it.is_file());
    // The one that may not be executed is told only where there is no other.
    found().find(|it| is_executable(it)).ok_or_else(|| match found().next() {
        Some(file) => SpawnError::NotExecutable(file),
        None => SpawnError::NotFound(program.to_owned()),
    })
}

/// Whether anybody may execute the file: whether this user may, only `execve` knows.
fn is_executable(file: &Path) -> bool {
    file.metadata().is_ok_and(|metadata| metadata.mode() & 0o111 != 0)
}

/// Forks; the child waits for [`Waiting::start`].
///
/// # Errors
/// The system refused to fork.
pub fn spawn_waiting(program: &Path, arguments: &[OsString]) -> Result<Waiting, SpawnError> {
    let name = program.as_os_str().to_owned();
    let failed = |error| SpawnError::Start { program: name.clone(), error };
    let user = InvokingUser::from_environment()?;
    let (mut pid_read, pid_write) = pipe().map_err(failed)?;
    let (gate_read, gate) = pipe().map_err(failed)?;
    let mut command = Command::new(program);
    command.args(arguments);
    if let Some(user) = &user {
        command.env("HOME", &user.home).env("USER", &user.name).env("LOGNAME", &user.name);
    }
    let mut before_exec = BeforeExec {
        parent: std::process::id(),
        pid_write: pid_write.as_raw_fd(),
        gate_read: gate_read.as_raw_fd(),
        gate_write: gate.as_raw_fd(),
        mask: SignalMask::none(),
    };
    let spawn = std::thread::Builder::new()
        .name("goflow-spawn".into())
        .spawn(move || {
            // The child inherits the mask of this thread, so that goflow's handlers never run in it.
            before_exec.mask = SignalMask::of(&HANDLED).block()?;
            // SAFETY: the closure runs between fork and exec and makes only system calls on plain values that it owns.
            unsafe {
                command.pre_exec(move || {
                    before_exec.wait_for_the_gate()?;
                    user.as_ref().map_or(Ok(()), InvokingUser::become_user)?;
                    // The command outlives goflow.
                    die_with_parent(false)
                });
            }
            let child = command.spawn();
            // The pipe ends live until the child has its copies.
            drop((pid_write, gate_read));
            child
        })
        .map_err(failed)?;
    let mut pid = [0; 4];
    match pid_read.read_exact(&mut pid) {
        Ok(()) => Ok(Waiting {
            pid: Pid(u32::from_ne_bytes(pid)),
            program: name,
            gate: Some(gate),
            spawn: Some(spawn),
        }),
        Err(error) => Err(failed(joined(spawn).err().unwrap_or(error))),
    }
}

impl Waiting {
    /// Its process id, which `exec` does not change.
    #[must_use]
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// Lets the child execute its program. A child that a signal has ended meanwhile is returned as any other.
    ///
    /// # Errors
    /// `exec` failed: no such file, no permission, wrong architecture.
    pub fn start(mut self) -> Result<Child, SpawnError> {
        let opened = match self.gate.take().map(|mut gate| gate.write_all(&[1])) {
            // Nobody waits at the gate any more: how the child ended, its status says.
            Some(Err(error)) if error.kind() != io::ErrorKind::BrokenPipe => Err(error),
            _ => Ok(()),
        };
        let child = self.spawn.take().map_or_else(|| Err(io::ErrorKind::NotFound.into()), joined);
        opened
            .and(child)
            .map_err(|error| SpawnError::Start { program: std::mem::take(&mut self.program), error })
    }
}

impl Drop for Waiting {
    /// A child that was never let go sees its gate closed and exits; nobody else would take note of its end.
    fn drop(&mut self) {
        drop(self.gate.take());
        if let Some(Ok(mut child)) = self.spawn.take().map(joined) {
            // It was ended by a signal. A failing wait means that somebody has taken note already.
            let _ = child.wait();
        }
    }
}

fn joined(spawn: JoinHandle<io::Result<Child>>) -> io::Result<Child> {
    spawn.join().unwrap_or_else(|_| Err(io::Error::other("the thread that forks has panicked")))
}

fn pipe() -> io::Result<(std::fs::File, std::fs::File)> {
    let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    Ok((read.into(), write.into()))
}

/// What the child needs between `fork` and `exec`.
#[derive(Clone, Copy)]
struct BeforeExec {
    parent: u32,
    pid_write: RawFd,
    gate_read: RawFd,
    gate_write: RawFd,
    /// The signals that were blocked before the fork.
    mask: SignalMask,
}

impl BeforeExec {
    /// In the child: only async-signal-safe calls. A closed gate means that goflow has died or given up.
    fn wait_for_the_gate(&self) -> io::Result<()> {
        // SAFETY: the child's own copy, which nothing else in it uses; as long as it is open the gate never closes.
        succeeded(unsafe { libc::close(self.gate_write) })?;
        die_with_parent(true)?;
        // goflow may have died before it was asked for.
        if std::os::unix::process::parent_id() != self.parent {
            return Err(io::Error::from_raw_os_error(libc::ECANCELED));
        }
        for signal in HANDLED {
            // SAFETY: goflow's handlers write into sockets that the child shares with goflow, so they must go.
            match unsafe { libc::signal(signal, libc::SIG_DFL) } {
                libc::SIG_ERR => return Err(io::Error::last_os_error()),
                // Under nohup(1) the command outlives its terminal as goflow does.
                // SAFETY: ignoring is no handler.
                libc::SIG_IGN => _ = unsafe { libc::signal(signal, libc::SIG_IGN) },
                _ => {}
            }
        }
        self.report_pid()?;
        // A signal that came meanwhile is delivered here, after goflow has learnt whom to wait for.
        self.mask.set()?;
        self.pass_the_gate()
    }

    fn report_pid(&self) -> io::Result<()> {
        // SAFETY: the descriptor was open at fork and nobody in the child closes it.
        let mut pid_write = ManuallyDrop::new(unsafe { std::fs::File::from_raw_fd(self.pid_write) });
        pid_write.write_all(&std::process::id().to_ne_bytes())
    }

    fn pass_the_gate(&self) -> io::Result<()> {
        // SAFETY: as above.
        let mut gate = ManuallyDrop::new(unsafe { std::fs::File::from_raw_fd(self.gate_read) });
        let mut go = [0];
        if gate.read(&mut go)? == 1 { Ok(()) } else { Err(io::Error::from_raw_os_error(libc::ECANCELED)) }
    }
}

/// Makes the kernel end this process when the thread that forked it ends, which waits for the `exec`; or not any more.
fn die_with_parent(yes: bool) -> io::Result<()> {
    let signal = if yes { libc::SIGKILL } else { 0 };
    // SAFETY: takes a number and touches no memory.
    succeeded(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, signal) })
}

fn succeeded(result: libc::c_int) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// The user behind `sudo`.
struct InvokingUser {
    uid: libc::uid_t,
    gid: libc::gid_t,
    groups: Vec<libc::gid_t>,
    name: OsString,
    home: OsString,
}

impl InvokingUser {
    /// `None` when goflow was not started through sudo, or by root through sudo, or not as root.
    fn from_environment() -> Result<Option<Self>, SudoError> {
        let Some(Ids { uid, gid }) = sudo::invoking_user()? else { return Ok(None) };
        let name = std::env::var_os("SUDO_USER").ok_or(SudoError::Missing("SUDO_USER"))?;
        let home = home_of(uid).unwrap_or_else(|| "/".into());
        let groups = groups_of(&name, gid);
        Ok(Some(Self { uid, gid, groups, name, home }))
    }

    /// In the child: groups first, since they need the privilege that the last call gives up.
    fn become_user(&self) -> io::Result<()> {
        // SAFETY: plain system calls on values made before the fork.
        let result = unsafe {
            libc::setgroups(self.groups.len(), self.groups.as_ptr())
                | libc::setgid(self.gid)
                | libc::setuid(self.uid)
        };
        if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }
}

/// Home directory of a user, as `getent passwd` tells it.
fn home_of(uid: libc::uid_t) -> Option<OsString> {
    let entry = ask("/usr/bin/getent", &["passwd".as_ref(), uid.to_string().as_ref()])?;
    // passwd(5): name, password, uid, gid, comment, home, shell.
    entry.trim_end().split(':').nth(5).map(OsString::from)
}

/// All groups of a user; where they cannot be had, the one that is known.
fn groups_of(name: &OsStr, gid: libc::gid_t) -> Vec<libc::gid_t> {
    let listed = ask("/usr/bin/id", &["-G".as_ref(), "--".as_ref(), name]);
    let groups = listed.and_then(|list| list.split_whitespace().map(|id| id.parse().ok()).collect());
    groups.unwrap_or_else(|| {
        tracing::warn!(user = %name.display(), "its groups cannot be had: the command runs with the primary one only");
        vec![gid]
    })
}

/// What a program of the system prints. The functions of libc that know users load plug-ins of the machine's glibc
/// (nsswitch.conf(5)), which a static goflow does not survive: getpwuid(3) ended in a segmentation fault on Debian 12.
/// The path is absolute because this runs as root.
fn ask(program: &str, arguments: &[&OsStr]) -> Option<String> {
    let output =
        Command::new(program).args(arguments).stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8(output.stdout).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sleeping() -> Waiting {
        spawn_waiting(Path::new("/bin/sleep"), &["60".into()]).unwrap()
    }

    #[test]
    fn a_child_that_is_never_let_go_is_gone_with_its_handle() {
        let waiting = sleeping();
        let process = PathBuf::from(format!("/proc/{}", waiting.pid()));
        assert!(process.exists());
        drop(waiting);
        assert!(!process.exists(), "{} is left", process.display());
    }

    #[test]
    fn a_signal_before_exec_ends_the_child_and_not_by_goflows_handler() {
        use std::os::unix::net::UnixStream;
        use std::os::unix::process::ExitStatusExt as _;
        let (mut caught, handler) = UnixStream::pair().unwrap();
        caught.set_nonblocking(true).unwrap();
        let registered = signal_hook::low_level::pipe::register(libc::SIGTERM, handler).unwrap();
        let waiting = sleeping();
        // SAFETY: a child of this process that nobody has waited for.
        assert_eq!(unsafe { libc::kill(waiting.pid().0 as libc::pid_t, libc::SIGTERM) }, 0);
        let process = crate::target::process::Process::open(waiting.pid()).unwrap();
        while !process.has_ended() {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        let status = waiting.start().unwrap().wait().unwrap();
        assert_eq!(status.signal(), Some(libc::SIGTERM), "{status}");
        // Before the handler goes, which closes the other end.
        assert_eq!(caught.read(&mut [0]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        signal_hook::low_level::unregister(registered);
    }

    #[test]
    fn a_child_that_is_let_go_does_not_die_with_the_thread_that_forked_it() {
        let mut child = sleeping().start().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(50));
        assert_eq!(child.try_wait().unwrap(), None);
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn a_file_that_is_not_executable_is_passed_over_as_by_a_shell() {
        use std::os::unix::fs::PermissionsExt as _;
        let directory = tempfile::tempdir().unwrap();
        let file = |place: &str, mode| {
            let file = directory.path().join(place).join("tool");
            std::fs::create_dir(file.parent().unwrap()).unwrap();
            std::fs::write(&file, "").unwrap();
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
            file
        };
        let (first, second) = (file("a", 0o644), file("b", 0o755));
        let path =
            |files: &[&PathBuf]| std::env::join_paths(files.iter().map(|it| it.parent().unwrap())).unwrap();
        let find = |files: &[&PathBuf], name: &OsStr| find_program_in(&path(files), name);
        assert_eq!(find(&[&first, &second], "tool".as_ref()).unwrap(), second);
        assert!(
            matches!(find(&[&first], "tool".as_ref()), Err(SpawnError::NotExecutable(it)) if it == first)
        );
        assert!(matches!(find(&[], first.as_os_str()), Err(SpawnError::NotExecutable(it)) if it == first));
        assert!(matches!(find(&[&second], "other".as_ref()), Err(SpawnError::NotFound(_))));
    }

    #[test]
    fn a_user_has_a_home_and_groups_and_an_unknown_one_has_what_is_known() {
        assert_eq!(home_of(0).unwrap(), "/root");
        assert!(groups_of("root".as_ref(), 7).contains(&0));
        assert_eq!(home_of(4_000_000_000), None);
        assert_eq!(groups_of("no-such-user-here".as_ref(), 7), [7]);
    }
}
