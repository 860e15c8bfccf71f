//! Each fuzz target, briefly: from its committed seeds, for `$GOFLOW_FUZZ_SECONDS` (10).
//!
//! A finding is written to `artifacts/`; give that file to the target as its only argument to see it again.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use goflow_tests::repository;
use goflow_user::target::memory::{Memory, MemoryError, Registers, Run};
use goflow_user::target::reach::{Hold, Known, Limits, Reach};
use goflow_user::target::snapshot::reader::{Reader, SnapshotError};
use goflow_user::target::snapshot::{BlockedOn, Entity, Snapshot, StackEnd, Unknown};

use fuzz::process::{BIAS, Process, VARIABLE, VERSIONS};

#[path = "../fuzz/src/lib.rs"]
#[expect(dead_code, unreachable_pub, reason = "a library of the fuzz targets, of which a part is used here")]
mod fuzz;

/// Longest input, in bytes.
const LONGEST: usize = 16_384;

/// Where the instrumented targets are; built once for all tests, in a target directory of their own.
fn executables() -> Result<PathBuf> {
    static BUILT: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let built = BUILT.get_or_init(|| build().map_err(|error| format!("{error:?}")));
    match built {
        Ok(directory) => Ok(directory.clone()),
        Err(error) => bail!("the fuzz targets do not build: {error}"),
    }
}

fn build() -> Result<PathBuf> {
    let here = repository().join("tests/fuzz");
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--release", "--quiet", "--bins", "--target-dir"]).arg(here.join("target"));
    cargo.current_dir(&here).env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS");
    let output = cargo.output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(here.join("target/x86_64-unknown-linux-gnu/release"))
}

fn withstands(target: &str) -> Result<()> {
    let here = repository().join("tests/fuzz");
    let executable = executables()?.join(target);
    let seconds = std::env::var("GOFLOW_FUZZ_SECONDS").unwrap_or_else(|_| "10".to_owned());
    let corpus = tempfile::tempdir()?;
    let artifacts = here.join("artifacts").join(target);
    std::fs::create_dir_all(&artifacts)?;
    let seeds = here.join("seeds").join(target);
    let count = std::fs::read_dir(&seeds).with_context(|| seeds.display().to_string())?.count();
    ensure!(count > 0, "no seeds in {}", seeds.display());
    let output = Command::new(executable)
        .arg(format!("-max_total_time={seconds}"))
        // Seconds for one input, and MiB. The seconds are the clock's: on a busy machine an input of 1 ms has taken 2 s.
        .args(["-seed=1", "-timeout=20", "-rss_limit_mb=512", "-malloc_limit_mb=64", "-print_final_stats=1"])
        .arg(format!("-max_len={LONGEST}"))
        .arg(format!("-artifact_prefix={}/", artifacts.display()))
        .arg(corpus.path())
        .arg(&seeds)
        .output()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success(), "{target}: {}\n{said}", output.status);
    // A target that its seeds do not lead into would pass for ever.
    let runs = said.lines().find_map(|line| line.strip_prefix("stat::number_of_executed_units: "));
    let runs: u64 = runs.context("no statistics")?.trim().parse()?;
    ensure!(runs > 100, "{target}: only {runs} runs in {seconds} s\n{said}");
    Ok(())
}

#[test]
fn an_elf_file() -> Result<()> {
    withstands("elf")
}

#[test]
fn a_build_info() -> Result<()> {
    withstands("buildinfo")
}

#[test]
fn a_function_table() -> Result<()> {
    withstands("pclntab")
}

#[test]
fn debug_information() -> Result<()> {
    withstands("dwarf_offsets")
}

#[test]
fn instructions() -> Result<()> {
    withstands("probe_site")
}

#[test]
fn ring_records() -> Result<()> {
    withstands("ring_records")
}

#[test]
fn the_memory_of_a_process() -> Result<()> {
    withstands("snapshot")
}

#[test]
fn the_heap_and_the_stacks_of_a_process() -> Result<()> {
    withstands("reach")
}

fn process_of_seed(target: &str, name: &str) -> Result<Process> {
    let seed = repository().join("tests/fuzz/seeds").join(target).join(name);
    let seed = std::fs::read(&seed).with_context(|| seed.display().to_string())?;
    ensure!(seed.len() <= LONGEST, "{} bytes, and the fuzzer takes {LONGEST}", seed.len());
    Process::of(&seed).context("too short")
}

fn snapshot_of_seed(name: &str) -> Result<Snapshot> {
    let process = process_of_seed("snapshot", name)?;
    Ok(Reader::new(process.binary, BIAS)?.take(&process.memory, process.options)?)
}

