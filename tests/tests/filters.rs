//! What is recorded and what is only counted, against a program that tells exactly what each of its goroutines did.
//!
//! The tests are data (Go versions × what to record), so their names come from it.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, ensure};
use goflow_tests::goflow::{Goflow, run};
use goflow_tests::programs::{Flavour, Program, go_versions};
use goflow_tests::script::{Script, Tally};
use goflow_tests::stream::{Kind, Session, Waits};
use goflow_tests::target::Target;
use libtest_mimic::{Arguments, Failed, Trial};

type Test = fn(&Traced) -> Result<()>;

/// What each is called, how goflow is started, and what must hold.
const TESTS: [(&str, &[&str], Test); 5] = [
    (
        "of one in three goroutines everything is recorded, of the others nothing",
        &["--sample", "1/3"],
        a_sample_is_of_whole_goroutines,
    ),
    ("goroutines are recorded by where they were created", &["--created-at", "PLACE"], by_creation),
    ("a wait is one event that has the park it ends", &["--min-block", "0s"], a_wait_is_one_event),
    ("what is counted in the kernel is what the program did", &["--aggregate"], counts_are_exact),
    ("counts stay complete where the stream is thinned", &["--sample", "1/1000000"], counts_are_exact),
];

fn main() {
    let versions = go_versions();
    let newest = versions.last().copied().unwrap_or_default();
    let oldest = versions.first().copied().unwrap_or_default();
    let middle = versions.get(versions.len() / 2).copied().unwrap_or_default();
    let mut tests = Vec::new();
    for (go, flavour) in [(oldest, Flavour::Stripped), (middle, Flavour::Plain), (newest, Flavour::Pie)] {
        for (name, options, test) in TESTS {
            let name = format!("go{go} {}: {name}", flavour.name());
            tests.push(Trial::test(name, move || {
                of(Traced::new(go, flavour, options).and_then(|one| one.check(test)))
            }));
        }
    }
    // As on a kernel before 6.6.
    for (name, options, test) in TESTS {
        let options: Vec<&str> = options.iter().copied().chain(["--attach", "perf"]).collect();
        let name = format!("go{newest} stripped, one perf event a probe: {name}");
        tests.push(Trial::test(name, move || {
            of(Traced::new(newest, Flavour::Stripped, &options).and_then(|one| one.check(test)))
        }));
    }
    tests.push(Trial::test("one channel is recorded alone, with the waits on it", || of(one_channel())));
    tests.push(Trial::test("of long waits only those that last are recorded", || of(long_waits())));
    tests.push(Trial::test("what does not go together is refused", || of(misfits())));
    libtest_mimic::run(&Arguments::from_args(), tests).exit();
}

fn of(result: Result<()>) -> Result<(), Failed> {
    result.map_err(|error| format!("{error:#}").into())
}

/// A session with the program `counts`, and what that says it did.
struct Traced {
    target: Target,
    session: Session,
    script: Script,
    place: String,
}

impl Traced {
    fn new(go: &str, flavour: Flavour, options: &[&str]) -> Result<Self> {
        let program = Program::named("counts").go(go).flavour(flavour).build()?;
        // Of an earlier run, because nobody knows where goroutines are created before they are.
        let place = {
            let mut target = Target::start(&program, &["1"])?;
            let script = Script::parse(&target.ask()?)?;
            target.finish()?;
            let created = script.goroutines.iter().find(|tally| tally.parent != 0).context("no goroutine")?;
            created.created_at.clone()
        };
        let mut target = Target::start(&program, &["3"])?;
        let pid = target.pid().to_string();
        let options: Vec<&str> =
            options.iter().map(|&option| if option == "PLACE" { place.as_str() } else { option }).collect();
        let goflow = Goflow::attach(&[&["--pid", pid.as_str()], &options[..]].concat())?;
        let line = target.ask()?;
        let session = goflow.stop()?;
        session.assert_nothing_lost()?;
        Ok(Self { target, session, script: Script::parse(&line)?, place })
    }

    fn check(self, test: Test) -> Result<()> {
        test(&self)?;
        self.target.assert_text_is_untouched()?;
        self.target.finish()
    }

    fn pid(&self) -> u32 {
        self.target.pid()
    }

    fn expect(&self, is_recorded: impl Fn(&Tally) -> bool) -> Result<()> {
        let differences = self.script.differences_where(&self.session, self.pid(), is_recorded);
        ensure!(differences.is_empty(), "{} differences:\n{}", differences.len(), differences.join("\n"));
        Ok(())
    }
}

