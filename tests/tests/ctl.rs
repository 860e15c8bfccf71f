//! `goflow ctl`: level and budget of a trace change while it runs, and whoever may not do that, or writes nonsense to the
//! socket, changes nothing and stops nothing.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use goflow_tests::goflow::{Finished, Goflow, binary};
use goflow_tests::programs::Program;
use goflow_tests::stream::{Event, Session, probes_of_level};
use goflow_tests::target::Target;
use goflow_tests::until;
use rustix::process::{Signal, Uid};
use rustix::thread::set_thread_res_uid;
use serde_json::Value;
use tempfile::TempDir;

/// Long enough for many events, and for some windows.
const SOME_TIME: Duration = Duration::from_millis(1500);

/// Where the sockets of one test are: others run beside it.
struct Place {
    temporary: TempDir,
    /// How long the slowest change took so far, ns.
    slowest: AtomicU64,
}

impl Place {
    fn new() -> Result<Self> {
        Ok(Self { temporary: TempDir::new()?, slowest: AtomicU64::new(0) })
    }

    fn directory(&self) -> PathBuf {
        self.temporary.path().join("goflow")
    }

    fn socket(&self, pid: u32) -> PathBuf {
        self.directory().join(format!("{pid}.sock"))
    }

    fn command(&self, arguments: &[&str]) -> Result<Command> {
        let mut command = Command::new(binary()?);
        command.args(arguments).env("GOFLOW_RUNTIME_DIR", self.directory());
        Ok(command)
    }

    /// A trace that is attached to this process.
    fn trace(&self, target: &Target, arguments: &[&str]) -> Result<Goflow> {
        let pid = target.pid().to_string();
        let mut command = self.command(&["trace", "--format", "json", "--pid", &pid])?;
        Goflow::spawn(command.args(arguments))?.attached()
    }

    fn ctl(&self, arguments: &[&str]) -> Result<Finished> {
        Goflow::spawn(self.command(&["ctl"])?.args(arguments))?.finish()
    }

    /// The state that a command of success prints.
    fn state(&self, arguments: &[&str]) -> Result<Value> {
        let finished = self.ctl(&[&["--format", "json"], arguments].concat())?;
        self.slowest.fetch_max(finished.took.as_nanos() as u64, Ordering::Relaxed);
        ensure!(finished.status.success(), "{arguments:?}: {}", finished.stderr);
        Ok(serde_json::from_slice(&finished.stdout)?)
    }
}

fn mode<'a>(state: &'a Value, level: &str) -> &'a str {
    let levels = state["levels"].as_array().map(Vec::as_slice).unwrap_or_default();
    levels.iter().find(|one| one["level"] == level).and_then(|one| one["mode"].as_str()).unwrap_or_default()
}

/// How many breakpoints each level has, of a program whose probes have one place each.
fn breakpoints(goflow: &Goflow, level: &str) -> Result<usize> {
    let of_level = probes_of_level(level);
    Ok(goflow.meta()?.probes.iter().filter(|probe| of_level.contains(&probe.probe.as_str())).count())
}

fn level_of(event: &Event) -> &'static str {
    match event.kind.name() {
        "goroutine_create" | "goroutine_exit" => "lifecycle",
        "park" | "ready" | "sync_wait" => "blocking",
        _ => "channels",
    }
}

/// Between two `coverage` lines of a level its events come, or do not: those of the time apart in which probes went in and
/// out, which on a busy machine is long.
fn events_are_where_the_level_is_watched(session: &Session, place: &Place) -> Result<()> {
    let going = 100_000_000 + place.slowest.load(Ordering::Relaxed);
    let end = session.events.iter().map(|event| event.t_ns).max().unwrap_or(0);
    for level in ["lifecycle", "blocking", "channels"] {
        let turns: Vec<_> = session.coverage.iter().filter(|one| one.level == level).collect();
        let times: Vec<u64> =
            session.events.iter().filter(|event| level_of(event) == level).map(|event| event.t_ns).collect();
        for (index, turn) in turns.iter().enumerate() {
            let until = turns.get(index + 1).map_or(end, |next| next.t_ns);
            let (from, to) = (turn.t_ns + going, until.saturating_sub(going));
            let there = times.iter().filter(|t| (from..to).contains(t)).count();
            if !turn.watched {
                ensure!(there == 0, "{there} events of {level} after {turn:?} until {until}");
            } else if to > from + 100_000_000 && !times.is_empty() {
                ensure!(there > 0, "no event of {level} after {turn:?} until {until}");
            }
        }
    }
    Ok(())
}

