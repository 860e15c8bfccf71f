//! `goflow snapshot` against what the runtime says of itself: the same goroutines, states, reasons, frames and creators, in
//! each Go and without symbols, of a process that runs, of one that is busy, stopped or frozen, and of a core file. And
//! its JSON against docs/snapshot.schema.json.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use goflow_tests::goflow::{Finished, Goflow, run};
use goflow_tests::programs::{Flavour, Program, go_versions, replace_all};
use goflow_tests::target::Target;
use goflow_tests::{PATIENCE, repository, until};
use serde_json::Value;

/// A Go of each layout that snapshots depend on.
const VERSIONS: [&str; 7] = ["1.18.10", "1.20.14", "1.21.13", "1.23.12", "1.25.7", "1.26.8", "1.27.4"];

/// How many goroutines of tests/programs/parked stand in which function that `main.start` started.
const PARKED: [(&str, usize, &str); 18] = [
    ("main.sendUnbuffered", 3, "chan send"),
    ("main.sendFull", 2, "chan send"),
    ("main.receive", 4, "chan receive"),
    ("main.receiveNil", 1, "chan receive (nil chan)"),
    ("main.sendNil", 1, "chan send (nil chan)"),
    ("main.tick", 1, "chan receive"),
    ("main.sleep", 2, "sleep"),
    ("main.lock", 3, "sync.Mutex.Lock"),
    ("main.lockRead", 2, "sync.RWMutex.RLock"),
    ("main.lockWrite", 2, ""),
    ("main.waitGroup", 2, "sync.WaitGroup.Wait"),
    ("main.waitCond", 3, "sync.Cond.Wait"),
    ("main.selectTwo", 2, "select"),
    ("main.selectNothing", 1, "select (no cases)"),
    ("main.readPipe", 2, ""),
    ("main.locked", 1, "chan receive"),
    ("main.labelled", 1, "chan receive"),
    ("main.deep", 1, "chan receive"),
];

fn snapshot(target: &Target, more: &[&str]) -> Result<Finished> {
    let pid = target.pid().to_string();
    let finished = run(&[&["snapshot", "--pid", &pid], more].concat())?;
    ensure!(finished.status.success(), "{}: {}", finished.status, finished.stderr);
    Ok(finished)
}

fn json(target: &Target) -> Result<Value> {
    Ok(serde_json::from_slice(&snapshot(target, &["--format", "json"])?.stdout)?)
}

fn list<'v>(value: &'v Value, key: &str) -> &'v [Value] {
    value[key].as_array().map_or(&[], Vec::as_slice)
}

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value[key].as_str().unwrap_or_default()
}

/// Each of the program's own answers.
struct Answer {
    dump: String,
    objects: BTreeMap<String, u64>,
}

fn ask(target: &mut Target) -> Result<Answer> {
    let answer: Value = serde_json::from_str(&target.ask()?)?;
    let objects = answer["objects"].as_object().context("objects")?;
    Ok(Answer {
        dump: text(&answer, "dump").to_owned(),
        objects: objects.iter().map(|(name, at)| (name.clone(), at.as_u64().unwrap_or(0))).collect(),
    })
}

/// A goroutine of a dump: what it does, its frames, and where it was created, without arguments.
#[derive(Debug, PartialEq, Eq)]
struct Dumped {
    header: String,
    lines: Vec<String>,
}

fn parse(dump: &str) -> Result<BTreeMap<u64, Dumped>> {
    let mut goroutines = BTreeMap::new();
    for block in dump.trim().split("\n\n") {
        let mut lines = block.lines();
        let header = lines.next().context("an empty block")?;
        let rest = header.strip_prefix("goroutine ").with_context(|| header.to_owned())?;
        let (goid, header) = rest.split_once(' ').context("a goid")?;
        let without_arguments = |line: &str| match line.rfind('(') {
            Some(at) if line.ends_with(')') && !line.starts_with("created by") => line[..at].to_owned(),
            _ => line.to_owned(),
        };
        let lines = lines.map(without_arguments).collect();
        let known = goroutines.insert(goid.parse()?, Dumped { header: header.to_owned(), lines });
        ensure!(known.is_none(), "goroutine {goid} is there twice");
    }
    Ok(goroutines)
}

/// Nothing is unknown: standard error has one line, on the runtime's own goroutines.
fn tells_only_what_is_left_out(finished: &Finished) -> Result<()> {
    let said = finished.stderr.trim_end();
    ensure!(said.starts_with("goflow: without ") && said.contains("of the runtime's own"), "{said}");
    ensure!(!said.contains('\n'), "{said}");
    Ok(())
}

fn each_version(check: impl Fn(&mut Target, &str, Flavour) -> Result<()>) -> Result<()> {
    for version in VERSIONS {
        for flavour in [Flavour::Plain, Flavour::Stripped] {
            let program = Program::named("parked").go(version).flavour(flavour).build()?;
            let mut target = Target::start::<&str>(&program, &[])?;
            check(&mut target, version, flavour)
                .with_context(|| format!("Go {version}, {}", flavour.name()))?;
            target.finish()?;
        }
    }
    Ok(())
}

#[test]
fn it_reads_like_the_runtimes_own_dump() -> Result<()> {
    each_version(|target, _, _| {
        let finished = snapshot(target, &[])?;
        tells_only_what_is_left_out(&finished)?;
        let (ours, own) = (parse(&String::from_utf8(finished.stdout)?)?, parse(&ask(target)?.dump)?);
        let goids = |dump: &BTreeMap<u64, Dumped>| dump.keys().copied().collect::<Vec<_>>();
        ensure!(goids(&ours) == goids(&own), "{:?}, and the runtime has {:?}", goids(&ours), goids(&own));
        ensure!(ours.len() == 35, "{} goroutines", ours.len());
        // The first one reads its stdin while goflow looks, and prints while the runtime does.
        for goid in goids(&ours).into_iter().filter(|&goid| goid != 1) {
            ensure!(ours[&goid] == own[&goid], "goroutine {goid}: {:#?}\n{:#?}", ours[&goid], own[&goid]);
        }
        let main = &ours[&1];
        ensure!(main.header == "[syscall]:" && main.lines.iter().any(|it| it == "main.main"), "{main:?}");
        Ok(())
    })
}

