//! The local socket by which a running trace is asked and changed (`goflow ctl`): its end in the trace.
//!
//! In: connections of the socket's owner and of root; out: [`Command`]s for control, one after the other, and its answers as
//! responses. It refuses every other user, a line that is too long, and more than a few connections at a time. The hard thing
//! is that whoever connects may do anything: write half a line, or nothing, or not read. So the thread waits for nobody, each
//! connection has a moment by which it must have done its part, and control only ever sees whole commands.

mod client;
mod message;
mod place;

use self::place::{Directory, user, user_behind};
use crossbeam_channel::{Receiver, Sender, bounded};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

pub use self::client::{Found, ask, sessions};
pub use self::message::{Command, LevelStatus, Outcome, Refusal, Report, Status};
pub use self::place::{PlaceError, VARIABLE};

use self::message::{LONGEST_REQUEST, Response};

/// Connections at a time; others wait in the kernel.
const MOST: usize = 8;

/// By then a request must be whole, and a response read.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long nobody is let in where nobody can be, for want of descriptors.
const PAUSE: Duration = Duration::from_secs(1);

/// The socket of this process, and the thread behind it. Dropping it removes the socket.
pub(super) struct Server {
    /// Ends the thread by its end. From here to there a byte means an answer, from there to here a command.
    bell: Option<UnixStream>,
    commands: Receiver<Command>,
    answers: Sender<Outcome>,
    thread: Option<JoinHandle<()>>,
    directory: Directory,
}

impl Server {
    /// Makes the socket; `None` where that cannot be, which is no reason not to trace.
    pub(super) fn start() -> Option<Self> {
        match Self::try_start() {
            Ok(server) => Some(server),
            Err(error) if error.downcast_ref().is_some_and(PlaceError::is_usual) => {
                tracing::info!("goflow ctl cannot reach this trace: {error}");
                None
            }
            Err(error) => {
                tracing::warn!("goflow ctl cannot reach this trace: {error}");
                None
            }
        }
    }

    fn try_start() -> anyhow::Result<Self> {
        let directory = Directory::make(&place::own()?)?;
        // What others have left.
        directory.sessions()?;
        let (bell, theirs) = UnixStream::pair()?;
        bell.set_nonblocking(true)?;
        theirs.set_nonblocking(true)?;
        let (command, commands) = bounded(1);
        let (answers, answered) = bounded(1);
        let listener = directory
            .listen()
            .map_err(|error| PlaceError::Unusable { path: directory.path().to_owned(), error })?;
        let desk = Desk::new(listener, theirs, command, answered);
        let thread = thread::Builder::new().name("goflow-ctl".into()).spawn(move || desk.run());
        let thread = thread.inspect_err(|_| directory.unlisten())?;
        Ok(Self { bell: Some(bell), commands, answers, thread: Some(thread), directory })
    }

    /// What becomes readable when there is a command to [`Server::take`].
    pub(super) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.bell.as_ref().map(AsFd::as_fd)
    }

    /// What somebody wants. Whoever takes it gives an answer before taking another.
    pub(super) fn take(&mut self) -> Option<Command> {
        if let Ok(0) = self.bell.as_mut()?.read(&mut [0; 16]) {
            // The thread is gone, and would be readable for ever.
            self.bell = None;
        }
        self.commands.try_recv().ok()
    }

    /// Answers what was taken last.
    pub(super) fn answer(&mut self, outcome: Outcome) {
        // Where the thread is gone nobody waits for it.
        let _ = self.answers.try_send(outcome);
        if let Some(bell) = &mut self.bell {
            let _ = bell.write(&[1]);
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Before the thread ends: who connects now finds nobody.
        self.directory.unlisten();
        self.bell = None;
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::warn!("the thread for goflow ctl panicked; this is a defect of goflow");
        }
    }
}

/// The thread: who is there, and how far each is.
struct Desk {
    listener: UnixListener,
    bell: UnixStream,
    commands: Sender<Command>,
    answers: Receiver<Outcome>,
    connections: Vec<Connection>,
    /// Control has a command and has not answered.
    is_busy: bool,
    /// Nobody is let in before this moment.
    opens: Instant,
}