#[test]
fn a_level_goes_down_and_up_again_while_the_trace_runs() -> Result<()> {
    let place = Place::new()?;
    let mut target = Target::start::<&str>(&Program::named("heartbeat").build()?, &[])?;
    let goflow = place.trace(&target, &[])?;
    let all = breakpoints(&goflow, "channels")?;
    ensure!(target.altered_text()?.len() == all, "{:x?}", target.altered_text()?);
    for level in ["blocking", "lifecycle", "snapshot", "lifecycle", "channels", "snapshot", "blocking"] {
        let state = place.state(&["level", level])?;
        ensure!(state["level"] == level && state["note"].is_null(), "{state}");
        // By the time of the answer they are in, or out.
        let expected = if level == "snapshot" { 0 } else { breakpoints(&goflow, level)? };
        let there = target.altered_text()?.len();
        ensure!(there == expected, "{there} of {expected} breakpoints at level {level}");
        for of in ["lifecycle", "blocking", "channels"] {
            let is_wanted = level != "snapshot" && probes_of_level(level).len() >= probes_of_level(of).len();
            ensure!(mode(&state, of) == if is_wanted { "continuous" } else { "off" }, "{of}: {state}");
        }
        std::thread::sleep(Duration::from_millis(400));
    }
    let before = target.operations()?;
    let session = goflow.stop()?;
    target.assert_text_is_untouched()?;
    ensure!(target.operations()? > before, "the target does not go on");
    events_are_where_the_level_is_watched(&session, &place)?;
    ensure!(session.controls.len() == 7 && session.summary.level == "blocking", "{:?}", session.summary);
    let first = &session.controls[0];
    ensure!(
        (first.what.as_str(), &first.from, &first.to) == ("level", &"channels".into(), &"blocking".into())
    );
    let channels = session.summary.coverage.iter().find(|one| one.level == "channels").context("none")?;
    ensure!(channels.mode == "off" && channels.off_ns > channels.watched_ns, "{channels:?}");
    // What nobody wanted to see was not missed.
    ensure!(session.summary.hits.iter().all(|hits| hits.estimated.is_none()), "{:?}", session.summary.hits);
    // At level snapshot nothing is known but what snapshots tell, and they go on.
    ensure!(session.snapshots.len() >= 3, "{} snapshots", session.snapshots.len());
    target.finish()
}

#[test]
fn a_level_that_was_not_asked_for_at_the_start_can_be_switched_on() -> Result<()> {
    let place = Place::new()?;
    let target = Target::start::<&str>(&Program::named("heartbeat").build()?, &[])?;
    let goflow = place.trace(&target, &["--level", "lifecycle"])?;
    let probes: Vec<String> = goflow.meta()?.probes.into_iter().map(|probe| probe.probe).collect();
    ensure!(probes == ["newproc1", "goexit0"], "{probes:?}");
    ensure!(target.altered_text()?.len() == 2, "{:x?}", target.altered_text()?);
    let state = place.state(&["level", "channels"])?;
    ensure!(mode(&state, "channels") == "continuous", "{state}");
    ensure!(target.altered_text()?.len() > 8, "{:x?}", target.altered_text()?);
    std::thread::sleep(Duration::from_millis(400));
    let session = goflow.stop()?;
    events_are_where_the_level_is_watched(&session, &place)?;
    ensure!(session.of_kind("chan_send").count() > 100 && session.of_kind("park").count() > 100);
    // The goroutines of the events are right: none is remembered from before the probe on `newproc1`.
    ensure!(session.of_kind("chan_send").all(|event| event.goid.is_some_and(|goid| goid > 0)));
    let level = session.summary.coverage.iter().find(|one| one.level == "channels").context("none")?;
    ensure!(level.off_ns > 0 && level.watched_ns > 0 && level.windows == 1, "{level:?}");
    target.assert_text_is_untouched()?;
    target.finish()
}

