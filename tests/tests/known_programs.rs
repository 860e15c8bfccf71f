//! Small programs of which it is known what there is to see.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use goflow_tests::goflow::Goflow;
use goflow_tests::programs::{Flavour, Program, go_versions};
use goflow_tests::stream::{Kind, Position, Session};
use goflow_tests::target::Target;
use goflow_tests::{PATIENCE, printed_name, until};
use rustix::process::Signal;

/// One round of the program, traced.
fn one_round(name: &str, go: &str, flavour: Flavour) -> Result<Session> {
    let mut target = Target::start::<&str>(&Program::named(name).go(go).flavour(flavour).build()?, &[])?;
    let goflow = Goflow::attach_to(target.pid())?;
    let answer = target.ask()?;
    ensure!(answer == "done", "it said {answer:?}");
    let session = goflow.stop()?;
    session.assert_nothing_lost()?;
    target.assert_text_is_untouched()?;
    target.finish()?;
    Ok(session)
}

fn names<'a>(positions: impl Iterator<Item = &'a Position>) -> BTreeSet<String> {
    positions.map(|position| printed_name(position.function())).collect()
}

/// Type arguments are as the binary has them: `[...]` or spelled out, by Go version and symbol table. Up to Go 1.19 a
/// channel made in a generic function has the shape of its element type for it.
#[test]
fn functions_with_type_parameters_have_their_names() -> Result<()> {
    for go in go_versions() {
        for flavour in [Flavour::Plain, Flavour::Stripped] {
            let session = one_round("generics", go, flavour)?;
            let what = || format!("{go} {}", flavour.name());
            let sites = session.of_kind("chan_send").filter_map(|event| match &event.kind {
                Kind::ChanSend(operation) => operation.site.as_ref(),
                _ => None,
            });
            let (sites, expected) = (names(sites), ["main.(*queue[...]).put", "main.send[...]"]);
            ensure!(sites.iter().eq(&expected), "{}: {sites:?}", what());
            let created = || {
                session.of_kind("goroutine_create").filter_map(|event| match &event.kind {
                    Kind::GoroutineCreate { created_at, start, .. } => {
                        Some((created_at.as_ref()?, start.as_ref()?))
                    }
                    _ => None,
                })
            };
            ensure!(created().count() == 4, "{}: {:?}", what(), created().collect::<Vec<_>>());
            let (created_at, start) =
                (names(created().map(|both| both.0)), names(created().map(|both| both.1)));
            ensure!(created_at.iter().eq(&["main.start[...]"]), "{}: {created_at:?}", what());
            // The compiler numbers closures and their wrappers in more than one way.
            ensure!(start.iter().all(|name| name.starts_with("main.start[...].")), "{}: {start:?}", what());
            let types: BTreeSet<&str> = session
                .of_kind("chan_make")
                .filter_map(|event| match &event.kind {
                    Kind::ChanMake { elem_type, .. } => elem_type.as_deref(),
                    _ => None,
                })
                .collect();
            if ["1.18.", "1.19."].iter().any(|old| go.starts_with(old)) {
                ensure!(types.iter().all(|name| name.starts_with("go.shape.")), "{}: {types:?}", what());
            } else {
                ensure!(types == ["int", "main.pair[string,int]"].into(), "{}: {types:?}", what());
            }
        }
    }
    Ok(())
}

#[test]
fn functions_with_type_parameters_are_shown_by_name_and_position() -> Result<()> {
    let program = Program::named("generics").flavour(Flavour::Stripped).build()?;
    let mut target = Target::start::<&str>(&program, &[])?;
    let pid = target.pid().to_string();
    let goflow = Goflow::start(&["trace", "--all", "--color", "never", "--pid", &pid])?;
    until("the header", PATIENCE, || Ok(goflow.printed().contains("probes in place").then_some(())))?;
    target.ask()?;
    goflow.signal(Signal::INT)?;
    let shown = String::from_utf8(goflow.finish()?.stdout)?;
    // Whoever comes before the receiver also parks in a send.
    let sends: Vec<&str> = shown.lines().filter(|line| line.contains("  chan send   chan ")).collect();
    ensure!(sends.len() == 4, "{shown}");
    for (function, position) in [("main.send[", " main.go:20"), ("main.(*queue[", " main.go:17")] {
        let of_function = sends.iter().filter(|line| line.contains(function) && line.ends_with(position));
        ensure!(of_function.count() == 2, "{function} {position}: {sends:#?}");
    }
    target.finish()
}