fn a_sample_is_of_whole_goroutines(traced: &Traced) -> Result<()> {
    // Whoever is in the sample does something.
    let seen: BTreeSet<u64> = traced
        .session
        .events
        .iter()
        .filter_map(|event| match event.kind {
            Kind::Ready { target, .. } => target,
            Kind::GoroutineCreate { child, .. } => child,
            _ => event.goid,
        })
        .collect();
    traced.expect(|tally| seen.contains(&tally.goid))?;
    let (part, all) = (
        traced.script.goroutines.iter().filter(|tally| seen.contains(&tally.goid)).count(),
        traced.script.goroutines.len(),
    );
    // Of some hundred goroutines: five standard deviations.
    let (expected, deviation) = (all as f64 / 3.0, (all as f64 * 2.0 / 9.0).sqrt());
    ensure!((part as f64 - expected).abs() < 5.0 * deviation && part > 0, "{part} of {all}");
    Ok(())
}

fn by_creation(traced: &Traced) -> Result<()> {
    let is_recorded = |tally: &Tally| tally.created_at == traced.place && tally.parent != 0;
    let (part, all) = (traced.script.sum(|tally| is_recorded(tally).into()), traced.script.goroutines.len());
    ensure!(part > 0 && (part as usize) < all, "{part} of {all}");
    traced.expect(is_recorded)
}

fn a_wait_is_one_event(traced: &Traced) -> Result<()> {
    ensure!(traced.session.of_kind("park").count() == 0 && traced.session.of_kind("sync_wait").count() == 0);
    for tally in &traced.script.goroutines {
        let mut waits: BTreeMap<&str, u64> = BTreeMap::new();
        for event in &traced.session.events {
            let Kind::Ready { target, parked_ns, wait_reason, stack } = &event.kind else { continue };
            if event.pid != traced.pid() || *target != Some(tally.goid) {
                continue;
            }
            let (parked, reason) =
                (parked_ns.context("no park")?, wait_reason.as_deref().context("no reason")?);
            ensure!(parked < event.t_ns && !stack.is_empty(), "{event:?}");
            // What the program does is on the stack, above the runtime's own.
            ensure!(stack.iter().any(|frame| frame.function().starts_with("main.")), "{stack:?}");
            *waits.entry(reason).or_default() += 1;
        }
        let woken: u64 = waits.values().sum();
        ensure!(woken == tally.wakes(), "goroutine {}: {waits:?} of {} wake-ups", tally.goid, tally.wakes());
        for (reason, count) in waits {
            let parks = tally.parks.get(reason).copied().unwrap_or(0);
            ensure!(count <= parks, "goroutine {}: {count} waits for {reason:?} of {parks}", tally.goid);
        }
    }
    Ok(())
}

fn counts_are_exact(traced: &Traced) -> Result<()> {
    let totals =
        traced.session.totals.iter().rfind(|one| one.last && one.pid == traced.pid()).context("no totals")?;
    ensure!(totals.left_out == 0 && totals.uncounted == 0, "{totals:?}");
    // The runtime itself uses no channel in this program.
    let [sends, receives, closes] = [0, 1, 2].map(|at| traced.script.sum(|tally| tally.operations()[at]));
    let sum =
        |of: fn(&goflow_tests::stream::ChannelTotals) -> u64| totals.channels.iter().map(of).sum::<u64>();
    ensure!(
        (sum(|one| one.sends), sum(|one| one.receives), sum(|one| one.closes)) == (sends, receives, closes),
        "not {sends}, {receives}, {closes}: {:?}",
        totals.channels
    );
    for waits in totals.channels.iter().flat_map(|one| [&one.send_waits, &one.receive_waits]) {
        is_sound(waits)?;
    }
    let mut expected: BTreeMap<Option<(String, u32)>, (u64, u64, u64)> = BTreeMap::new();
    for tally in traced.script.goroutines.iter().filter(|tally| tally.parent != 0) {
        let at = tally.position().and_then(|position| Some((position.file?, position.line?)));
        let entry = expected.entry(at).or_default();
        *entry = (entry.0 + 1, entry.1 + u64::from(tally.exited), entry.2 + tally.wakes());
    }
    for site in &totals.creation_sites {
        is_sound(&site.waits)?;
        let at = site.created_at.as_ref().and_then(|position| Some((position.file.clone()?, position.line?)));
        if let Some(expected) = expected.remove(&at) {
            let got = (site.created, site.exited, site.waits.count);
            ensure!(got == expected, "{at:?}: {got:?} instead of {expected:?}");
        }
    }
    ensure!(expected.is_empty(), "not counted: {expected:?}");
    let silent = traced.session.events.len() < traced.script.goroutines.len();
    ensure!(silent, "{} events", traced.session.events.len());
    Ok(())
}