/// Somebody who may ask.
struct Connection {
    stream: UnixStream,
    received: Vec<u8>,
    state: State,
    /// By then it must have done its part.
    deadline: Instant,
}

enum State {
    /// It writes a request.
    Asks,
    /// Control has others to answer first.
    Waits(Command),
    /// Control has its command.
    IsServed,
    /// It reads the response: what is left of it, and whether it may ask again.
    IsTold { rest: Vec<u8>, may_go_on: bool },
    /// It is to be closed.
    Left,
}

impl Desk {
    fn new(
        listener: UnixListener,
        bell: UnixStream,
        commands: Sender<Command>,
        answers: Receiver<Outcome>,
    ) -> Self {
        Self {
            listener,
            bell,
            commands,
            answers,
            connections: Vec::new(),
            is_busy: false,
            opens: Instant::now(),
        }
    }

    /// The thread's body: until control has dropped its end.
    fn run(mut self) {
        while self.turn() {}
        let ending = Refusal::plain("the trace has ended");
        for connection in self.connections.iter_mut().filter(|connection| connection.is_pending()) {
            connection.tell(Outcome::Error(ending.clone()), false);
            connection.write();
        }
    }

    /// Waits until something can be done, and does it; false when it is over.
    fn turn(&mut self) -> bool {
        let now = Instant::now();
        let is_open = self.connections.len() < MOST && now >= self.opens;
        let mut polled = vec![PollFd::new(&self.bell, PollFlags::IN)];
        let door = if is_open { PollFlags::IN } else { PollFlags::empty() };
        polled.push(PollFd::new(&self.listener, door));
        polled.extend(self.connections.iter().map(|one| PollFd::new(&one.stream, one.wants())));
        let timeout = self.timeout(now);
        if poll(&mut polled, timeout.as_ref()).is_err() {
            return true;
        }
        let events: Vec<PollFlags> = polled.iter().map(PollFd::revents).collect();
        if !events[0].is_empty() && !self.hear() {
            return false;
        }
        for (connection, events) in self.connections.iter_mut().zip(&events[2..]) {
            connection.advance(*events);
        }
        if !events[1].is_empty() {
            self.admit();
        }
        let now = Instant::now();
        self.connections.iter_mut().for_each(|connection| connection.hurry(now));
        self.connections.retain(|connection| !matches!(connection.state, State::Left));
        self.serve();
        true
    }

    /// Until the first has run out of time; for ever where nobody can.
    fn timeout(&self, now: Instant) -> Option<Timespec> {
        let deadlines = self.connections.iter().filter(|one| one.is_its_turn()).map(|one| one.deadline);
        let opens = (self.opens > now).then_some(self.opens);
        let next = deadlines.chain(opens).min()?.saturating_duration_since(now);
        Some(Timespec { tv_sec: next.as_secs() as i64, tv_nsec: i64::from(next.subsec_nanos()) })
    }

    /// What control has to say; false when it has gone.
    fn hear(&mut self) -> bool {
        match self.bell.read(&mut [0; 16]) {
            Ok(0) => return false,
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => return false,
            Ok(_) | Err(_) => {}
        }
        if let Ok(outcome) = self.answers.try_recv() {
            // Nobody is there if whoever asked has gone meanwhile.
            let served = self.connections.iter_mut().find(|one| matches!(one.state, State::IsServed));
            if let Some(connection) = served {
                connection.tell(outcome, true);
            }
            self.is_busy = false;
        }
        true
    }