/// Spans, stacks by the compiler's maps, a variable, a timer, a finalizer and held locks: what is wrong about one of them makes
/// another goroutine one that nobody can wake, or one that somebody can.
#[test]
fn the_seeds_of_reach_lead_to_everything_by_which_somebody_is_reached() -> Result<()> {
    for version in VERSIONS {
        let process = process_of_seed("reach", version)?;
        let mut reader = Reader::new(process.binary, BIAS)?;
        let snapshot = reader.take(&process.memory, process.options)?;
        let limits = Limits { bytes: 1 << 20, until: None };
        let mut known = Known::new(process.binary, BIAS);
        let reach = Reach::of(&reader, &process.memory, &snapshot, &mut known, limits);
        let reach = reach.with_context(|| version.to_owned())?;
        let said = || format!("{version}: {reach:#?}\n{snapshot:#?}");
        ensure!(snapshot.goroutines.len() == 9 && snapshot.dead == 1, "{}", said());
        let stranded = |by_lock| {
            let of = reach.unreachable.iter().filter(move |one| one.by_lock == by_lock);
            of.map(|one| one.goid.0).collect::<Vec<_>>()
        };
        // The last waits for a variable, a lock that the first has for certain.
        ensure!((stranded(false), stranded(true)) == (vec![2, 5], vec![6]), "{}", said());
        ensure!(!reach.is_asleep && reach.objects > 0, "{}", said());
        // The first of them has the lock that the second waits for, and the variable that one waits for who can be reached.
        ensure!(reach.unreachable[0].leads_to.len() == 1, "{}", said());
        let lock = reach.unreachable[0].leads_to[0];
        let has = |hold: &Hold, certain| hold.goid.0 == 2 && hold.is_certain == certain && !hold.is_shared;
        ensure!(reach.holds.iter().any(|hold| has(hold, false) && hold.address == lock), "{}", said());
        ensure!(reach.holds.iter().any(|hold| has(hold, true) && hold.address.0 == VARIABLE), "{}", said());
    }
    Ok(())
}

/// The seeds have one goroutine that runs, whose thread has registers that lead nowhere.
fn unknown_but_where_one_runs(snapshot: &Snapshot) -> Result<Vec<&Unknown>> {
    let (runs, others): (Vec<_>, Vec<_>) = snapshot.unknown.iter().partition(|unknown| {
        matches!(unknown.what, Entity::StackOf(_)) && unknown.why.starts_with("it runs")
    });
    ensure!(runs.len() == 1, "{:#?}", snapshot.unknown);
    Ok(others)
}

#[test]
fn the_seeds_of_the_snapshot_lead_to_everything_that_is_read() -> Result<()> {
    for version in VERSIONS {
        let snapshot = snapshot_of_seed(version).with_context(|| version.to_owned())?;
        let said = || format!("{version}: {snapshot:#?}");
        ensure!(unknown_but_where_one_runs(&snapshot)?.is_empty(), "{}", said());
        ensure!((snapshot.goroutines.len(), snapshot.dead) == (20, 1), "{}", said());
        let on = |wanted: fn(BlockedOn) -> bool| {
            let waits = snapshot.goroutines.iter().flat_map(|goroutine| &goroutine.blocked_on);
            waits.filter(|blocked| wanted(blocked.on) && blocked.address.is_some()).count()
        };
        // Four that wait at one channel each, and one that selects between two.
        ensure!(on(|on| on == BlockedOn::Channel) == 6, "{}", said());
        ensure!(on(|on| on == BlockedOn::Timer) == 1, "{}", said());
        ensure!(on(|on| on == BlockedOn::Descriptor(7)) == 1, "{}", said());
        ensure!(on(BlockedOn::is_sync) == 7, "{}", said());
        let queues: Vec<_> =
            snapshot.channels.iter().map(|it| (it.senders.len(), it.receivers.len())).collect();
        ensure!(queues == [(0, 3), (2, 0), (0, 1)], "{}", said());
        let has_timers = version >= "go1.23";
        ensure!(snapshot.channels.iter().any(|channel| channel.timer.is_some()) == has_timers, "{}", said());
        let waiters: Vec<_> = snapshot.sync.iter().map(|object| object.waiters.len()).collect();
        ensure!(waiters.len() == 6 && waiters.iter().sum::<usize>() == 7, "{}", said());
        let stacks = snapshot.goroutines.iter().filter(|it| it.stack.end == StackEnd::Complete).count();
        // Nobody walks the stack of the one that runs, or of the one that is only made.
        ensure!(stacks == 18, "{stacks} whole stacks in {}", said());
        ensure!(snapshot.goroutines.iter().map(|it| it.labels.len()).sum::<usize>() == 1, "{}", said());
        ensure!(snapshot.goroutines.iter().any(|it| it.tid == Some(4242) && it.p == Some(0)), "{}", said());
    }
    Ok(())
}