/// `goroutineReady` and the send of `sendTime` (src/time/sleep.go) run on a system stack, as goid 0.
#[test]
fn whoever_waits_for_time_is_woken_by_the_runtime_itself() -> Result<()> {
    for go in go_versions() {
        let session = one_round("timers", go, Flavour::Plain)?;
        let waits = |reason: &str| {
            let is_it =
                |kind: &Kind| matches!(kind, Kind::Park { wait_reason: Some(found), .. } if found == reason);
            session.of_kind("park").filter(|event| event.goid == Some(1) && is_it(&event.kind)).count()
        };
        // A receive that comes after the tick does not wait.
        ensure!(waits("sleep") == 10, "{go}: {} sleeps", waits("sleep"));
        ensure!((10..=20).contains(&waits("chan receive")), "{go}: {} receives", waits("chan receive"));
        let main: Vec<_> = session
            .events
            .iter()
            .filter(|event| match &event.kind {
                Kind::Park { .. } => event.goid == Some(1),
                Kind::Ready { target, .. } => *target == Some(1),
                _ => false,
            })
            .collect();
        // Attaching and detaching may cut one off at either end.
        let first = main.iter().position(|event| event.kind.name() == "park").context("no park")?;
        for pair in main[first..].chunks_exact(2) {
            let [park, ready] = pair else { continue };
            ensure!(
                park.kind.name() == "park" && ready.kind.name() == "ready",
                "{go}: {park:?} then {ready:?}"
            );
            ensure!(ready.goid == Some(0), "{go}: woken by {ready:?}");
        }
        // Ten of time.After, and the ticks.
        let sends = session.of_kind("chan_send").filter(|event| event.goid == Some(0)).count();
        ensure!(sends >= 20, "{go}: {sends} sends of the runtime");
    }
    Ok(())
}

/// Where the program waits for this kind of object, by the function and its line.
fn sites<'a>(session: &'a Session, of: &'a str) -> impl Iterator<Item = &'a Position> {
    session.of_kind("sync_wait").filter_map(move |event| match &event.kind {
        Kind::SyncWait { sync, site, .. } if sync == of => site.as_ref(),
        _ => None,
    })
}

#[test]
fn sync_objects_are_waited_for_on_the_lines_of_who_uses_them() -> Result<()> {
    let file = tempfile::NamedTempFile::new()?;
    let source = include_str!("../programs/parked/main.go");
    for go in go_versions() {
        let program = Program::named("parked").go(go).flavour(Flavour::Stripped).build()?;
        let mut command = std::process::Command::new(goflow_tests::goflow::binary()?);
        command.args(["trace", "--level", "blocking", "--format", "json", "--output"]).arg(file.path());
        let mut goflow = Goflow::spawn(command.arg("--").arg(&program))?;
        until("all are parked", PATIENCE, || Ok(goflow.printed().contains("running").then_some(())))?;
        goflow.close_stdin();
        goflow.finish()?;
        let session = Session::parse(&std::fs::read(file.path())?)?;
        for (object, function, statement, count) in [
            ("mutex", "main.lock", "mutex.Lock() }", 3),
            ("semaphore", "main.lockRead", "written.RLock()", 2),
            ("rwmutex", "main.lockWrite", "read.Lock()", 2),
            ("waitgroup", "main.waitGroup", "group.Wait()", 2),
            ("cond", "main.waitCond", "\tcond.Wait()", 3),
        ] {
            let line = source.lines().position(|line| line.contains(statement)).map(|index| index as u32 + 1);
            let here = |site: &&Position| site.function() == function && site.line == line;
            let found = sites(&session, object).filter(here).count();
            ensure!(
                found == count,
                "{go}: {found} of {count} in {function}: {:#?}",
                sites(&session, object).collect::<Vec<_>>()
            );
        }
    }
    Ok(())
}
