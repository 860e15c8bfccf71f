//! Starting a command that waits, after `fork` and before `exec`, until the probes are in.
//!
//! In: a command line; out: a child that has not executed its first instruction, then its exit status. The child runs
//! as the user who invoked `sudo`, in the same session and on the same terminal. `std::process::Command::spawn`
//! returns only after `exec`, so it runs on a thread of its own while the caller attaches.

use super::Pid;
use std::ffi::{OsStr, OsString};
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use thiserror::Error;

/// Why a command could not be started.
#[derive(Debug, Error)]
pub enum SpawnError {
    /// No such program in `PATH`.
    #[error("{0:?} is not in PATH; give its path")]
    NotFound(OsString),
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
    gate: std::fs::File,
    spawn: JoinHandle<io::Result<Child>>,
}

/// Finds the file that `program` names, as a shell would.
///
/// # Errors
/// [`SpawnError::NotFound`].
pub fn find_program(program: &OsStr) -> Result<PathBuf, SpawnError> {
    if program.as_bytes().contains(&b'/') {
        return Ok(PathBuf::from(program));
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .map(|directory| directory.join(program))
        .find(|candidate| candidate.is_file())
        .ok_or_else(|| SpawnError::NotFound(program.to_owned()))
}

/// Forks; the child waits for [`Waiting::start`].
///
/// # Errors
/// The system refused to fork.
pub fn spawn_waiting(program: &Path, arguments: &[OsString]) -> Result<Waiting, SpawnError> {
    let name = program.as_os_str().to_owned();
    let failed = |error| SpawnError::Start { program: name.clone(), error };
    let (mut pid_read, pid_write) = pipe().map_err(failed)?;
    let (gate_read, gate) = pipe().map_err(failed)?;
    let mut command = Command::new(program);
    command.args(arguments);
    let user = InvokingUser::from_environment();
    if let Some(user) = &user {
        command.env("HOME", &user.home).env("USER", &user.name).env("LOGNAME", &user.name);
    }
    let (pid_fd, gate_fd) = (pid_write.as_raw_fd(), gate_read.as_raw_fd());
    // SAFETY: the closure runs between fork and exec and makes only system calls on plain values that it owns.
    unsafe {
        command.pre_exec(move || {
            report_pid_and_wait(pid_fd, gate_fd)?;
            user.as_ref().map_or(Ok(()), InvokingUser::become_user)
        });
    }
    let spawn = std::thread::Builder::new()
        .name("goflow-spawn".into())
        .spawn(move || {
            let child = command.spawn();
            // The pipe ends live until the child has its copies.
            drop((pid_write, gate_read));
            child
        })
        .map_err(failed)?;
    let mut pid = [0; 4];
    match pid_read.read_exact(&mut pid) {
        Ok(()) => Ok(Waiting { pid: Pid(u32::from_ne_bytes(pid)), program: name, gate, spawn }),
        Err(error) => Err(failed(joined(spawn).err().unwrap_or(error))),
    }
}

impl Waiting {
    /// Its process id, which `exec` does not change.
    #[must_use]
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// Lets the child execute its program.
    ///
    /// # Errors
    /// `exec` failed: no such file, no permission, wrong architecture.
    pub fn start(mut self) -> Result<Child, SpawnError> {
        let opened = self.gate.write_all(&[1]);
        drop(self.gate);
        opened
            .and_then(|()| joined(self.spawn))
            .map_err(|error| SpawnError::Start { program: self.program, error })
    }
}

fn joined(spawn: JoinHandle<io::Result<Child>>) -> io::Result<Child> {
    spawn.join().unwrap_or_else(|_| Err(io::Error::other("the thread that forks has panicked")))
}

fn pipe() -> io::Result<(std::fs::File, std::fs::File)> {
    let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    Ok((read.into(), write.into()))
}

/// In the child: only async-signal-safe calls. A closed gate means that goflow has died or given up.
fn report_pid_and_wait(pid_fd: RawFd, gate_fd: RawFd) -> io::Result<()> {
    // SAFETY: both descriptors were open at fork and nobody in the child closes them.
    let (mut pid_write, mut gate) = unsafe {
        (
            std::mem::ManuallyDrop::new(std::fs::File::from(OwnedFd::from_raw_fd(pid_fd))),
            std::mem::ManuallyDrop::new(std::fs::File::from(OwnedFd::from_raw_fd(gate_fd))),
        )
    };
    pid_write.write_all(&std::process::id().to_ne_bytes())?;
    let mut go = [0];
    if gate.read(&mut go)? == 1 { Ok(()) } else { Err(io::Error::from_raw_os_error(libc::ECANCELED)) }
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
    fn from_environment() -> Option<Self> {
        let number = |name| std::env::var(name).ok()?.parse::<u32>().ok();
        let uid = number("SUDO_UID").filter(|&uid| uid != 0)?;
        let gid = number("SUDO_GID")?;
        if !rustix::process::geteuid().is_root() {
            return None;
        }
        let name = std::env::var_os("SUDO_USER")?;
        let home = home_of(uid).unwrap_or_else(|| "/".into());
        let groups = groups_of(&name, gid);
        Some(Self { uid, gid, groups, name, home })
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

    #[test]
    fn a_user_has_a_home_and_groups_and_an_unknown_one_has_what_is_known() {
        assert_eq!(home_of(0).unwrap(), "/root");
        assert!(groups_of("root".as_ref(), 7).contains(&0));
        assert_eq!(home_of(4_000_000_000), None);
        assert_eq!(groups_of("no-such-user-here".as_ref(), 7), [7]);
    }
}