#[test]
fn the_seed_that_leads_in_circles_is_read_as_far_as_it_makes_sense() -> Result<()> {
    let snapshot = snapshot_of_seed("cycles")?;
    let unknown = |wanted: fn(Entity) -> bool| snapshot.unknown.iter().any(|unknown| wanted(unknown.what));
    ensure!(snapshot.goroutines.len() == 20, "{snapshot:#?}");
    ensure!(unknown(|what| matches!(what, Entity::Threads)), "{:#?}", snapshot.unknown);
    ensure!(unknown(|what| matches!(what, Entity::WaitOf(_))), "{:#?}", snapshot.unknown);
    ensure!(snapshot.goroutines.iter().any(|it| it.stack.end == StackEnd::Broken), "{snapshot:#?}");
    Ok(())
}

#[test]
fn of_two_goroutines_with_one_id_nothing_is_told_but_that_they_contradict_each_other() -> Result<()> {
    let snapshot = snapshot_of_seed("one-id-twice")?;
    ensure!((snapshot.goroutines.len(), snapshot.dead) == (16, 1), "{snapshot:#?}");
    let unknown = unknown_but_where_one_runs(&snapshot)?;
    let contradictions =
        unknown.iter().filter(|unknown| matches!(unknown.what, Entity::Goroutine(_, Some(_))));
    ensure!(contradictions.count() == 4 && unknown.len() == 4, "{:#?}", snapshot.unknown);
    // All but the one that waits for the timer's.
    let waiters = snapshot.channels.iter().map(|it| it.senders.len() + it.receivers.len());
    ensure!(waiters.collect::<Vec<_>>() == [1], "{:#?}", snapshot.channels);
    Ok(())
}

/// Memory for which the time is over after so many reads.
struct Hasty<'m> {
    memory: &'m dyn Memory,
    left: Cell<usize>,
}

impl Memory for Hasty<'_> {
    fn registers(&self, tid: u64) -> Option<Registers> {
        self.memory.registers(tid)
    }

    fn stands_still(&self) -> bool {
        self.memory.stands_still()
    }

    fn read_runs(&self, runs: &mut [Run<'_>]) -> Result<(), MemoryError> {
        let left = self.left.get().checked_sub(1).ok_or(MemoryError::OutOfTime(Duration::from_secs(1)))?;
        self.left.set(left);
        self.memory.read_runs(runs)
    }
}

/// Wherever it happens: either nothing is known, or what is there is right and the rest is told to be missing.
#[test]
fn a_snapshot_that_runs_out_of_time_says_what_is_missing() -> Result<()> {
    let seed = std::fs::read(repository().join("tests/fuzz/seeds/snapshot/go1.26.8"))?;
    let process = Process::of(&seed).context("too short")?;
    // The reader keeps its room from one to the next.
    let mut reader = Reader::new(process.binary, BIAS)?;
    let whole = reader.take(&process.memory, process.options)?;
    let (mut refused, mut cut, mut missing) = (0, 0, BTreeSet::new());
    for reads in 0.. {
        let memory = Hasty { memory: &process.memory, left: Cell::new(reads) };
        let snapshot = match reader.take(&memory, process.options) {
            Ok(snapshot) => snapshot,
            Err(SnapshotError::Memory(MemoryError::OutOfTime(_))) => {
                ensure!(cut == 0, "an error after {reads} reads, and less was enough before");
                refused += 1;
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        let Some(why) = snapshot.cut_short() else {
            ensure!(snapshot.goroutines == whole.goroutines && snapshot.channels == whole.channels);
            break;
        };
        cut += 1;
        ensure!(why.contains("ended after 1s: "), "{why}");
        missing.insert(why.to_owned());
        for goroutine in &snapshot.goroutines {
            let twin = whole.goroutines.iter().find(|twin| twin.goid == goroutine.goid);
            let twin = twin.with_context(|| format!("{goroutine:?} does not exist"))?;
            ensure!((goroutine.state, goroutine.created) == (twin.state, twin.created), "{goroutine:?}");
            let is_cut = goroutine.stack.end == StackEnd::NotRead && goroutine.blocked_on.is_empty();
            ensure!(is_cut || goroutine == twin, "neither cut nor whole: {goroutine:?}");
        }
        for channel in &snapshot.channels {
            ensure!(whole.channels.iter().any(|twin| twin.address == channel.address), "{channel:?}");
        }
        let unread = whole.goroutines.len() - snapshot.goroutines.len();
        let told: usize = why.split(' ').nth(5).unwrap_or_default().parse().unwrap_or(0);
        ensure!(unread <= told, "{unread} are missing, and it says: {why}");
    }
    ensure!(refused > 1 && cut > 5 && missing.len() > 2, "{refused} refused, {cut} cut: {missing:#?}");
    Ok(())
}