/// Each goroutine lives in what the one before has left, while levels go out and in: no event may carry the goid of another.
#[test]
fn goids_stay_right_while_levels_go_out_and_in() -> Result<()> {
    let place = Place::new()?;
    let target = Target::start::<&str>(&Program::named("heartbeat").build()?, &[])?;
    let goflow = place.trace(&target, &["--level", "lifecycle"])?;
    for level in ["channels", "snapshot", "blocking", "snapshot", "lifecycle"] {
        place.state(&["level", level])?;
        std::thread::sleep(Duration::from_millis(200));
    }
    let session = goflow.stop()?;
    // Whoever has ended does nothing more; ids are never used again.
    let mut ended = std::collections::HashMap::new();
    for exit in session.of_kind("goroutine_exit") {
        ended.insert(exit.goid.context("no goid")?, exit.t_ns);
    }
    ensure!(ended.len() > 100, "{} exits", ended.len());
    for event in &session.events {
        let Some(end) = event.goid.and_then(|goid| ended.get(&goid)) else { continue };
        ensure!(event.t_ns <= *end || event.kind.name() == "goroutine_exit", "after its end: {event:?}");
    }
    events_are_where_the_level_is_watched(&session, &place)?;
    target.assert_text_is_untouched()?;
    target.finish()
}

#[test]
fn a_budget_comes_shrinks_and_goes_while_the_trace_runs() -> Result<()> {
    let place = Place::new()?;
    // Probes would take some 7 % of its time, all of them on channels.
    let target = Target::start(&Program::named("paced").build()?, &["20000"])?;
    let goflow = place.trace(&target, &["--budget", "none"])?;
    let all = breakpoints(&goflow, "channels")?;
    let state = place.state(&["budget", "1%"])?;
    ensure!(state["budget"] == 0.01, "{state}");
    until("it is watched in windows", Duration::from_secs(10), || {
        Ok((mode(&place.state(&["status"])?, "channels") == "sampled").then_some(()))
    })?;
    std::thread::sleep(SOME_TIME);
    // A level that was switched off is none that a window opens for.
    let state = place.state(&["level", "blocking"])?;
    ensure!(mode(&state, "channels") == "off" && mode(&state, "blocking") == "continuous", "{state}");
    std::thread::sleep(SOME_TIME);
    let state = place.state(&["level", "channels"])?;
    ensure!(mode(&state, "channels") == "sampled", "it is known not to fit: {state}");
    let state = place.state(&["budget", "none"])?;
    ensure!(state["budget"].is_null() && mode(&state, "channels") == "continuous", "{state}");
    ensure!(target.altered_text()?.len() == all, "{:x?}", target.altered_text()?);
    let session = goflow.stop()?;
    events_are_where_the_level_is_watched(&session, &place)?;
    let summary = &session.summary;
    ensure!(summary.budget.is_none() && summary.changes == 4, "{summary:?}");
    ensure!(summary.coverage.iter().all(|one| one.mode == "continuous"), "{:?}", summary.coverage);
    let changes: Vec<String> =
        session.controls.iter().map(|one| format!("{} {} {}", one.what, one.from, one.to)).collect();
    ensure!(
        changes
            == [
                "budget null 0.01",
                r#"level "channels" "blocking""#,
                r#"level "blocking" "channels""#,
                "budget 0.01 null"
            ],
        "{changes:?}"
    );
    target.assert_text_is_untouched()?;
    target.finish()
}