#[test]
fn frames_are_shown_and_named_as_the_binarys_own_go_does() -> Result<()> {
    for version in go_versions() {
        for flavour in [Flavour::Plain, Flavour::Stripped] {
            let program = Program::named("frames").go(version).flavour(flavour).build()?;
            let mut target = Target::start::<&str>(&program, &[])?;
            frames_agree(&mut target, version)
                .with_context(|| format!("Go {version}, {}", flavour.name()))?;
            target.finish()?;
        }
    }
    Ok(())
}

fn frames_agree(target: &mut Target, version: &str) -> Result<()> {
    // Up to Go 1.20 it says that frames are left out only where exactly a hundred are printed.
    let is_old = ["1.18.", "1.19.", "1.20."].iter().any(|old| version.starts_with(old));
    const LEFT_OUT: &str = "...additional frames elided...";
    let words = |more: &[&str]| -> Result<String> { Ok(String::from_utf8(snapshot(target, more)?.stdout)?) };
    let (mut ours, folded) = (parse(&words(&[])?)?, words(&["--format", "folded"])?);
    let raw: Value = serde_json::from_str(&target.ask()?)?;
    let own = parse(text(&raw, "dump"))?;
    ensure!(
        is_old == ours.values().any(|dumped| dumped.lines.iter().any(|line| line == LEFT_OUT)),
        "{ours:#?}"
    );
    for dumped in ours.values_mut().filter(|_| is_old) {
        dumped.lines.retain(|line| line != LEFT_OUT);
    }
    // With the finalizer's goroutine, which is the runtime's own until it calls back.
    ensure!(own.len() == 23, "{} goroutines", own.len());
    ensure!(ours.keys().eq(own.keys()), "{:?}, and the runtime has {:?}", ours.keys(), own.keys());
    let mut wrong = Vec::new();
    // The first one reads its stdin while goflow looks, and prints while the runtime does.
    for (goid, dumped) in ours.iter().filter(|&(&goid, _)| goid != 1) {
        if own[goid] != *dumped {
            wrong.push(format!("goroutine {goid}: {dumped:#?}\nGo: {:#?}", own[goid]));
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    let lines = own.values().flat_map(|dumped| &dumped.lines);
    ensure!(lines.clone().any(|line| line == "panic"), "no panic in {own:#?}");
    ensure!(lines.clone().any(|line| line.contains("[...]")), "no instance in {own:#?}");
    ensure!(lines.clone().any(|line| line.contains(" frames elided")) || is_old, "no deep stack in {own:#?}");
    let stacks = folded.lines().flat_map(|line| {
        let (stack, count) = line.rsplit_once(' ').unwrap_or_default();
        std::iter::repeat_n(stack, count.parse().unwrap_or(0))
    });
    // How much of a deep stack a profile has depends on the version.
    let is_other = |stack: &str| stack.starts_with("runtime.main") || stack.contains("main.recurse");
    let stacks: BTreeSet<&str> = stacks.filter(|stack| !is_other(stack)).collect();
    let profiled = list(&raw, "profile").iter().filter_map(Value::as_str);
    let profiled: BTreeSet<&str> = profiled.filter(|stack| !is_other(stack)).collect();
    ensure!(stacks == profiled, "{stacks:#?}\nGo: {profiled:#?}");
    Ok(())
}

#[test]
fn every_wait_names_its_object_and_every_object_its_waiters() -> Result<()> {
    each_version(|target, version, _| {
        let snapshot = json(target)?;
        let answer = ask(target)?;
        ensure!(list(&snapshot, "unknown").is_empty(), "{}", snapshot["unknown"]);
        let newer = |minor: u32| -> bool {
            version.split('.').nth(1).and_then(|it| it.parse().ok()).is_some_and(|it: u32| it >= minor)
        };
        let at = |name: &str| Value::String(format!("{:#x}", answer.objects[name]));
        let mut goids: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
        for goroutine in list(&snapshot, "goroutines") {
            let goid = goroutine["goid"].as_u64().context("goid")?;
            if text(&goroutine["created_at"], "function") != "main.start" {
                continue;
            }
            ensure!(goroutine["system"] == false && text(goroutine, "state") == "waiting", "{goroutine}");
            ensure!(text(&goroutine["created_at"], "file").ends_with("parked/main.go"), "{goroutine}");
            let parent = if newer(21) { Value::from(1) } else { Value::Null };
            ensure!(goroutine["parent_goid"] == parent, "{goroutine}");
            ensure!(text(goroutine, "stack_end") == "complete", "{goroutine}");
            goids.entry(text(&goroutine["start"], "function")).or_default().push(goid);
        }
        let of = |goid: u64| list(&snapshot, "goroutines").iter().find(|it| it["goid"] == goid);
        for (function, count, reason) in PARKED {
            let found = goids.get(function).map_or(&[][..], Vec::as_slice);
            ensure!(found.len() == count, "{function}: {found:?}");
            // Up to Go 1.19 every semaphore is one reason, and until 1.24 or 1.25 a WaitGroup's still is.
            let named = !reason.starts_with("sync.") || function == "main.waitCond";
            for &goid in found {
                let reported = text(of(goid).context("gone")?, "wait_reason");
                let old =
                    reported == "semacquire" && (!newer(20) || !newer(25) && reason == "sync.WaitGroup.Wait");
                ensure!(reason.is_empty() || reported == reason || !named && old, "{function}: {reported}");
            }
        }
        let waits = |function: &str| -> Result<Vec<&Value>> {
            let mut waits = Vec::new();
            for &goid in goids.get(function).context("nobody")? {
                waits.extend(list(of(goid).context("gone")?, "blocked_on"));
            }
            Ok(waits)
        };
        for (function, kind, object, direction) in [
            ("main.sendUnbuffered", "channel", "sends", "send"),
            ("main.sendFull", "channel", "full", "send"),
            ("main.receive", "channel", "receives", "receive"),
            ("main.tick", "channel", "ticks", "receive"),
            ("main.lock", "mutex", "mutex", ""),
            ("main.lockRead", "rwmutex", "written", "read"),
            ("main.lockWrite", "rwmutex", "read", "write"),
            ("main.waitGroup", "waitgroup", "group", ""),
            ("main.waitCond", "cond", "cond", ""),
        ] {
            let count = PARKED.iter().find(|it| it.0 == function).map_or(0, |it| it.1);
            let waits = waits(function)?;
            ensure!(waits.len() == count, "{function}: {waits:?}");
            for wait in waits {
                let right = text(wait, "kind") == kind && wait["address"] == at(object);
                ensure!(right && text(wait, "direction") == direction, "{function}: {wait}");
            }
            let mut expected: BTreeSet<u64> = goids[function].iter().copied().collect();
            if object == "receives" {
                expected
                    .extend(["main.locked", "main.labelled", "main.deep"].iter().flat_map(|it| &goids[it]));
            }
            let (place, key) = match (kind, direction) {
                ("channel", "send") => ("channels", "senders"),
                ("channel", _) => ("channels", "receivers"),
                _ => ("sync", "waiters"),
            };
            let entry = list(&snapshot, place).iter().find(|it| it["address"] == at(object));
            let entry = entry.with_context(|| format!("{object} is not in {place}"))?;
            let waiters = list(entry, key).iter().filter_map(Value::as_u64);
            ensure!(waiters.collect::<BTreeSet<_>>() == expected, "{object}: {entry}");
        }
        let cases: Vec<_> = waits("main.selectTwo")?
            .into_iter()
            .map(|wait| (text(wait, "direction"), wait["address"].clone()))
            .collect();
        let of_case = |case| cases.iter().filter(|it| **it == case).count();
        ensure!(
            of_case(("receive", at("selected"))) == 2 && of_case(("send", at("selects"))) == 2,
            "{cases:?}"
        );
        let pipe = waits("main.readPipe")?;
        let descriptor =
            pipe.iter().find(|wait| text(wait, "kind") == "fd").context("nobody waits for it")?;
        ensure!(
            descriptor["fd"] == answer.objects["pipe"] && text(descriptor, "direction") == "read",
            "{pipe:?}"
        );
        ensure!(pipe.iter().any(|wait| text(wait, "kind") == "semaphore"), "{pipe:?}");
        for wait in waits("main.sleep")? {
            let until = wait["until_ns"].as_u64().context("no end")?;
            let left = until.saturating_sub(snapshot["meta"]["ended_ns"].as_u64().context("ended_ns")?);
            ensure!((3_000..=3_600).contains(&(left / 1_000_000_000)), "{wait}");
        }
        let full = list(&snapshot, "channels").iter().find(|it| it["address"] == at("full"));
        let full = full.context("full")?;
        ensure!(
            full["len"] == 2
                && full["cap"] == 2
                && full["elem_size"] == 16
                && text(full, "elem_type") == "string",
            "{full}"
        );
        let labels = &of(goids["main.labelled"][0]).context("gone")?["labels"];
        ensure!(*labels == serde_json::json!({"tenant": "blue", "job": "nightly"}), "{labels}");
        let locked = of(goids["main.locked"][0]).context("gone")?;
        ensure!(locked["locked_to_thread"] == true, "{locked}");
        Ok(())
    })
}

#[test]
fn a_busy_process_is_read_without_inventing_goroutines() -> Result<()> {
    let program = Program::named("storm").flavour(Flavour::Stripped).build()?;
    let mut target = Target::start::<&str>(&program, &[])?;
    let mut ids = 0;
    let mut details = 0;
    for round in 0..200 {
        let snapshot = json(&target).with_context(|| format!("round {round}"))?;
        let all = list(&snapshot, "goroutines");
        let user: Vec<&Value> = all.iter().filter(|goroutine| goroutine["system"] == false).collect();
        // main, four that make batches, and eight for each batch under way.
        ensure!((5..=5 + 4 * 9 + 8).contains(&user.len()), "{} goroutines", user.len());
        let seen: BTreeSet<u64> = all.iter().filter_map(|goroutine| goroutine["goid"].as_u64()).collect();
        ensure!(seen.len() == all.len() && !seen.contains(&0), "a goid twice");
        let starts: BTreeSet<&str> = user.iter().map(|it| text(&it["start"], "function")).collect();
        // `go func(w int) {…}(w)` starts in a wrapper that the compiler makes.
        let known = ["runtime.main", "main.main.func1", "main.batch.func1", "main.batch.gowrap1"];
        ensure!(starts.is_subset(&known.into()), "{starts:?}");
        let makers = user.iter().filter(|it| text(&it["start"], "function") == "main.main.func1").count();
        ensure!(makers == 4, "{makers} of the four that are always there: {snapshot}");
        ensure!(user.iter().any(|it| it["goid"] == 1), "the first one is missing");
        let newest = seen.last().copied().unwrap_or(0);
        // Ids only grow, by at most eight a batch.
        ids = newest.max(ids);
        details += all.iter().filter(|it| !list(it, "blocked_on").is_empty()).count();
    }
    let batches = target.operations()?;
    ensure!(ids <= 8 * (batches + 8) + 100 * 16, "goroutine {ids} after {batches} batches");
    ensure!(details > 0, "no wait was ever seen");
    target.finish()
}

/// A core file of the process as it stands now, in `directory`.
fn core_of(target: &Target, directory: &Path) -> Result<PathBuf> {
    let prefix = directory.join("core");
    let gcore = Command::new("gcore")
        .arg("-o")
        .arg(&prefix)
        .arg(target.pid().to_string())
        .stdin(Stdio::null())
        .output()
        .context("gcore is missing; `cargo xtask setup` installs gdb")?;
    ensure!(gcore.status.success(), "{}", String::from_utf8_lossy(&gcore.stderr));
    Ok(prefix.with_extension(target.pid().to_string()))
}

#[test]
fn a_core_file_has_the_same_goroutines() -> Result<()> {
    for flavour in [Flavour::Stripped, Flavour::Pie] {
        let program = Program::named("parked").flavour(flavour).build()?;
        let mut target = Target::start::<&str>(&program, &[])?;
        let directory = tempfile::tempdir()?;
        let core = core_of(&target, directory.path())?;
        let core = core.to_str().context("a path")?;
        let finished = run(&["snapshot", "--core", core])?;
        ensure!(finished.status.success(), "{}", finished.stderr);
        let (ours, own) = (parse(&String::from_utf8(finished.stdout)?)?, parse(&ask(&mut target)?.dump)?);
        ensure!(ours.len() == own.len(), "{} and {}", ours.len(), own.len());
        for (goid, dumped) in ours.iter().filter(|(goid, _)| **goid != 1) {
            ensure!(Some(dumped) == own.get(goid), "goroutine {goid}: {dumped:#?}\n{:#?}", own.get(goid));
        }
        if flavour == Flavour::Stripped {
            refuses_bad_cores(core, directory.path(), target.pid())?;
        }
        target.finish()?;
    }
    Ok(())
}

/// A core file of `program`, which runs until it aborts, and what it said of itself.
fn core_of_crash(program: &Path, how: &str, directory: &Path) -> Result<(PathBuf, String)> {
    let core = directory.join(how);
    let gdb = Command::new("gdb")
        .args(["-q", "-nx", "-batch", "-ex", "handle all nostop noprint pass", "-ex", "handle SIGABRT stop"])
        .args(["-ex", "run", "-ex", &format!("generate-core-file {}", core.display()), "-ex", "kill"])
        .arg("--args")
        .arg(program)
        .arg(how)
        .stdin(Stdio::null())
        .output()
        .context("gdb is missing; `cargo xtask setup` installs it")?;
    let said = String::from_utf8_lossy(&gdb.stderr).into_owned();
    ensure!(core.exists(), "no core file: {said}\n{}", String::from_utf8_lossy(&gdb.stdout));
    Ok((core, said))
}

/// The frames of package main that Go shows of the goroutine that runs, in what it says when it crashes: functions and
/// positions, without the wrapper of the `go` statement.
fn crashed_frames(said: &str) -> Result<Vec<String>> {
    let block = said.split("\n\n").find(|block| block.lines().any(|line| line.contains("[running]:")));
    let lines: Vec<&str> = block.context("no goroutine ran")?.lines().collect();
    let mut frames = Vec::new();
    for pair in lines.windows(2).filter(|pair| pair[0].starts_with("main.")) {
        let function = pair[0].rsplit_once('(').context("a function")?.0;
        if !function.starts_with("main.main.") {
            let position = pair[1].split(" fp=").next().unwrap_or_default();
            frames.extend([function.to_owned(), position.to_owned()]);
        }
    }
    Ok(frames)
}

#[test]
fn the_goroutine_that_ran_has_its_stack_in_a_core_file() -> Result<()> {
    let directory = tempfile::tempdir()?;
    // With cgo, a signal handler returns into the C library.
    for (go, flavour) in [
        ("1.18.10", Flavour::Stripped),
        ("1.22.12", Flavour::Stripped),
        ("1.27.4", Flavour::Stripped),
        ("1.27.4", Flavour::Cgo),
    ] {
        let program = Program::named("crash").go(go).flavour(flavour).build()?;
        for how in ["panic", "fault", "signal"] {
            let context = || format!("Go {go}, {flavour:?}, {how}");
            let (core, said) = core_of_crash(&program, how, directory.path()).with_context(context)?;
            let core = core.to_str().context("a path")?;
            let finished = run(&["snapshot", "--core", core, "--filter", "state=running"])?;
            ensure!(finished.status.success(), "{}", finished.stderr);
            let ours = parse(&String::from_utf8(finished.stdout)?).with_context(context)?;
            let [running] = ours.values().collect::<Vec<_>>()[..] else { panic!("{}: {ours:?}", context()) };
            let expected = crashed_frames(&said).with_context(|| format!("{}: {said}", context()))?;
            ensure!(expected.len() >= 8, "{}: {said}", context());
            let from = running.lines.iter().position(|line| line.starts_with("main.")).unwrap_or(0);
            let frames: Vec<String> = running.lines[from..].iter().take(expected.len()).cloned().collect();
            ensure!(frames == expected, "{}: {running:#?}\nGo: {said}", context());
            let cut = running.lines.iter().any(|line| line.contains("elided"));
            ensure!(!cut && !finished.stderr.contains("unknown"), "{}: {running:#?}", context());
        }
        // One that nothing ends is where it is.
        let mut target = Target::spawn(Command::new(&program).arg("spin"), &program)?;
        target.line()?;
        let core = core_of(&target, directory.path())?;
        let finished = run(&["snapshot", "--core", core.to_str().context("a path")?, "--format", "folded"])?;
        let stack = finished.stdout.split(|&byte| byte == b'\n').map(String::from_utf8_lossy);
        let spins = stack.filter(|line| line.contains("main.inner;main.inner;main.inner")).count();
        ensure!(spins == 1, "{}\n{}", String::from_utf8_lossy(&finished.stdout), finished.stderr);
    }
    Ok(())
}

/// Where the notes of a core file start.
fn notes_of(core: &[u8]) -> Result<usize> {
    let word = |at: usize| -> Result<usize> {
        let bytes = core.get(at..at + 8).context("too short")?;
        Ok(usize::try_from(u64::from_le_bytes(bytes.try_into()?))?)
    };
    let headers = word(32)?;
    let notes = (0..100).map(|n| headers + 56 * n).find(|&at| core.get(at..at + 4) == Some(&[4, 0, 0, 0]));
    word(notes.context("no notes")? + 8)
}

fn refuses_bad_cores(core: &str, directory: &Path, pid: u32) -> Result<()> {
    let other = Program::named("idle").go("1.21.13").build()?;
    let refused = run(&["snapshot", "--core", core, "--binary", other.to_str().context("a path")?])?;
    refused
        .assert_refused(&["another program", "--binary"])
        .or_else(|_| refused.assert_refused(&["not that of this program", "--binary"]))?;
    let bytes = fs::read(core)?;
    let cut = directory.join("cut");
    fs::write(&cut, &bytes[..bytes.len() / 50])?;
    run(&["snapshot", "--core", cut.to_str().context("a path")?])?.assert_refused(&["cut"])?;
    // In the middle of what it says of the process, before any of the memory.
    let notes = directory.join("notes");
    fs::write(&notes, &bytes[..notes_of(&bytes)? + 100])?;
    run(&["snapshot", "--core", notes.to_str().context("a path")?])?
        .assert_refused(&["a core file that is cut"])?;
    fs::write(&notes, &bytes[..100])?;
    run(&["snapshot", "--core", notes.to_str().context("a path")?])?
        .assert_refused(&["a core file that is cut"])?;
    run(&["snapshot", "--core", "/proc/self/exe"])?.assert_refused(&["no core", "--core"])?;
    let both = run(&["snapshot", "--core", core, "--pid", &pid.to_string()])?;
    both.assert_refused(&["cannot be used with"])
}

#[test]
fn what_cannot_be_read_is_refused_with_a_way_on() -> Result<()> {
    run(&["snapshot", "--pid", "4194304"])?.assert_refused(&["no process 4194304", "pgrep"])?;
    run(&["snapshot"])?.assert_refused(&["--pid"])?;
    let sleep = Target::spawn(Command::new("sleep").arg("60"), Path::new("/bin/sleep"))?;
    run(&["snapshot", "--pid", &sleep.pid().to_string()])?.assert_refused(&["not a Go program"])?;
    let target = Target::start::<&str>(&Program::named("idle").build()?, &[])?;
    let pid = target.pid().to_string();
    let filter = run(&["snapshot", "--pid", &pid, "--filter", "state=blocked"])?;
    filter.assert_refused(&["blocked", "waiting"])?;
    let dead = run(&["snapshot", "--pid", &pid, "--filter", "state=dead"])?;
    ensure!(dead.status.success() && dead.stdout.is_empty(), "{}: {}", dead.status, dead.stderr);
    ensure!(dead.stderr.contains("none of"), "{}", dead.stderr);
    // `script` gives it a terminal.
    let profile =
        format!("{} snapshot --pid {pid} --format pprof", goflow_tests::goflow::binary()?.display());
    let terminal =
        Command::new("script").args(["-qec", &profile, "/dev/null"]).stdin(Stdio::null()).output()?;
    let said = String::from_utf8_lossy(&terminal.stdout);
    ensure!(terminal.status.code() == Some(2) && said.contains("--output"), "{}: {said}", terminal.status);
    let grouped = run(&["snapshot", "--pid", &pid, "--format", "folded", "--group-by", "stack"])?;
    grouped.assert_refused(&["--group-by"])?;
    target.finish()
}

/// `parked`, which says that it was built by a Go that is not there yet. What it is made of is the newest's.
fn of_an_unknown_go(directory: &Path, flavour: Flavour) -> Result<PathBuf> {
    let versions = go_versions();
    let newest = versions.last().context("no Go")?;
    let minor = newest.split('.').nth(1).context("a minor version")?;
    ensure!(minor.len() == 2, "Go {newest}");
    let mut bytes = fs::read(Program::named("parked").go(newest).flavour(flavour).build()?)?;
    let renamed = replace_all(&mut bytes, format!("go1.{minor}.").as_bytes(), b"go1.99.");
    ensure!(renamed > 0, "it does not say its version");
    let program = directory.join(flavour.name());
    fs::write(&program, bytes)?;
    fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    Ok(program)
}

#[test]
fn of_a_go_that_is_not_known_it_says_so_or_takes_the_layout_from_the_programs_own_dwarf() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let words = ["layout", "go1.99.", "newer goflow", "-ldflags=-w"];
    let stripped = of_an_unknown_go(directory.path(), Flavour::Stripped)?;
    let target = Target::start::<&str>(&stripped, &[])?;
    let core = core_of(&target, directory.path())?;
    let pid = target.pid().to_string();
    for source in [["--pid", pid.as_str()], ["--core", core.to_str().context("a path")?]] {
        for form in ["text", "json", "pprof", "folded"] {
            let refused = run(&[&["snapshot", "--format", form][..], &source].concat())?;
            refused.assert_refused(&words).with_context(|| format!("{source:?} as {form}"))?;
            ensure!(refused.stdout.is_empty(), "half a snapshot: {source:?} as {form}");
            ensure!(!refused.stderr.contains("--binary"), "another copy is no better: {}", refused.stderr);
        }
    }
    let trace = run(&["trace", "--level", "snapshot", "--pid", &pid, "--duration", "1s"])?;
    trace.assert_refused(&words[1..])?;
    target.finish()?;

    let whole = of_an_unknown_go(directory.path(), Flavour::Plain)?;
    let mut target = Target::start::<&str>(&whole, &[])?;
    let core = core_of(&target, directory.path())?;
    let own = parse(&ask(&mut target)?.dump)?;
    let of_core = run(&["snapshot", "--core", core.to_str().context("a path")?])?;
    ensure!(of_core.status.success(), "{}", of_core.stderr);
    for finished in [snapshot(&target, &[])?, of_core] {
        tells_only_what_is_left_out(&finished)?;
        let ours = parse(&String::from_utf8(finished.stdout)?)?;
        ensure!(ours.len() == own.len(), "{} and {}", ours.len(), own.len());
        for (goid, dumped) in ours.iter().filter(|(goid, _)| **goid != 1) {
            ensure!(Some(dumped) == own.get(goid), "goroutine {goid}: {dumped:#?}\n{:#?}", own.get(goid));
        }
    }
    target.finish()
}

#[test]
fn a_program_whose_name_has_a_newline_is_found() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let odd = directory.path().join("two\nlines");
    fs::copy(Program::named("parked").build()?, &odd)?;
    let target = Target::start::<&str>(&odd, &[])?;
    ensure!(parse(&String::from_utf8(snapshot(&target, &[])?.stdout)?)?.len() == 35);
    target.finish()
}

