//! `--binary PATH`: every process that runs the file, present and future, also in containers, and no other.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use goflow_tests::goflow::{Goflow, binary};
use goflow_tests::programs::{Flavour, Program, go_versions};
use goflow_tests::script::Script;
use goflow_tests::stream::Session;
use goflow_tests::target::Target;
use goflow_tests::{PATIENCE, until};
use goflow_user::target::Pid;
use goflow_user::target::executable::Executable;
use rustix::process::Signal;
use tempfile::TempDir;

/// A copy of a program, since `--binary` means every process of the file, and other tests run the cached one.
struct Copy {
    directory: TempDir,
    name: String,
}

impl Copy {
    fn of(name: &str) -> Result<Self> {
        let copy = Self { directory: TempDir::new()?, name: name.to_owned() };
        fs::copy(Program::named(name).build()?, copy.path())?;
        Ok(copy)
    }

    fn path(&self) -> std::path::PathBuf {
        self.directory.path().join(&self.name)
    }
}

fn attach(binary: &Path) -> Result<Goflow> {
    Goflow::attach(&["--binary".as_ref(), binary.as_os_str()])
}

#[test]
fn processes_present_and_later_are_covered_and_those_of_another_file_are_not() -> Result<()> {
    let (copy, other) = (Copy::of("counts")?, Copy::of("counts")?);
    let mut present = Target::start(&copy.path(), &["1"])?;
    let mut stranger = Target::start(&other.path(), &["1"])?;
    let goflow = attach(&copy.path())?;
    let mut later = Target::start(&copy.path(), &["1"])?;

    let mut scripts = Vec::new();
    for target in [&mut present, &mut later] {
        scripts.push((target.pid(), Script::parse(&target.ask()?)?));
    }
    stranger.ask()?;
    let session = goflow.stop()?;
    session.assert_nothing_lost()?;
    for event in &session.events {
        ensure!(scripts.iter().any(|(pid, _)| *pid == event.pid), "an event of a stranger: {event:?}");
    }
    // Of the later one, goflow also saw the start of its main goroutine, which is not in its script.
    let differences = scripts[0].1.differences(&session, present.pid());
    ensure!(differences.is_empty(), "present: {differences:#?}");
    let differences = scripts[1].1.differences(&session, later.pid());
    let of_main = |difference: &&String| difference.starts_with("goroutine 1:");
    ensure!(differences.iter().all(|difference| of_main(&difference)), "later: {differences:#?}");
    ensure!(session.exits.is_empty(), "both live: {:?}", session.exits);
    let cpu = session.summary.target_cpu_ns.with_context(|| format!("{:?}", session.summary))?;
    // A thousand operations and the start of a process on the one side, all CPUs all the time on the other.
    let most = session.summary.duration_ns * std::thread::available_parallelism()?.get() as u64;
    ensure!((100_000..most).contains(&cpu), "they used {cpu} ns of {most} ns");
    for target in [present, later, stranger] {
        target.assert_text_is_untouched()?;
        target.finish()?;
    }
    Ok(())
}

