//! Every line of real traces against docs/events.schema.json, and every type of line is among them.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use goflow_tests::goflow::Goflow;
use goflow_tests::programs::{Flavour, Program, go_versions};
use goflow_tests::services::Service;
use goflow_tests::target::Target;
use goflow_tests::{PATIENCE, repository, until};
use jsonschema::Validator;
use rustix::process::Signal;
use serde_json::Value;

/// The schema, and how many lines of each type it was held against.
struct Checked {
    validator: Validator,
    lines: BTreeMap<String, u64>,
}

impl Checked {
    fn new() -> Result<Self> {
        let schema = std::fs::read_to_string(repository().join("docs/events.schema.json"))?;
        let validator = jsonschema::validator_for(&serde_json::from_str(&schema)?)?;
        Ok(Self { validator, lines: BTreeMap::new() })
    }

    /// Stops goflow and checks all it has printed.
    fn stop(&mut self, goflow: Goflow) -> Result<()> {
        goflow.signal(Signal::INT)?;
        self.finish(goflow)
    }

    fn finish(&mut self, goflow: Goflow) -> Result<()> {
        let finished = goflow.finish()?;
        // The harness's own demands on a stream come first: they are easier to read.
        finished.session()?;
        for line in String::from_utf8(finished.stdout)?.lines() {
            let value: Value = serde_json::from_str(line)?;
            if !self.validator.is_valid(&value) {
                let errors: Vec<_> =
                    self.validator.iter_errors(&value).map(|error| error.to_string()).collect();
                bail!("{errors:#?}\n{line}");
            }
            let word = |key: &str| value[key].as_str().unwrap_or_default().to_owned();
            let kind = if word("type") == "event" { word("kind") } else { word("type") };
            *self.lines.entry(kind).or_default() += 1;
        }
        Ok(())
    }

    fn assert_has(&self, types: &[&str]) -> Result<()> {
        let missing: Vec<_> = types.iter().filter(|name| !self.lines.contains_key(**name)).collect();
        ensure!(missing.is_empty(), "no line of {missing:?} among {:?}", self.lines);
        Ok(())
    }
}

#[test]
fn a_program_with_every_operation_by_the_oldest_and_the_newest_go() -> Result<()> {
    let mut checked = Checked::new()?;
    for go in [go_versions().first(), go_versions().last()].into_iter().flatten() {
        for flavour in [Flavour::Plain, Flavour::Stripped, Flavour::Pie] {
            let program = Program::named("counts").go(go).flavour(flavour).build()?;
            let mut target = Target::start(&program, &["1"])?;
            let goflow = Goflow::attach_to(target.pid())?;
            target.ask()?;
            target.finish()?;
            checked.finish(goflow).with_context(|| format!("{go} {}", flavour.name()))?;
        }
    }
    checked.assert_has(&[
        "meta",
        "process",
        "process_exit",
        "snapshot",
        "goroutine_create",
        "goroutine_exit",
        "park",
        "ready",
        "chan_make",
        "chan_send",
        "chan_recv",
        "chan_close",
        "select",
        "sync_wait",
        "waitgroup_add",
        "summary",
    ])
}

#[test]
fn what_is_recorded_in_part_and_what_is_counted() -> Result<()> {
    let mut checked = Checked::new()?;
    let program = Program::named("counts").build()?;
    for options in
        [&["--min-block", "0s"][..], &["--sample", "1/2", "--created-at", "main"], &["--aggregate"]]
    {
        let mut target = Target::start(&program, &["1"])?;
        let goflow = Goflow::attach(&[&["--pid", &target.pid().to_string()], options].concat())?;
        target.ask()?;
        target.finish()?;
        checked.finish(goflow).with_context(|| format!("{options:?}"))?;
    }
    checked.assert_has(&["meta", "ready", "totals", "summary"])
}

#[test]
fn a_trace_that_lost_events() -> Result<()> {
    let mut checked = Checked::new()?;
    let target = Target::start::<&str>(&Program::named("storm").build()?, &[])?;
    let goflow = Goflow::attach(&["--pid", &target.pid().to_string(), "--buffer", "64KiB"])?;
    goflow.signal(Signal::STOP)?;
    std::thread::sleep(Duration::from_millis(100));
    goflow.signal(Signal::CONT)?;
    until("a loss", PATIENCE, || Ok(goflow.printed().contains(r#""type":"lost""#).then_some(())))?;
    checked.stop(goflow)?;
    checked.assert_has(&["lost", "summary"])?;
    target.finish()
}

#[test]
fn caddy_as_debian_ships_it() -> Result<()> {
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let caddy = Service::Caddy.executable()?;
    let mut command = Command::new(&caddy);
    command.args(["respond", "--body", "hello", "--listen", &format!("127.0.0.1:{port}")]);
    let target = Target::spawn(&mut command, &caddy)?;
    until("caddy answers", PATIENCE, || Ok(ask(port).ok()))?;
    let mut checked = Checked::new()?;
    let goflow = Goflow::attach_to(target.pid())?;
    for _ in 0..200 {
        ask(port)?;
    }
    checked.stop(goflow)?;
    checked.assert_has(&["goroutine_create", "goroutine_exit", "park", "ready", "chan_make", "sync_wait"])
}

fn ask(port: u16) -> Result<()> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    ensure!(answer.ends_with("hello"), "it answered {answer:?}");
    Ok(())
}