#[test]
fn a_stopped_process_is_read_like_any() -> Result<()> {
    use rustix::process::{Pid, Signal, kill_process};
    let target = Target::start::<&str>(&Program::named("parked").build()?, &[])?;
    let pid = Pid::from_raw(i32::try_from(target.pid())?).context("a pid")?;
    kill_process(pid, Signal::STOP)?;
    let stopped = snapshot(&target, &[]);
    kill_process(pid, Signal::CONT)?;
    ensure!(parse(&String::from_utf8(stopped?.stdout)?)?.len() == 35);
    target.finish()
}

#[test]
fn the_object_is_as_its_schema_says() -> Result<()> {
    let schema = fs::read_to_string(repository().join("docs/snapshot.schema.json"))?;
    let validator = jsonschema::validator_for(&serde_json::from_str(&schema)?)?;
    let check = |target: &Target, more: &[&str]| -> Result<Value> {
        let finished = snapshot(target, &[&["--format", "json"], more].concat())?;
        let value = serde_json::from_slice(&finished.stdout)?;
        let errors: Vec<String> = validator
            .iter_errors(&value)
            .map(|error| format!("{}: {error}", error.instance_path()))
            .take(5)
            .collect();
        ensure!(errors.is_empty(), "{errors:#?}");
        Ok(value)
    };
    for go in [go_versions().first(), go_versions().last()].into_iter().flatten() {
        for flavour in [Flavour::Plain, Flavour::Stripped, Flavour::Pie, Flavour::Cgo] {
            let program = Program::named("parked").go(go).flavour(flavour).build()?;
            let target = Target::start::<&str>(&program, &[])?;
            let context = || format!("Go {go}, {}", flavour.name());
            let whole = check(&target, &[]).with_context(context)?;
            ensure!(list(&whole, "unknown").is_empty(), "{}: {}", context(), whole["unknown"]);
            ensure!(list(&whole, "channels").len() > 5 && list(&whole, "sync").len() > 5, "{}", context());
            let started = list(&whole, "goroutines")
                .iter()
                .filter(|it| text(&it["created_at"], "function") == "main.start");
            ensure!(started.count() == PARKED.iter().map(|it| it.1).sum::<usize>(), "{}", context());
            check(&target, &["--no-stacks", "--group-by", "reason"]).with_context(context)?;
            target.finish()?;
        }
        let busy = Target::start::<&str>(&Program::named("storm").go(go).build()?, &[])?;
        for _ in 0..20 {
            check(&busy, &[]).with_context(|| format!("Go {go}, busy"))?;
        }
        busy.finish()?;
    }
    // A schema that takes anything would pass too.
    ensure!(!validator.is_valid(&serde_json::json!({"meta": {}, "goroutines": []})));
    Ok(())
}