/// The histogram has every wait once, and as long together as it says.
fn is_sound(waits: &Waits) -> Result<()> {
    let count: u64 = waits.histogram.iter().map(|bucket| bucket.count).sum();
    let most: u64 = waits.histogram.iter().map(|one| one.below_ns.unwrap_or(u64::MAX / 4) * one.count).sum();
    ensure!(count == waits.count && waits.total_ns <= most, "{waits:?}");
    let least: u64 = waits.histogram.iter().map(|one| one.below_ns.unwrap_or(0) / 2 * one.count).sum();
    // Everything below the first bucket's end may be next to nothing.
    ensure!(waits.total_ns + 1_024 * count >= least, "{waits:?}");
    Ok(())
}

fn one_channel() -> Result<()> {
    let target = Target::start::<&str>(&Program::named("pingpong").build()?, &[])?;
    let pid = target.pid().to_string();
    let all = run(&["trace", "--format", "json", "--duration", "300ms", "--pid", &pid])?;
    let all = all.session()?;
    let channels: BTreeSet<&str> = all.events.iter().filter_map(|event| channel_of(&event.kind)).collect();
    ensure!(channels.len() > 1, "{channels:?}");
    let wanted = *channels.first().context("no channel")?;
    let options = ["trace", "--format", "json", "--duration", "300ms", "--pid", &pid, "--channel", wanted];
    let session = run(&options)?.session()?;
    let (mut operations, mut waits) = (0, 0);
    for event in &session.events {
        match &event.kind {
            Kind::ChanSend(op) | Kind::ChanRecv(op) => {
                ensure!(op.chan == wanted, "{event:?}");
                operations += 1;
            }
            Kind::Ready { wait_reason, .. } => {
                let reason = wait_reason.as_deref().context("a wake-up without its park")?;
                ensure!(reason.starts_with("chan "), "{event:?}");
                waits += 1;
            }
            other => ensure!(other.name().starts_with("goroutine_"), "{event:?}"),
        }
    }
    ensure!(operations > 100 && waits > 100, "{operations} operations, {waits} waits");
    target.assert_text_is_untouched()?;
    target.finish()
}

fn channel_of(kind: &Kind) -> Option<&str> {
    match kind {
        Kind::ChanSend(op) | Kind::ChanRecv(op) => Some(&op.chan),
        _ => None,
    }
}

/// `timers` waits for 2 and up to 5 milliseconds at a time.
fn long_waits() -> Result<()> {
    for (least, expected) in [("1500us", 10..=40), ("1s", 0..=0)] {
        let mut target = Target::start::<&str>(&Program::named("timers").build()?, &[])?;
        let pid = target.pid().to_string();
        let goflow = Goflow::attach(&["--pid", &pid, "--min-block", least])?;
        target.ask()?;
        let session = goflow.stop()?;
        let waits: Vec<u64> = session
            .events
            .iter()
            .filter_map(|event| match event.kind {
                Kind::Ready { target: Some(1), parked_ns, .. } => Some(event.t_ns - parked_ns?),
                _ => None,
            })
            .collect();
        ensure!(expected.contains(&waits.len()), "{least}: {waits:?}");
        ensure!(waits.iter().all(|&wait| wait >= 1_500_000), "{least}: {waits:?}");
        target.finish()?;
    }
    Ok(())
}

fn misfits() -> Result<()> {
    let target = Target::start::<&str>(&Program::named("timers").build()?, &[])?;
    let pid = target.pid().to_string();
    for (options, says) in [
        (&["--sample", "1/0"][..], "1/100"),
        (&["--sample", "10%"], "1/100"),
        (&["--min-block", "10"], "unit"),
        (&["--min-block", "100000000d"], "a day"),
        (&["--min-block", "1ms", "--level", "lifecycle"], "--level blocking"),
        (&["--aggregate", "--level", "snapshot"], "--level lifecycle"),
        (&["--channel", "main.c"], "hexadecimal"),
        (&["--channel", "0"], "hexadecimal"),
        (&["--channel", "c000", "--pid", "1"], "one --pid"),
        (&["--channel", "c000", "--level", "lifecycle"], "--level channels"),
        (&["--created-at", ""], "FILE:LINE"),
        (&["--created-at", "no/such/package"], "no/such/package"),
    ] {
        let finished = run(&[&["trace", "--duration", "1s", "--pid", &pid], options].concat())?;
        finished.assert_refused(&[says]).with_context(|| format!("{options:?}"))?;
    }
    target.assert_text_is_untouched()?;
    target.finish()
}