#[test]
fn with_perf_events_it_works_as_well_and_that_it_took_long_is_said_only_then() -> Result<()> {
    let place = Place::new()?;
    let target = Target::start::<&str>(&Program::named("heartbeat").build()?, &[])?;
    let goflow = place.trace(&target, &["--attach", "perf"])?;
    for level in ["lifecycle", "channels", "snapshot", "blocking"] {
        let start = Instant::now();
        let state = place.state(&["level", level])?;
        let took = start.elapsed();
        if let Some(note) = state["note"].as_str() {
            ensure!(
                note.contains("one by one") && took > Duration::from_millis(900),
                "{note} after {took:?}"
            );
        }
        let expected = if level == "snapshot" { 0 } else { breakpoints(&goflow, level)? };
        ensure!(target.altered_text()?.len() == expected, "{level}: {:x?}", target.altered_text()?);
        if level == "snapshot" {
            // What was seen until then is written within that.
            std::thread::sleep(Duration::from_millis(500));
            let events = || goflow.printed().matches(r#""type":"event""#).count();
            let before = events();
            std::thread::sleep(Duration::from_millis(300));
            ensure!(before > 100 && events() == before, "{before} events and then {}", events());
        }
        std::thread::sleep(Duration::from_millis(300));
    }
    let session = goflow.stop()?;
    ensure!(session.summary.level == "blocking" && session.summary.changes == 4, "{:?}", session.summary);
    target.assert_text_is_untouched()?;
    target.finish()
}

#[test]
fn where_there_are_none_or_several_it_is_said_which() -> Result<()> {
    let place = Place::new()?;
    place.ctl(&["status"])?.assert_refused(&["no trace runs", "goflow trace"])?;
    place.ctl(&["--session", "1", "status"])?.assert_refused(&["goflow 1 is no trace", "goflow trace"])?;
    let target = Target::start::<&str>(&Program::named("idle").build()?, &[])?;
    let one = place.trace(&target, &[])?;
    let own = place.state(&["status"])?;
    ensure!(own["pid"] == one.pid() && own["pids"] == serde_json::json!([target.pid()]), "{own}");
    let two = place.trace(&target, &["--level", "lifecycle"])?;
    let (first, second) = (one.pid().to_string(), two.pid().to_string());
    let several = place.ctl(&["level", "blocking"])?;
    several.assert_refused(&["2 traces run", &first, &second, "level channels", "--session PID"])?;
    place.ctl(&["--session", "1", "status"])?.assert_refused(&["these can", &first, &second])?;
    for goflow in [&one, &two] {
        let state = place.state(&["level", "blocking", "--session", &goflow.pid().to_string()])?;
        ensure!(state["pid"] == goflow.pid() && state["level"] == "blocking", "{state}");
    }
    for goflow in [one, two] {
        let socket = place.socket(goflow.pid());
        ensure!(fs::symlink_metadata(&socket)?.mode() & 0o777 == 0o600, "open to others");
        goflow.signal(Signal::TERM)?;
        goflow.finish()?.session()?;
        ensure!(!socket.exists(), "the socket is left");
    }
    ensure!(fs::metadata(place.directory())?.mode() & 0o777 == 0o700, "open to others");
    target.finish()
}

#[test]
fn a_trace_without_probes_tells_its_state_and_refuses_to_get_some() -> Result<()> {
    let place = Place::new()?;
    let target = Target::start::<&str>(&Program::named("idle").build()?, &[])?;
    let goflow = place.trace(&target, &["--level", "snapshot"])?;
    let state = place.state(&["level", "snapshot"])?;
    ensure!(state["level"] == "snapshot" && state["levels"] == serde_json::json!([]), "{state}");
    place.ctl(&["level", "blocking"])?.assert_refused(&["--level snapshot", "--level lifecycle or more"])?;
    place.ctl(&["budget", "1%"])?.assert_refused(&["loads no probe"])?;
    let session = goflow.stop()?;
    ensure!(session.controls.is_empty() && session.summary.changes == 0, "{:?}", session.controls);
    target.finish()
}

#[test]
fn another_user_may_not_ask_even_where_the_directory_lets_him() -> Result<()> {
    let place = Place::new()?;
    let target = Target::start::<&str>(&Program::named("idle").build()?, &[])?;
    let goflow = place.trace(&target, &[])?;
    let socket = place.socket(goflow.pid());
    // As user 65534, who this thread is from here on.
    let ask = || -> Result<String> {
        std::thread::scope(|scope| {
            let asking = scope.spawn(|| {
                let nobody = Uid::from_raw(65534);
                set_thread_res_uid(nobody, nobody, nobody)?;
                answer_to(&socket, b"{\"version\":1,\"command\":\"level\",\"level\":\"snapshot\"}\n")
            });
            asking.join().unwrap_or_else(|_| bail!("panicked"))
        })
    };
    let refused = ask().unwrap_or_else(|error| format!("{error:#}"));
    ensure!(refused.contains("Permission denied"), "{refused}");
    // What root does wrong by hand, and an attacker would wish for.
    for directory in [place.temporary.path(), &place.directory()] {
        fs::set_permissions(directory, fs::Permissions::from_mode(0o777))?;
    }
    fs::set_permissions(&socket, fs::Permissions::from_mode(0o777))?;
    let answer = ask()?;
    ensure!(answer.contains("only the user who traces may ask"), "{answer}");
    // Nor is such a directory used by anybody else.
    place.ctl(&["status"])?.assert_refused(&["is open to other users"])?;
    fs::set_permissions(place.directory(), fs::Permissions::from_mode(0o700))?;
    ensure!(place.state(&["status"])?["level"] == "channels");
    goflow.stop()?;
    target.finish()
}

#[test]
fn where_no_socket_can_be_the_trace_goes_on_without() -> Result<()> {
    let place = Place::new()?;
    let target = Target::start::<&str>(&Program::named("idle").build()?, &[])?;
    let pid = target.pid().to_string();
    let trace = |directory: &Path| -> Result<Finished> {
        let mut command = Command::new(binary()?);
        command.args(["trace", "--format", "json", "--duration", "300ms", "--pid", &pid]);
        let finished = Goflow::spawn(command.env("GOFLOW_RUNTIME_DIR", directory))?.finish()?;
        finished.session()?;
        Ok(finished)
    };
    // Not a word where there is no such place, as in a container.
    for nowhere in ["/proc/goflow", "/nonexistent/goflow"] {
        let finished = trace(Path::new(nowhere))?;
        ensure!(!finished.stderr.contains("goflow ctl"), "{nowhere}: {}", finished.stderr);
    }
    // But one where somebody may have set a trap.
    let trap = place.temporary.path().join("trap");
    std::os::unix::fs::symlink(place.temporary.path(), &trap)?;
    for trap in [trap, PathBuf::from("/tmp")] {
        let finished = trace(&trap)?;
        ensure!(finished.stderr.contains("goflow ctl cannot reach this trace"), "{}", finished.stderr);
    }
    target.finish()
}

fn connect(socket: &Path) -> Result<UnixStream> {
    let stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    Ok(stream)
}

/// What a trace answers to these bytes before it hangs up; nothing where it only does that.
fn answer_to(socket: &Path, bytes: &[u8]) -> Result<String> {
    let mut stream = connect(socket)?;
    // It may hang up in the middle of what is too long.
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => {}
        Err(error) => bail!("it neither answers nor hangs up: {error}"),
    }
    Ok(String::from_utf8(answer)?)
}