    fn admit(&mut self) {
        match self.listener.accept() {
            Ok((stream, _)) => self.connections.extend(Connection::new(stream)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => {
                tracing::info!(%error, "somebody who wants to ask cannot be let in");
                self.opens = Instant::now() + PAUSE;
            }
        }
    }

    /// Gives control the next command, one at a time.
    fn serve(&mut self) {
        if self.is_busy {
            return;
        }
        for connection in &mut self.connections {
            let State::Waits(command) = connection.state else { continue };
            if self.commands.try_send(command).is_ok() {
                connection.state = State::IsServed;
                self.is_busy = true;
                let _ = self.bell.write(&[1]);
            }
            return;
        }
    }
}

impl Connection {
    /// `None` when that failed.
    fn new(stream: UnixStream) -> Option<Self> {
        stream.set_nonblocking(true).ok()?;
        let mut connection =
            Self { received: Vec::new(), state: State::Asks, deadline: Instant::now() + PATIENCE, stream };
        match user_behind(&connection.stream) {
            // Root may do more than that anyway.
            Ok(0) => {}
            Ok(owner) if owner == user() => {}
            // The mode of the directory keeps them out; this holds where somebody has changed that.
            Ok(_) | Err(_) => {
                let refusal = Refusal::plain("only the user who traces may ask, and root");
                connection.tell(Outcome::Error(refusal), false);
            }
        }
        Some(connection)
    }

    /// What it is waited for to do.
    fn wants(&self) -> PollFlags {
        match self.state {
            State::Asks => PollFlags::IN,
            State::IsTold { .. } => PollFlags::OUT,
            State::Waits(_) | State::IsServed | State::Left => PollFlags::empty(),
        }
    }

    /// It has a part to do, and not control.
    fn is_its_turn(&self) -> bool {
        matches!(self.state, State::Asks | State::IsTold { .. })
    }

    /// It has asked and has no answer.
    fn is_pending(&self) -> bool {
        matches!(self.state, State::Waits(_) | State::IsServed)
    }

    fn advance(&mut self, events: PollFlags) {
        if events.is_empty() {
            return;
        }
        match self.state {
            State::Asks => self.read(),
            State::IsTold { .. } => self.write(),
            // It has gone, or fails.
            State::Waits(_) | State::IsServed => self.state = State::Left,
            State::Left => {}
        }
    }

    fn hurry(&mut self, now: Instant) {
        if self.is_its_turn() && now >= self.deadline {
            self.state = State::Left;
        }
    }

    fn read(&mut self) {
        let mut bytes = [0; LONGEST_REQUEST];
        match self.stream.read(&mut bytes) {
            Ok(0) => self.state = State::Left,
            Ok(count) => {
                self.received.extend_from_slice(&bytes[..count]);
                self.understand();
            }
            Err(error) if is_for_now(&error) => {}
            Err(_) => self.state = State::Left,
        }
    }

    /// Takes the next request out of what was received, if it is whole.
    fn understand(&mut self) {
        let end = self.received.iter().position(|byte| *byte == b'\n');
        match end {
            Some(end) if end < LONGEST_REQUEST => {
                let line: Vec<u8> = self.received.drain(..=end).collect();
                match message::command(&line[..end]) {
                    Ok(command) => self.state = State::Waits(command),
                    Err(refusal) => self.tell(Outcome::Error(refusal), false),
                }
            }
            None if self.received.len() < LONGEST_REQUEST => {}
            Some(_) | None => {
                let text = format!("the request is longer than {LONGEST_REQUEST} bytes");
                self.tell(Outcome::Error(Refusal::plain(text)), false);
            }
        }
    }

    fn tell(&mut self, outcome: Outcome, may_go_on: bool) {
        self.state = State::IsTold { rest: Response::of(outcome).line(), may_go_on };
        self.deadline = Instant::now() + PATIENCE;
    }

