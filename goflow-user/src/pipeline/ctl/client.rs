//! The end of `goflow ctl`: finds the traces that run, and asks one.
//!
//! In: a [`Command`]; out: what came of it, in whole lines of bounded length and within a bounded time, whatever is behind
//! the socket. It refuses to talk to a process of another user than the one whose directory the socket is in.

use super::message::{self, Command, LONGEST_RESPONSE, Outcome};
use super::place::{self, Directory, PlaceError, user_behind};
use crate::advice::Advise as _;
use anyhow::{Context as _, anyhow};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A trace that can be asked.
#[derive(Clone, Debug)]
pub struct Found {
    /// The goflow that traces.
    pub pid: u32,
    directory: Arc<Directory>,
}

/// The traces that run and that this user may ask, by pid. Sockets that nobody is behind are removed.
///
/// # Errors
/// The directory of sockets is not to be trusted, or cannot be read.
pub fn sessions() -> Result<Vec<Found>, PlaceError> {
    let mut found = match place::own().and_then(|path| Directory::open(&path, place::user())) {
        Ok(directory) => of_directory(directory)?,
        Err(error) if error.is_usual() => {
            tracing::info!("no trace of this user's: {error}");
            Vec::new()
        }
        Err(error) => return Err(error),
    };
    for (path, user) in place::others() {
        // What is wrong with another user's directory is that user's matter.
        match Directory::open(&path, user).and_then(of_directory) {
            Ok(more) => found.extend(more),
            Err(error) => tracing::debug!("no trace of user {user}: {error}"),
        }
    }
    found.sort_unstable_by_key(|session| session.pid);
    Ok(found)
}

fn of_directory(directory: Directory) -> Result<Vec<Found>, PlaceError> {
    let unusable = |error| PlaceError::Unusable { path: directory.path().to_owned(), error };
    let pids = directory.sessions().map_err(unusable)?;
    let directory = Arc::new(directory);
    Ok(pids.into_iter().map(|pid| Found { pid, directory: Arc::clone(&directory) }).collect())
}

/// Asks a trace and waits for its answer, for `patience` at most.
///
/// # Errors
/// It cannot be asked, does not answer, or answers in other words than ours.
pub fn ask(session: &Found, command: Command, patience: Duration) -> anyhow::Result<Outcome> {
    let pid = session.pid;
    let stream = session
        .directory
        .connect(pid, patience)
        .with_context(|| format!("goflow {pid} cannot be reached"))?;
    let user = user_behind(&stream).with_context(|| format!("who goflow {pid} is cannot be told"))?;
    if user != 0 && user != session.directory.owner() {
        return Err(anyhow!(
            "behind the socket of goflow {pid} is a process of user {user}, and the directory is of user {}",
            session.directory.owner()
        ));
    }
    (&stream).write_all(&command.line()).with_context(|| format!("goflow {pid} does not listen"))?;
    let line = read_line(&stream, Instant::now() + patience)
        .map_err(|error| match error.kind() {
            ErrorKind::WouldBlock | ErrorKind::TimedOut => {
                anyhow!("goflow {pid} has not answered in {}", humantime::format_duration(patience))
            }
            ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset => {
                anyhow!("goflow {pid} has ended before it answered")
            }
            _ => anyhow!(error).context(format!("goflow {pid} has not answered")),
        })
        .or_else(|error| Err(error).advise(|| format!("how it is tells `ps -o stat,args -p {pid}`")))?;
    message::outcome(&line)
        .map_err(|error| anyhow!("goflow {pid} was not understood: {error}"))
        .or_else(|error| Err(error).advise(|| "use the same goflow for both"))
}

/// Without its line feed. Whoever sends a byte now and then does not get more time for it.
fn read_line(mut stream: &UnixStream, deadline: Instant) -> io::Result<Vec<u8>> {
    let (mut line, mut bytes) = (Vec::new(), [0; 4096]);
    while line.len() < LONGEST_RESPONSE {
        let left = deadline.saturating_duration_since(Instant::now());
        // No time at all would be taken for any.
        stream.set_read_timeout(Some(left.max(Duration::from_millis(1))))?;
        let count = match stream.read(&mut bytes) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        line.extend_from_slice(&bytes[..count]);
        if let Some(end) = line.iter().position(|byte| *byte == b'\n') {
            line.truncate(end);
            return Ok(line);
        }
        if left.is_zero() {
            return Err(ErrorKind::TimedOut.into());
        }
    }
    Err(io::Error::other(format!("its answer is longer than {LONGEST_RESPONSE} bytes")))
}