/// A cgroup of its own whose processes can be frozen; gone with its handle.
struct Freezer {
    directory: PathBuf,
    /// The file that freezes, and what it wants to hear to freeze and to go on.
    control: (&'static str, &'static str, &'static str),
    /// What says that all of it is frozen.
    state: (&'static str, &'static str),
}

impl Freezer {
    /// `None` where this machine's cgroups cannot be written.
    fn new() -> Option<Self> {
        let name = format!("goflow-test-{}", std::process::id());
        let old = Path::new("/sys/fs/cgroup/freezer").join(&name);
        if fs::create_dir(&old).is_ok() {
            let control = ("freezer.state", "FROZEN", "THAWED");
            return Some(Self { directory: old, control, state: ("freezer.state", "FROZEN") });
        }
        let new = Path::new("/sys/fs/cgroup").join(name);
        fs::create_dir(&new).ok()?;
        let control = ("cgroup.freeze", "1", "0");
        Some(Self { directory: new, control, state: ("cgroup.events", "frozen 1") })
    }

    fn freeze(&self, pid: u32) -> Result<()> {
        fs::write(self.directory.join("cgroup.procs"), pid.to_string())?;
        fs::write(self.directory.join(self.control.0), self.control.1)?;
        let state = self.directory.join(self.state.0);
        until("it is not frozen", PATIENCE, || {
            Ok(fs::read_to_string(&state)?.contains(self.state.1).then_some(()))
        })
    }