    fn write(&mut self) {
        let State::IsTold { rest, may_go_on } = &mut self.state else { return };
        match self.stream.write(rest) {
            Ok(count) => _ = rest.drain(..count),
            Err(error) if is_for_now(&error) => return,
            Err(_) => return self.state = State::Left,
        }
        if !rest.is_empty() {
            return;
        }
        if *may_go_on {
            self.state = State::Asks;
            self.deadline = Instant::now() + PATIENCE;
            // The next request may have come with the last one.
            self.understand();
        } else {
            self.state = State::Left;
        }
    }
}

fn is_for_now(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::catalog::Level;
    use std::path::PathBuf;

    /// A desk behind a socket, and control's end of it.
    struct Office {
        directory: tempfile::TempDir,
        bell: UnixStream,
        commands: Receiver<Command>,
        answers: Sender<Outcome>,
        thread: JoinHandle<()>,
    }

    impl Office {
        fn open() -> Self {
            let directory = tempfile::tempdir().unwrap();
            let listener = UnixListener::bind(directory.path().join("socket")).unwrap();
            listener.set_nonblocking(true).unwrap();
            let (bell, theirs) = UnixStream::pair().unwrap();
            theirs.set_nonblocking(true).unwrap();
            let ((command, commands), (answers, answered)) = (bounded(1), bounded(1));
            let desk = Desk::new(listener, theirs, command, answered);
            Self { directory, bell, commands, answers, thread: thread::spawn(move || desk.run()) }
        }

        fn path(&self) -> PathBuf {
            self.directory.path().join("socket")
        }

        fn connect(&self) -> UnixStream {
            let stream = UnixStream::connect(self.path()).unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            stream
        }

        fn take(&self) -> Command {
            self.commands.recv_timeout(Duration::from_secs(20)).unwrap()
        }

        fn answer(&mut self, text: &str) {
            self.answers.send(Outcome::Error(Refusal::plain(text))).unwrap();
            self.bell.write_all(&[1]).unwrap();
        }
    }

    fn answer_of(stream: &mut UnixStream) -> String {
        let mut bytes = [0; 4096];
        let count = stream.read(&mut bytes).unwrap();
        String::from_utf8(bytes[..count].to_vec()).unwrap()
    }

    const BLOCKING: Command = Command::Level { level: Level::Blocking };

    #[test]
    fn control_gets_whole_commands_one_after_the_other_and_each_who_asked_its_own_answer() {
        let mut office = Office::open();
        let (mut slow, mut quick) = (office.connect(), office.connect());
        let line = Command::Status.line();
        slow.write_all(&line[..7]).unwrap();
        quick.write_all(&BLOCKING.line()).unwrap();
        assert_eq!(office.take(), BLOCKING);
        slow.write_all(&line[7..]).unwrap();
        thread::sleep(Duration::from_millis(50));
        assert!(office.commands.is_empty(), "control has not answered yet");
        office.answer("quick");
        assert!(answer_of(&mut quick).contains("quick"));
        assert_eq!(office.take(), Command::Status);
        office.answer("slow");
        assert!(answer_of(&mut slow).contains("slow"));
        // Whoever has been answered may ask again.
        quick.write_all(&line).unwrap();
        assert_eq!(office.take(), Command::Status);
        // And whoever waits when the trace ends is told so.
        drop(office.bell);
        assert!(answer_of(&mut quick).contains("has ended"));
        office.thread.join().unwrap();
    }

    #[test]
    fn the_answer_to_somebody_who_has_left_is_nobody_elses() {
        let mut office = Office::open();
        let mut leaves = office.connect();
        leaves.write_all(&BLOCKING.line()).unwrap();
        assert_eq!(office.take(), BLOCKING);
        drop(leaves);
        let mut stays = office.connect();
        stays.write_all(&Command::Status.line()).unwrap();
        thread::sleep(Duration::from_millis(50));
        office.answer("to whom it may concern");
        assert_eq!(office.take(), Command::Status);
        office.answer("here");
        assert!(answer_of(&mut stays).contains("here"));
        drop(office.bell);
        office.thread.join().unwrap();
    }

    #[test]
    fn who_does_nothing_is_hung_up_on_and_keeps_nobody_out() {
        let mut office = Office::open();
        let mut idle: Vec<UnixStream> = (0..MOST).map(|_| office.connect()).collect();
        let mut late = office.connect();
        late.write_all(&Command::Status.line()).unwrap();
        assert_eq!(office.take(), Command::Status);
        office.answer("at last");
        assert!(answer_of(&mut late).contains("at last"));
        for stream in &mut idle {
            assert_eq!(answer_of(stream), "");
        }
        drop(office.bell);
        office.thread.join().unwrap();
    }
}
