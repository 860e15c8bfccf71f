//! The harness of goflow's integration tests: real Go programs, the real binary, real processes.
//!
//! In: Go sources in `tests/programs/` and a built `goflow`; out: what it printed, in types, checked for its form.
//! It mocks nothing, and whatever it starts it ends: every wait has a deadline and every process dies with its handle.
//! [`programs`] builds and caches, [`services`] has what others ship, [`target`] runs a program, [`goflow`] runs the tool, [`stream`] is the JSON contract, [`http`] asks servers,
//! [`script`] compares what goflow saw with what a program says it did, [`causality`] with what holds for every program,
//! [`stalls`] tells what the machine itself held up.

pub mod http;
pub mod programs;
pub mod recorder;

pub mod services;

pub mod target;
pub mod truth;

pub mod stream;

pub mod goflow;

pub mod script;
pub mod stalls;
pub mod stats;

pub mod causality;
pub mod corpus;

mod output;

use std::path::PathBuf;
use std::process::{Child, ExitStatus};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// How long anything that should be quick may take on a machine that is busy with other tests.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The root of the repository.
#[must_use]
pub fn repository() -> PathBuf {
    let crate_dir = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    crate_dir.parent().map_or(crate_dir.clone(), PathBuf::from)
}

/// goflow's cache: `$GOFLOW_CACHE`, else `$XDG_CACHE_HOME/goflow`, else `~/.cache/goflow`.
///
/// # Errors
/// None of these variables is set.
pub fn cache_dir() -> Result<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let user_cache = || set("XDG_CACHE_HOME").or_else(|| set("HOME").map(|home| home.join(".cache")));
    set("GOFLOW_CACHE")
        .or_else(|| user_cache().map(|cache| cache.join("goflow")))
        .context("none of GOFLOW_CACHE, XDG_CACHE_HOME and HOME is set: there is no place for the cache")
}

/// A function's name as the runtime prints it: since Go 1.21 it shortens type arguments (runtime/traceback.go
/// `funcNameForPrint`), before that the function table had them shortened already; ELF symbols never have.
#[must_use]
pub fn printed_name(name: &str) -> String {
    match (name.find('['), name.rfind(']')) {
        (Some(open), Some(close)) if open < close => format!("{}[...]{}", &name[..open], &name[close + 1..]),
        _ => name.to_owned(),
    }
}

/// Waits for a child to end.
///
/// # Errors
/// It is still running after `limit`; it is left running.
pub fn wait_for(child: &mut Child, limit: Duration) -> Result<ExitStatus> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if Instant::now() > deadline {
            bail!("process {} still runs after {limit:?}", child.id());
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Asks `ready` until it gives something.
///
/// # Errors
/// It fails, or gives nothing within `limit`; `what` names what was waited for.
pub fn until<T>(what: &str, limit: Duration, mut ready: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(value) = ready()? {
            return Ok(value);
        }
        if Instant::now() > deadline {
            bail!("{what}: nothing within {limit:?}");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}