    fn thaw(&self) -> Result<()> {
        Ok(fs::write(self.directory.join(self.control.0), self.control.2)?)
    }
}

impl Drop for Freezer {
    fn drop(&mut self) {
        let _ = self.thaw();
        let procs = fs::read_to_string(self.directory.join("cgroup.procs")).unwrap_or_default();
        let root = self.directory.parent().map(|parent| parent.join("cgroup.procs"));
        for pid in procs.lines() {
            let _ = root.as_ref().map(|root| fs::write(root, pid));
        }
        let _ = fs::remove_dir(&self.directory);
    }
}

#[test]
fn a_frozen_process_is_read_like_any() -> Result<()> {
    let freezer = Freezer::new()
        .context("the cgroups of this machine cannot be written: this needs root and a freezer")?;
    let target = Target::start::<&str>(&Program::named("parked").build()?, &[])?;
    freezer.freeze(target.pid())?;
    let frozen = snapshot(&target, &[]);
    freezer.thaw()?;
    ensure!(parse(&String::from_utf8(frozen?.stdout)?)?.len() == 35);
    target.finish()
}

#[test]
fn without_the_right_to_trace_it_says_which_is_missing() -> Result<()> {
    let target = Target::start::<&str>(&Program::named("idle").build()?, &[])?;
    // A copy where anybody may run it.
    let directory = tempfile::tempdir()?;
    fs::set_permissions(directory.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    let copy = directory.path().join("goflow");
    fs::copy(goflow_tests::goflow::binary()?, &copy)?;
    let pid = target.pid().to_string();
    // Another user; and the same one, with fewer rights than the process has.
    for less in [&["--reuid=65534", "--regid=65534", "--clear-groups"][..], &["--bounding-set=-sys_ptrace"]] {
        let mut command = Command::new("setpriv");
        command.args(less).arg(&copy).args(["snapshot", "--pid", &pid]);
        let output = command.output().context("setpriv is missing")?;
        let stderr = String::from_utf8(output.stderr)?;
        ensure!(output.status.code() == Some(2), "{}: {stderr}", output.status);
        ensure!(stderr.contains("CAP_SYS_PTRACE") && !stderr.contains("panicked"), "{stderr}");
    }
    target.finish()
}

#[test]
fn a_process_that_ends_while_it_is_read_is_told_as_ended() -> Result<()> {
    use rustix::process::{Pid, Signal, kill_process};
    let program = Program::named("many").flavour(Flavour::Stripped).build()?;
    let mut ended = 0;
    for delay in [0, 5, 10, 20, 30, 40, 60, 80] {
        let target = Target::start(&program, &["50000", "0"])?;
        let pid = Pid::from_raw(i32::try_from(target.pid())?).context("a pid")?;
        let reading = Goflow::start(&["snapshot", "--pid", &target.pid().to_string(), "--format", "folded"])?;
        std::thread::sleep(Duration::from_millis(delay));
        kill_process(pid, Signal::KILL)?;
        let finished = reading.finish()?;
        if !finished.status.success() {
            ensure!(finished.status.code() == Some(2), "{}", finished.status);
            let words = ["ended", "no process", "no such process", "exited"];
            let stderr = finished.stderr.to_lowercase();
            ensure!(words.iter().any(|word| stderr.contains(word)), "{}", finished.stderr);
            ensure!(finished.stdout.is_empty(), "half a snapshot");
            ended += 1;
        }
        drop(target);
    }
    ensure!(ended > 0, "it never ended in time");
    Ok(())
}

#[test]
fn a_process_that_execs_is_read_as_one_program_or_refused() -> Result<()> {
    let parked = Program::named("parked").build()?;
    for delay in [0_u64, 3, 6, 10, 15, 25, 40] {
        // The shell becomes the Go program while goflow looks.
        let script = format!("sleep 0.02; exec {}", parked.display());
        let target = Target::spawn(Command::new("sh").args(["-c", &script]), &parked)?;
        std::thread::sleep(Duration::from_millis(delay));
        let finished = run(&["snapshot", "--pid", &target.pid().to_string()])?;
        ensure!(!finished.stderr.contains("panicked"), "{}", finished.stderr);
        if finished.status.success() {
            parse(&String::from_utf8(finished.stdout)?)?;
        } else {
            ensure!(finished.status.code() == Some(2) && finished.stdout.is_empty(), "{}", finished.status);
        }
    }
    Ok(())
}

#[test]
fn a_process_under_a_debugger_is_read_like_any() -> Result<()> {
    let target = Target::start::<&str>(&Program::named("parked").build()?, &[])?;
    // gdb stands there, with every thread stopped, until its standard input ends.
    let mut gdb = Command::new("gdb")
        .args(["-q", "-nx", "-p", &target.pid().to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("gdb is missing; `cargo xtask setup` installs it")?;
    let status = format!("/proc/{}/status", target.pid());
    until("gdb has not stopped it", PATIENCE, || {
        Ok(fs::read_to_string(&status)?.contains("tracing stop").then_some(()))
    })?;
    let read = snapshot(&target, &[]);
    drop(gdb.stdin.take());
    gdb.wait()?;
    ensure!(parse(&String::from_utf8(read?.stdout)?)?.len() == 35);
    target.finish()
}

#[test]
fn groups_filters_and_folded_stacks_count_the_same_goroutines() -> Result<()> {
    let target = Target::start::<&str>(&Program::named("parked").build()?, &[])?;
    let words = |more: &[&str]| -> Result<String> { Ok(String::from_utf8(snapshot(&target, more)?.stdout)?) };
    let reasons = words(&["--group-by", "reason", "--top", "2"])?;
    ensure!(reasons == "       8  chan receive\n       5  chan send\n", "{reasons}");
    let creation = words(&["--group-by", "creation", "--top", "1", "--filter", "state=waiting"])?;
    ensure!(creation.trim_start().starts_with("34  main.start "), "{creation}");
    let folded = words(&["--format", "folded", "--filter", "reason=chan send"])?;
    ensure!(folded.lines().count() == 2, "{folded}");
    ensure!(folded.contains("main.sendFull;runtime.chansend1;runtime.chansend;runtime.gopark 2\n"));
    // The runtime's own are in no form but JSON, whose field tells them.
    let all = json(&target)?;
    let user = list(&all, "goroutines").iter().filter(|it| it["system"] == false).count();
    ensure!(user == 35 && user < list(&all, "goroutines").len(), "{user}");
    ensure!(parse(&words(&[])?)?.len() == user);
    let total = |text: &str, column: fn(&str) -> Option<&str>| -> usize {
        text.lines().filter_map(|line| column(line)?.parse::<usize>().ok()).sum()
    };
    ensure!(total(&words(&["--format", "folded"])?, |line| line.split(' ').next_back()) == user);
    ensure!(total(&words(&["--group-by", "reason"])?, |line| line.split_whitespace().next()) == user);
    let first = list(&all, "goroutines").iter().find(|it| it["goid"] == 1).context("no first")?;
    ensure!(first["created_at"].is_null() && text(&first["start"], "function") == "runtime.main", "{first}");
    let waiting = words(&["--filter", "state=waiting", "--filter", "reason=select"])?;
    ensure!(parse(&waiting)?.len() == 2, "{waiting}");
    target.finish()
}

#[test]
fn where_time_is_short_everybody_is_there_before_every_stack_is() -> Result<()> {
    let target = Target::start(&Program::named("many").build()?, &["50000".to_owned(), "0".to_owned()])?;
    let (mut partly, mut times) = (0, Vec::new());
    // A busy machine needs longer, and does not give the same time the same part of a CPU twice.
    let sweeps = (0..4).flat_map(|_| (0..36).map(|step| (15_000.0 * 1.2_f64.powi(step)) as u64));
    for micros in sweeps {
        if partly > 0 {
            break;
        }
        let timeout = format!("{micros}us");
        let finished = snapshot(&target, &["--format", "json", "--timeout", &timeout]);
        // Not even the list may be had in time.
        let Ok(finished) = finished else { continue };
        let all: Value = serde_json::from_slice(&finished.stdout)?;
        let goroutines = list(&all, "goroutines");
        let waits = |it: &&Value| it["state"] == "waiting" && it["system"] == false;
        let known = goroutines.iter().filter(waits).filter(|it| !list(it, "blocked_on").is_empty()).count();
        let unread = goroutines.iter().filter(|it| it["stack_end"] == "not_read").count();
        let told = list(&all, "unknown").iter().find(|it| it["what"] == "the rest of the snapshot");
        ensure!(unread == 0 || told.is_some(), "{timeout}: {unread} without a stack, and not a word of it");
        let is_whole = known == 50_000 && unread == 0;
        ensure!(!is_whole || told.is_none(), "{timeout}: everything is there, and yet {told:?}");
        if known == 50_000 && unread > 0 {
            let why = text(told.context("untold")?, "why");
            ensure!(
                why == format!("time ran short: the stacks of {unread} goroutines were not read"),
                "{why}"
            );
            ensure!(finished.stderr.contains("--timeout gives it longer"), "{}", finished.stderr);
            partly += 1;
        }
        times.push((timeout, known, unread));
    }
    ensure!(partly > 0, "{times:?}");
    target.finish()
}

#[test]
fn go_tool_pprof_opens_the_profile() -> Result<()> {
    let target = Target::start::<&str>(&Program::named("parked").build()?, &[])?;
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("goroutines.pb.gz");
    snapshot(&target, &["--format", "pprof", "--output", file.to_str().context("a path")?])?;
    let pprof = Command::new("go").args(["tool", "pprof", "-top", "-cum"]).arg(&file).output()?;
    let top = String::from_utf8(pprof.stdout)?;
    ensure!(pprof.status.success(), "{}", String::from_utf8_lossy(&pprof.stderr));
    let row = top.lines().find(|line| line.contains("main.sendUnbuffered")).context("no row")?;
    ensure!(row.split_whitespace().nth(3) == Some("3"), "{row}\n{top}");
    ensure!(top.contains("Type: goroutine"), "{top}");
    target.finish()
}

#[test]
fn panicparse_reads_the_dump() -> Result<()> {
    let program = Program::named("parsedump").build()?;
    let target = Target::start::<&str>(&Program::named("parked").build()?, &[])?;
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("dump");
    snapshot(&target, &["--output", file.to_str().context("a path")?])?;
    let parsed = Command::new(program).stdin(fs::File::open(&file)?).output()?;
    ensure!(parsed.status.success(), "{}", String::from_utf8_lossy(&parsed.stderr));
    let goroutines: Vec<Value> = serde_json::from_slice(&parsed.stdout)?;
    ensure!(goroutines.len() == 35, "{}", goroutines.len());
    let sends = goroutines.iter().filter(|it| text(it, "state") == "chan send");
    ensure!(sends.clone().count() == 5, "{goroutines:?}");
    for goroutine in sends {
        let names = list(goroutine, "calls").iter().filter_map(Value::as_str).collect::<Vec<_>>();
        ensure!(names.last().is_some_and(|name| name.starts_with("main.send")), "{goroutine}");
        ensure!(text(goroutine, "created_by") == "main.start in goroutine 1", "{goroutine}");
    }
    target.finish()
}

#[test]
fn every_key_is_explained_on_its_page() -> Result<()> {
    let page = fs::read_to_string(repository().join("docs/snapshot.md"))?;
    let explained: BTreeSet<&str> = page.split('`').skip(1).step_by(2).collect();
    let target = Target::start::<&str>(&Program::named("parked").build()?, &[])?;
    let snapshot = json(&target)?;
    let mut keys = BTreeSet::new();
    collect_keys(&snapshot, &mut keys);
    ensure!(keys.len() > 40, "{keys:?}");
    let missing: Vec<_> = keys.iter().filter(|key| !explained.contains(key.as_str())).collect();
    ensure!(missing.is_empty(), "not in docs/snapshot.md: {missing:?}");
    target.finish()
}

/// Every key of an object and of what is in it, but not the names of labels.
fn collect_keys(value: &Value, keys: &mut BTreeSet<String>) {
    match value {
        Value::Object(object) => {
            for (key, value) in object {
                keys.insert(key.clone());
                if key != "labels" {
                    collect_keys(value, keys);
                }
            }
        }
        Value::Array(array) => array.iter().for_each(|value| collect_keys(value, keys)),
        _ => {}
    }
}

/// What `clocks` waits on, with the hours until it is fed, and between two ticks; -1 for never.
const CLOCKS: [(&str, i64, i64); 7] = [
    ("after", 1, -1),
    ("timer", 2, -1),
    ("ticker", 3, 3),
    ("stopped", -1, -1),
    ("reset", 6, -1),
    ("quick", 5, 5),
    ("plain", -1, -1),
];

#[test]
fn a_channel_that_time_feeds_has_its_timer_where_the_runtime_knows_of_it() -> Result<()> {
    // Which Go, what its GODEBUG says, and whether the runtime knows then that a timer feeds a channel (`syncTimer` in
    // src/time/sleep.go), and makes believe that it has no buffer (`chancap` in src/runtime/chan.go).
    for (go, asynctimerchan, knows, hides) in [
        ("1.18.10", "", false, false),
        ("1.22.12", "", false, false),
        ("1.23.12", "", true, true),
        ("1.23.12", "1", false, false),
        ("1.23.12", "2", true, false),
        ("1.26.8", "", true, true),
        ("1.26.8", "1", false, false),
        ("1.27.4", "", true, true),
    ] {
        let program =
            Program::named("clocks").go(go).asking_for_its_go().flavour(Flavour::Stripped).build()?;
        let mut command = Command::new(&program);
        if !asynctimerchan.is_empty() {
            command.env("GODEBUG", format!("asynctimerchan={asynctimerchan}"));
        }
        let mut target = Target::spawn(&mut command, &program)?;
        target.line()?;
        has_timers(&mut target, knows, hides).with_context(|| format!("Go {go}, {asynctimerchan:?}"))?;
        target.finish()?;
    }
    Ok(())
}

fn has_timers(target: &mut Target, knows: bool, hides: bool) -> Result<()> {
    let snapshot = json(target)?;
    let own: Value = serde_json::from_str(&target.ask()?)?;
    ensure!(list(&snapshot, "unknown").is_empty(), "{}", snapshot["unknown"]);
    let ended = i64::try_from(snapshot["meta"]["ended_ns"].as_u64().context("ended_ns")?)?;
    for (name, due, every) in CLOCKS {
        let own = &own[name];
        let at = format!("{:#x}", own["address"].as_u64().context("an address")?);
        let channel = list(&snapshot, "channels").iter().find(|channel| channel["address"] == *at);
        let channel = channel.with_context(|| format!("{name} is not there"))?;
        ensure!(channel["len"] == 0 && channel["cap"] == 1, "{name}: {channel}");
        let is_fed = name != "plain";
        ensure!(own["len"] == 0 && own["cap"] == u8::from(!(hides && is_fed)), "{name}: {own}");
        ensure!(list(channel, "receivers").len() == 1 && list(channel, "senders").is_empty(), "{channel}");
        let timer = &channel["timer"];
        if !(knows && is_fed) {
            ensure!(timer.is_null(), "{name}: {timer}");
            continue;
        }
        let left = |due: i64| Some(due - ended).filter(|left| *left > 0).map(|left| left / 60_000_000_000);
        // It was set less than a minute ago.
        let right = match (timer["when_ns"].as_i64(), due) {
            (None, -1) => timer["when_ns"].is_null(),
            (Some(when), due) => left(when).is_some_and(|left| (60 * due - 1..=60 * due).contains(&left)),
            (None, _) => false,
        };
        ensure!(right, "{name}: {timer}");
        let period = if every < 0 { Value::Null } else { Value::from(every * 3_600_000_000_000) };
        ensure!(timer["period_ns"] == period, "{name}: {timer}");
    }
    Ok(())
}