#[test]
fn garbage_on_the_socket_is_refused_and_stops_neither_the_trace_nor_others() -> Result<()> {
    let place = Place::new()?;
    let mut target = Target::start::<&str>(&Program::named("heartbeat").build()?, &[])?;
    let goflow = place.trace(&target, &[])?;
    let socket = place.socket(goflow.pid());
    let long = [vec![b'x'; 100_000], b"\n".to_vec()].concat();
    let deep = [vec![b'['; 4_000], b"\n".to_vec()].concat();
    let binary: Vec<u8> = (0..=255u8).filter(|byte| *byte != b'\n').chain([b'\n']).collect();
    for (bytes, words) in [
        (&long[..], "longer than"),
        (&deep[..], "no request of goflow ctl"),
        (&binary[..], "no request of goflow ctl"),
        (b"\n", "no request of goflow ctl"),
        (b"GET / HTTP/1.1\r\n\r\n", "no request of goflow ctl"),
        (br#"{"version":1,"command":"level","level":"all"}"#, ""),
        (b"{\"version\":1,\"command\":\"dance\"}\n", "dance"),
        (b"{\"version\":2,\"command\":\"status\"}\n", "version 1 of this protocol"),
        (b"", ""),
    ] {
        let answer = answer_to(&socket, bytes)?;
        ensure!(answer.contains(words), "{words}: {answer}");
        ensure!(words.is_empty() == answer.is_empty(), "{answer}");
    }
    // Several requests of one connection are answered in their order.
    let asked = b"{\"version\":1,\"command\":\"status\"}\n{\"version\":1,\"command\":\"level\",\"level\":\"blocking\"}\n";
    let answers = answer_to(&socket, asked)?;
    ensure!(answers.lines().count() == 2 && answers.contains(r#""level":"channels""#), "{answers}");
    // More than are let in at a time, of whom none ever ends its line, or reads.
    let mut hanging = Vec::new();
    for index in 0..24 {
        let mut stream = connect(&socket)?;
        stream.write_all(if index % 2 == 0 { b"{\"version\":" } else { b"" })?;
        hanging.push(stream);
    }
    let before = target.operations()?;
    let start = Instant::now();
    let state = place.state(&["level", "channels"])?;
    ensure!(state["level"] == "channels", "{state}");
    ensure!(start.elapsed() < Duration::from_secs(15), "it took {:?}", start.elapsed());
    ensure!(target.operations()? > before, "the target does not go on");
    // They are hung up on.
    for mut stream in hanging {
        let end = stream.read(&mut [0; 64]);
        ensure!(end.is_ok_and(|count| count == 0), "still connected");
    }
    let start = Instant::now();
    let session = goflow.stop()?;
    ensure!(start.elapsed() < Duration::from_secs(10), "it took {:?} to end", start.elapsed());
    ensure!(session.summary.changes == 2, "{:?}", session.controls);
    target.assert_text_is_untouched()?;
    target.finish()
}

#[test]
fn what_a_killed_trace_leaves_the_next_goflow_removes() -> Result<()> {
    let place = Place::new()?;
    let target = Target::start::<&str>(&Program::named("idle").build()?, &[])?;
    let kill = || -> Result<PathBuf> {
        let goflow = place.trace(&target, &[])?;
        let socket = place.socket(goflow.pid());
        goflow.signal(Signal::KILL)?;
        goflow.finish()?;
        ensure!(socket.exists(), "who has removed it?");
        Ok(socket)
    };
    let left = kill()?;
    place.ctl(&["status"])?.assert_refused(&["no trace runs"])?;
    ensure!(!left.exists(), "goflow ctl has left it");
    let left = kill()?;
    let goflow = place.trace(&target, &[])?;
    ensure!(!left.exists(), "goflow trace has left it");
    ensure!(place.state(&["status"])?["pid"] == goflow.pid());
    goflow.stop()?;
    ensure!(fs::read_dir(place.directory())?.count() == 0, "something is left");
    target.finish()
}

#[test]
fn many_may_ask_at_the_same_time_and_each_gets_its_answer() -> Result<()> {
    let place = Place::new()?;
    let target = Target::start::<&str>(&Program::named("heartbeat").build()?, &[])?;
    let goflow = place.trace(&target, &[])?;
    let asks = ["blocking", "channels", "lifecycle", "snapshot"].map(|level| ["level", level]);
    std::thread::scope(|scope| -> Result<()> {
        let threads: Vec<_> = (0..12)
            .map(|index| {
                let (ask, place) = (asks[index % asks.len()], &place);
                scope.spawn(move || -> Result<()> {
                    let state = place.state(&ask)?;
                    // The state is of the moment at which it took effect, and not of the next one's.
                    ensure!(state["level"] == ask[1], "{state}");
                    Ok(())
                })
            })
            .collect();
        threads.into_iter().try_for_each(|thread| thread.join().unwrap_or_else(|_| bail!("panicked")))
    })?;
    let last = place.state(&["level", "channels"])?;
    let (all, there) = (breakpoints(&goflow, "channels")?, target.altered_text()?.len());
    ensure!(mode(&last, "channels") == "continuous" && there == all, "{there} of {all}: {last}");
    events_are_where_the_level_is_watched(&goflow.stop()?, &place)?;
    target.assert_text_is_untouched()?;
    target.finish()
}

#[test]
fn who_still_waits_when_the_trace_ends_is_told_so() -> Result<()> {
    let place = Place::new()?;
    let target = Target::start::<&str>(&Program::named("idle").build()?, &[])?;
    let goflow = place.trace(&target, &[])?;
    let socket = place.socket(goflow.pid());
    let idle = connect(&socket)?;
    goflow.signal(Signal::INT)?;
    let start = Instant::now();
    goflow.finish()?.session()?;
    ensure!(
        start.elapsed() < Duration::from_secs(5),
        "somebody who does not ask keeps it for {:?}",
        start.elapsed()
    );
    drop(idle);
    place.ctl(&["status"])?.assert_refused(&["no trace runs"])?;
    target.finish()
}