#[test]
fn the_end_of_one_of_several_processes_is_told_and_the_session_goes_on() -> Result<()> {
    for (scope, ended) in [("--binary", "interrupted"), ("--pid", "target exited")] {
        let copy = Copy::of("counts")?;
        let (mut first, mut last) =
            (Target::start(&copy.path(), &["1"])?, Target::start(&copy.path(), &["1"])?);
        let pids = [first.pid(), last.pid()];
        let goflow = match scope {
            "--binary" => attach(&copy.path())?,
            _ => Goflow::attach(&["--pid", &pids[0].to_string(), "--pid", &pids[1].to_string()])?,
        };
        first.ask()?;
        first.finish()?;
        let exits = || goflow.printed().matches(r#""type":"process_exit""#).count();
        until("the end of the first", PATIENCE, || Ok((exits() == 1).then_some(())))?;
        last.ask()?;
        last.finish()?;
        // Without a process that could still run, --pid ends by itself; --binary waits for more.
        let session = if scope == "--binary" {
            until("the end of the last", PATIENCE, || Ok((exits() == 2).then_some(())))?;
            goflow.stop()?
        } else {
            goflow.finish()?.session()?
        };
        session.assert_nothing_lost()?;
        ensure!(session.exits.iter().map(|exit| exit.pid).eq(pids), "{scope}: {:?}", session.exits);
        ensure!(session.summary.ended == ended, "{scope}: {}", session.summary.ended);
        ensure!(session.summary.processes.len() == 2, "{scope}: {:?}", session.summary.processes);
        for exit in &session.exits {
            let of_process = session.events.iter().filter(|event| event.pid == exit.pid);
            let last = of_process.map(|event| event.t_ns).max().context("no events")?;
            let late = exit.t_ns.checked_sub(last).context("it ended before its last event")?;
            ensure!(late < 5_000_000_000, "{scope}: its end was found {late} ns after its last event");
        }
    }
    Ok(())
}

#[test]
fn several_processes_of_different_binaries_are_traced_in_one_session() -> Result<()> {
    let oldest = Program::named("counts").go(go_versions().first().context("no Go")?).build()?;
    let newest = Program::named("counts").flavour(Flavour::Pie).build()?;
    let mut targets = Vec::new();
    for program in [&oldest, &newest, &newest] {
        targets.push(Target::start(program, &["1"])?);
    }
    let pids: Vec<String> =
        targets.iter().flat_map(|it| ["--pid".to_owned(), it.pid().to_string()]).collect();
    let goflow = Goflow::attach(&pids)?;
    let mut scripts = Vec::new();
    for target in &mut targets {
        scripts.push((target.pid(), Script::parse(&target.ask()?)?));
    }
    let session = goflow.stop()?;
    session.assert_nothing_lost()?;
    ensure!(session.metas.len() == 2, "{} meta lines for two binaries", session.metas.len());
    for (pid, script) in scripts {
        let differences = script.differences(&session, pid);
        ensure!(differences.is_empty(), "{}: {differences:#?}", script.go);
    }
    targets.into_iter().try_for_each(Target::finish)
}

#[test]
fn a_process_in_another_mount_and_pid_namespace_on_an_overlay_is_covered() -> Result<()> {
    let copy = Copy::of("short")?;
    let goflow = attach(&copy.path())?;
    // The lower layer is the directory of the binary; the container sees it as its root. The layers that are written
    // to are on a tmpfs, because an overlay cannot lie on another.
    let script = "set -e
        layers=$(mktemp -d)
        mount -t tmpfs tmpfs $layers
        mkdir $layers/upper $layers/work $layers/root
        mount -t overlay overlay -o lowerdir=$1,upperdir=$layers/upper,workdir=$layers/work $layers/root
        mkdir $layers/root/proc
        exec chroot $layers/root /short 42 100";
    let status = Command::new("unshare")
        .stdout(Stdio::null())
        .args(["--mount", "--pid", "--fork", "sh", "-c", script, "sh"])
        .arg(copy.directory.path())
        .status()
        .context("cannot run unshare")?;
    ensure!(status.success(), "the container ended with {status}");
    let session = goflow.stop()?;
    session.assert_nothing_lost()?;
    let sends = sends_by_process(&session);
    ensure!(sends.values().eq([&42]), "sends of the container: {sends:?}");
    Ok(())
}

#[test]
fn a_fork_and_exec_storm_misses_no_process() -> Result<()> {
    const SENDS: u64 = 7;
    let copy = Copy::of("forkstorm")?;
    // With fewer descriptors to start with than there are processes at a time.
    let mut limited = Command::new("prlimit");
    limited
        .arg("--nofile=100:")
        .arg(binary()?)
        .args(["trace", "--format", "json", "--binary"])
        .arg(copy.path());
    let goflow = Goflow::spawn(&mut limited)?.attached()?;
    // 1 + 6 + 36 + 216 processes that live 100 ms each.
    let output = Command::new(copy.path()).args(["3", "6", &SENDS.to_string(), "100"]).output()?;
    ensure!(output.status.success(), "the storm ended with {}", output.status);
    let pids: BTreeSet<u32> =
        String::from_utf8(output.stdout)?.lines().map(str::parse).collect::<Result<_, _>>()?;
    ensure!(pids.len() == 259, "{} processes", pids.len());
    let session = goflow.stop()?;
    session.assert_nothing_lost()?;
    let sends = sends_by_process(&session);
    let missed: Vec<&u32> = pids.iter().filter(|pid| !sends.contains_key(pid)).collect();
    ensure!(missed.is_empty(), "missed {} processes: {missed:?}", missed.len());
    let wrong: Vec<_> = sends.iter().filter(|(_, count)| **count != SENDS).collect();
    ensure!(wrong.is_empty(), "not {SENDS} sends: {wrong:?}");
    let announced: BTreeSet<u32> = session.processes.iter().map(|process| process.pid).collect();
    ensure!(pids.is_subset(&announced), "not announced: {:?}", pids.difference(&announced));
    let ended: BTreeSet<u32> = session.exits.iter().map(|exit| exit.pid).collect();
    ensure!(ended == announced, "not ended: {:?}", announced.difference(&ended));
    Ok(())
}

#[test]
fn a_binary_nobody_runs_yet_is_waited_for() -> Result<()> {
    let copy = Copy::of("short")?;
    let goflow = attach(&copy.path())?;
    std::thread::sleep(Duration::from_millis(200));
    let status = Command::new(copy.path()).args(["3", "100"]).stdout(Stdio::null()).status()?;
    ensure!(status.success(), "{status}");
    // What was seen is shown while the session goes on.
    let is_send = |line: &&str| line.contains(r#""kind":"chan_send""#) && line.contains("main.main");
    until("the sends on stdout", PATIENCE, || {
        Ok((goflow.printed().lines().filter(is_send).count() == 3).then_some(()))
    })?;
    goflow.stop()?.assert_nothing_lost()
}

/// The breakpoints of the old program would be in the middle of the new one's instructions.
#[test]
fn a_file_is_overwritten_only_once_the_probes_are_out() -> Result<()> {
    let copy = Copy::of("short")?;
    let other = Program::named("short").go(go_versions().first().context("no Go")?).build()?;
    let run = || Command::new(copy.path()).args(["3", "100"]).stdout(Stdio::null()).status();
    let goflow = attach(&copy.path())?;
    ensure!(run()?.success(), "before");
    fs::copy(other, copy.path())?;
    let status = run()?;
    ensure!(status.success(), "the new program: {status}");
    let finished = goflow.finish()?;
    ensure!(finished.status.success(), "{}", finished.stderr);
    let session = finished.session()?;
    ensure!(session.summary.ended.contains("overwritten"), "{}", session.summary.ended);
    session.assert_nothing_lost()
}

fn sends_by_process(session: &Session) -> BTreeMap<u32, u64> {
    let mut sends = BTreeMap::new();
    for event in session.of_kind("chan_send").filter(|event| event.goid == Some(1)) {
        *sends.entry(event.pid).or_default() += 1;
    }
    sends
}

/// Its first thread has ended then, and it has no file until the other threads have ended as well.
#[test]
fn a_process_in_the_middle_of_an_exec_is_not_taken_for_one_that_has_ended() -> Result<()> {
    const TIMES: usize = 150;
    let program = Program::named("successor").build()?;
    let itself = program.to_str().context("a path")?;
    let again = ["thread", "1", itself].repeat(TIMES);
    let mut child = Command::new(&program).args(again).arg("work").stdin(Stdio::piped()).spawn()?;
    let pid = Pid(child.id());
    let is_at_work = || {
        fs::read(format!("/proc/{pid}/cmdline"))
            .is_ok_and(|line| line.ends_with(b"\0work\0") && line.len() < 1000)
    };
    let mut looks = 0;
    while !is_at_work() {
        Executable::of_process(pid).with_context(|| format!("after {looks} looks"))?;
        looks += 1;
    }
    ensure!(looks > TIMES, "{looks} looks only");
    drop(child.stdin.take());
    ensure!(child.wait()?.success(), "it did not end well");
    Ok(())
}

#[test]
fn a_process_that_executes_its_program_anew_from_any_thread_is_seen_on() -> Result<()> {
    let program = Program::named("successor").build()?;
    let itself = program.to_str().context("a path")?;
    for (arguments, is_told) in
        [(&["1000", itself, "work"][..], false), (&["thread", "1000", itself, "work"], true)]
    {
        let target = Target::spawn(Command::new(&program).args(arguments), &program)?;
        let goflow = Goflow::attach_to(target.pid())?;
        // Each piece of work makes one; before the exec there are a few.
        until("events of the new run", Duration::from_secs(20), || {
            Ok((goflow.printed().matches("chan_make").count() > 50).then_some(()))
        })?;
        goflow.signal(Signal::INT)?;
        let finished = goflow.finish()?;
        let told = finished.stderr.contains(&format!("LOST what process {} did since", target.pid()));
        ensure!(told == is_told, "{arguments:?}: {}", finished.stderr);
        let session = finished.session()?;
        ensure!(session.lost.len() == usize::from(is_told), "{arguments:?}: {:?}", session.lost);
        for gap in &session.lost {
            ensure!(gap.at == "exec" && gap.pid == Some(target.pid()), "{gap:?}");
            ensure!((1..1_000_000_000).contains(&(gap.to_ns - gap.from_ns)), "{gap:?}");
        }
        target.assert_text_is_untouched()?;
    }
    Ok(())
}
