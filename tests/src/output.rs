//! What a process prints, collected by a thread so that the process never blocks on a full pipe.

use std::io::Read;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// A pipe that is being read.
pub(crate) struct Output {
    shared: Arc<Shared>,
    reader: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    bytes: Vec<u8>,
    closed: bool,
}

impl Output {
    /// Starts to read `pipe`.
    pub(crate) fn of(mut pipe: impl Read + Send + 'static) -> Self {
        let shared = Arc::new(Shared::default());
        let theirs = Arc::clone(&shared);
        let reader = std::thread::spawn(move || {
            let mut chunk = vec![0; 1 << 16];
            loop {
                let read = match pipe.read(&mut chunk) {
                    Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                    Ok(read) => read,
                    Err(_) => 0,
                };
                let mut state = theirs.state.lock().unwrap_or_else(PoisonError::into_inner);
                state.bytes.extend_from_slice(&chunk[..read]);
                state.closed = read == 0;
                theirs.changed.notify_all();
                if state.closed {
                    return;
                }
            }
        });
        Self { shared, reader: Some(reader) }
    }

    /// The line that starts at byte `from`, without its line feed, and where the next one starts.
    pub(crate) fn line_at(&self, from: usize, limit: Duration) -> Result<(String, usize)> {
        let deadline = Instant::now() + limit;
        let mut state = self.shared.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(length) = state.bytes[from..].iter().position(|byte| *byte == b'\n') {
                let line = String::from_utf8_lossy(&state.bytes[from..from + length]).into_owned();
                return Ok((line, from + length + 1));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if state.closed || left.is_zero() {
                let got = String::from_utf8_lossy(&state.bytes[from..]).into_owned();
                let why = if state.closed { "the output ended" } else { "no line in time" };
                bail!("{why}; what there is after byte {from}: {got:?}");
            }
            state = self
                .shared
                .changed
                .wait_timeout(state, left)
                .map_or_else(|poisoned| poisoned.into_inner().0, |(state, _)| state);
        }
    }

    /// What was printed so far.
    pub(crate) fn so_far(&self) -> Vec<u8> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner).bytes.clone()
    }

    /// Everything, once the writer has closed its end. The caller knows that the process has ended; a descendant that
    /// still holds the pipe is not waited for longer than a second.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        let deadline = Instant::now() + Duration::from_secs(1);
        let mut state = self.shared.state.lock().unwrap_or_else(PoisonError::into_inner);
        while !state.closed && Instant::now() < deadline {
            state = self
                .shared
                .changed
                .wait_timeout(state, Duration::from_millis(50))
                .map_or_else(|poisoned| poisoned.into_inner().0, |(state, _)| state);
        }
        if state.closed {
            self.reader.take();
        }
        std::mem::take(&mut state.bytes)
    }
}
