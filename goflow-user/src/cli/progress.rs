//! A line on the terminal that tells that something goes on, while a process is looked at.
//!
//! In: looks, and what they read; out: a line on standard error that is written over, from the first second on, where that is a
//! terminal that can. It is written by a thread of its own, because one look at gigabytes takes many seconds.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

use super::output::can_write_over;
use crate::sink::pretty::CLEAR_LINE;
use crate::target::memory::Pulse;

/// What takes less needs none.
const PATIENCE: Duration = Duration::from_secs(1);

/// From one line to the next.
const PACE: Duration = Duration::from_millis(250);

/// While it lives, the line is shown.
pub(super) struct Progress {
    looks: Arc<AtomicU32>,
    writer: Option<(Sender<()>, JoinHandle<()>)>,
}

impl Progress {
    /// Of looks that go on for `duration`, if that is known, and whose reads show on `pulse`.
    pub(super) fn of(duration: Option<Duration>, pulse: &Pulse) -> Self {
        let looks = Arc::<AtomicU32>::default();
        let writer = can_write_over(&io::stderr()).then(|| {
            let (end, over) = bounded(0);
            let shown = Shown { looks: Arc::clone(&looks), pulse: pulse.clone(), duration };
            let writer = thread::Builder::new().name("goflow-progress".into());
            // Without a thread there is no line, which is all.
            writer.spawn(move || shown.write(&over)).ok().map(|writer| (end, writer))
        });
        Self { looks, writer: writer.flatten() }
    }

    /// Another look is over.
    pub(super) fn looked(&self) {
        self.looks.fetch_add(1, Ordering::Relaxed);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some((end, writer)) = self.writer.take() {
            drop(end);
            let _ = writer.join();
        }
    }
}

struct Shown {
    looks: Arc<AtomicU32>,
    pulse: Pulse,
    duration: Option<Duration>,
}

impl Shown {
    /// Until the other end is dropped.
    fn write(&self, over: &Receiver<()>) {
        let (began, mut pause, mut has_written) = (Instant::now(), PATIENCE, false);
        while over.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
            let looks = self.looks.load(Ordering::Relaxed);
            let line = line(began.elapsed(), self.duration, looks, self.pulse.bytes_read());
            // A terminal that takes nothing is no reason to look at less.
            // The cursor is left at the start, so that whatever else is written goes over it.
            let _ = write!(io::stderr(), "{CLEAR_LINE}{line}\r");
            (pause, has_written) = (PACE, true);
        }
        if has_written {
            let _ = write!(io::stderr(), "{CLEAR_LINE}");
        }
    }
}

fn line(elapsed: Duration, duration: Option<Duration>, looks: u32, bytes: u64) -> String {
    let seconds = elapsed.as_secs();
    let time = match duration.filter(|duration| elapsed < *duration) {
        Some(duration) => format!("{seconds} of {} s", duration.as_secs_f64()),
        // What is looked at once more, or for as long as it takes.
        None => format!("{seconds} s"),
    };
    let looks = match looks {
        0 => "at the first look".to_owned(),
        1 => "looked once".to_owned(),
        times => format!("looked {times} times"),
    };
    format!("{time}: {looks}, {} MB read", bytes >> 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_tells_how_long_it_may_take_and_what_has_been_done() {
        let told = |ms, duration, looks| line(Duration::from_millis(ms), duration, looks, 3 << 20);
        let three = Some(Duration::from_secs(3));
        assert_eq!(told(1_200, three, 0), "1 of 3 s: at the first look, 3 MB read");
        assert_eq!(told(2_900, three, 1), "2 of 3 s: looked once, 3 MB read");
        assert_eq!(told(3_100, three, 7), "3 s: looked 7 times, 3 MB read");
        assert_eq!(told(17_000, None, 0), "17 s: at the first look, 3 MB read");
    }
}
