//! Production programs as their vendors ship them, stripped, under a real load on the loopback: goflow sees what they
//! do, and they do it as well as before.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use goflow_tests::causality::{self, Verdict};
use goflow_tests::goflow::Goflow;
use goflow_tests::http::{free_port, get, post};
use goflow_tests::services::Service;
use goflow_tests::stream::{Kind, Position, Session, probes_of_level};
use goflow_tests::target::Target;
use goflow_tests::{PATIENCE, until};
use tempfile::TempDir;

/// How long each service is under load and traced.
const LOAD: Duration = Duration::from_secs(2);
const CLIENTS: usize = 4;

#[test]
fn etcd_as_debian_ships_it_stores_and_returns_every_value() -> Result<()> {
    let (port, peers) = (free_port()?, free_port()?);
    let directory = TempDir::new()?;
    let mut command = Command::new(Service::Etcd.executable()?);
    command.arg("--data-dir").arg(directory.path());
    command.arg(format!("--listen-client-urls=http://127.0.0.1:{port}"));
    command.arg(format!("--advertise-client-urls=http://127.0.0.1:{port}"));
    command.arg(format!("--listen-peer-urls=http://127.0.0.1:{peers}"));
    command.arg(format!("--initial-advertise-peer-urls=http://127.0.0.1:{peers}"));
    command.arg(format!("--initial-cluster=default=http://127.0.0.1:{peers}"));
    // Keys and values are base64 text, which any eight digits are.
    let session = traced_under_load(Service::Etcd, command, port, |client, i| {
        let (key, value) = (format!("{client:04}{:04}", i % 50), format!("{i:08}"));
        let put = format!(r#"{{"key":"{key}","value":"{value}"}}"#);
        post(port, "/v3/kv/put", &put)?;
        let answer = post(port, "/v3/kv/range", &format!(r#"{{"key":"{key}"}}"#))?;
        ensure!(answer.contains(&format!(r#""value":"{value}""#)), "stored {value}, got {answer}");
        Ok(())
    })?;
    goroutines_come_from(&session, &["go.etcd.io/etcd/", "net/http.(*Server).Serve"])
}

#[test]
fn caddy_as_debian_ships_it_serves_every_file() -> Result<()> {
    let port = free_port()?;
    let directory = TempDir::new()?;
    for i in 0..10 {
        fs::write(directory.path().join(format!("{i}.txt")), format!("file {i}\n").repeat(100 * i))?;
    }
    let mut command = Command::new(Service::Caddy.executable()?);
    command.arg("file-server").arg("--root").arg(directory.path());
    command.arg("--listen").arg(format!("127.0.0.1:{port}")).env("HOME", directory.path());
    let session = traced_under_load(Service::Caddy, command, port, |_, i| {
        let file = i % 10;
        let answer = get(port, &format!("/{file}.txt"))?;
        ensure!(answer == format!("file {file}\n").repeat(100 * file), "file {file} came as {answer:?}");
        Ok(())
    })?;
    goroutines_come_from(&session, &["net/http.(*Server).Serve"])
}

#[test]
fn prometheus_as_debian_ships_it_answers_every_query() -> Result<()> {
    let port = free_port()?;
    let directory = TempDir::new()?;
    let config = directory.path().join("prometheus.yml");
    fs::write(
        &config,
        format!(
            "global: {{scrape_interval: 1s}}\nscrape_configs: [{{job_name: self, static_configs: [{{targets: \
             ['127.0.0.1:{port}']}}]}}]\n"
        ),
    )?;
    let mut command = Command::new(Service::Prometheus.executable()?);
    command.arg("--config.file").arg(&config);
    command.arg("--storage.tsdb.path").arg(directory.path().join("data"));
    command.arg(format!("--web.listen-address=127.0.0.1:{port}"));
    let session = traced_under_load(Service::Prometheus, command, port, |_, i| {
        let answer = get(port, &format!("/api/v1/query?query={i}%2B1"))?;
        ensure!(answer.contains(&format!(r#""{}"]"#, i + 1)), "{i}+1 is {answer}");
        Ok(())
    })?;
    goroutines_come_from(&session, &["github.com/prometheus/client_golang/", "net/http.(*Server).Serve"])
}

#[test]
fn esbuild_as_npm_ships_it_bundles_every_time() -> Result<()> {
    let port = free_port()?;
    let directory = TempDir::new()?;
    for module in 0..20 {
        let text = format!("export const answer{module} = 'module number {module}'\n");
        fs::write(directory.path().join(format!("m{module}.js")), text)?;
    }
    let imports: String =
        (0..20).map(|m| format!("import {{answer{m}}} from './m{m}.js'\nconsole.log(answer{m})\n")).collect();
    fs::write(directory.path().join("app.js"), imports)?;
    let mut command = Command::new(Service::Esbuild.executable()?);
    command.args(["app.js", "--bundle", "--outdir=out", "--servedir=."]);
    command.arg(format!("--serve=127.0.0.1:{port}")).current_dir(directory.path());
    let session = traced_under_load(Service::Esbuild, command, port, |_, _| {
        let answer = get(port, "/out/app.js")?;
        for module in 0..20 {
            ensure!(answer.contains(&format!("module number {module}")), "no module {module} in {answer}");
        }
        Ok(())
    })?;
    goroutines_come_from(&session, &["github.com/evanw/esbuild/", "net/http.(*Server).Serve"])
}

/// Starts the service, attaches, and lets clients make requests until the time is up; each checks its answers.
fn traced_under_load(
    service: Service,
    mut command: Command,
    port: u16,
    request: impl Fn(usize, usize) -> Result<()> + Sync,
) -> Result<Session> {
    let executable = service.executable()?;
    let mut target = Target::spawn(&mut command, &executable)?;
    until("the service answers", PATIENCE, || Ok(request(0, 0).ok()))
        .with_context(|| format!("{} on port {port}", service.name()))?;
    let goflow = Goflow::attach_to(target.pid())?;
    let requests = load(&request)?;
    ensure!(requests > 50, "only {requests} requests: no load");
    let session = goflow.stop()?;
    ensure!(target.is_alive()?, "{} has died: {}", service.name(), target.complaints());
    request(0, 0).context("after the trace")?;
    target.assert_text_is_untouched()?;
    is_plausible(&session, requests)?;
    Ok(session)
}

fn load(request: &(impl Fn(usize, usize) -> Result<()> + Sync)) -> Result<usize> {
    let deadline = Instant::now() + LOAD;
    let client = |client: usize| {
        let mut requests = 0;
        while Instant::now() < deadline {
            request(client, requests).with_context(|| format!("client {client}, request {requests}"))?;
            requests += 1;
        }
        Ok(requests)
    };
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS).map(|number| scope.spawn(move || client(number))).collect();
        clients
            .into_iter()
            .map(|client| client.join().unwrap_or_else(|_| Err(anyhow::anyhow!("a client panicked"))))
            .sum()
    })
}

/// What can be checked of a program whose source we do not hold.
fn is_plausible(session: &Session, requests: usize) -> Result<()> {
    let meta = session.meta();
    ensure!(meta.symbol_source == "pclntab", "symbols of a stripped binary from {}", meta.symbol_source);
    ensure!(meta.offset_source == "table", "offsets of a stripped binary from {}", meta.offset_source);
    let missing: Vec<&str> = probes_of_level("channels")
        .into_iter()
        .filter(|probe| !meta.probes.iter().any(|placed| placed.probe == *probe))
        .collect();
    ensure!(missing.is_empty(), "not in place: {missing:?}: {:?}", meta.unavailable);
    session.assert_nothing_lost()?;
    ensure!(session.events.iter().all(|event| event.goid.is_some()), "a goroutine without id");
    let created = session.of_kind("goroutine_create").count();
    // One connection a request, and a goroutine for each.
    ensure!(created >= requests, "{created} goroutines for {requests} connections");
    parks_have_reasons_and_stacks(session)?;
    let verdict = causality::check(session);
    ensure!(verdict.violations.is_empty(), "{verdict:#?}");
    let Verdict { wakes, wakes_of_the_awake, .. } = verdict;
    ensure!(wakes_of_the_awake * 100 < wakes, "{wakes_of_the_awake} of {wakes} wakes of who was not parked");
    Ok(())
}

fn parks_have_reasons_and_stacks(session: &Session) -> Result<()> {
    let mut reasons = BTreeSet::new();
    for event in session.of_kind("park") {
        let Kind::Park { wait_reason, stack, .. } = &event.kind else { continue };
        let reason = wait_reason.as_deref().with_context(|| format!("a park without a reason: {event:?}"))?;
        reasons.insert(reason.to_owned());
        let innermost = stack.first().with_context(|| format!("a park without a stack: {event:?}"))?;
        ensure!(innermost.function.is_some(), "an innermost frame without a name: {event:?}");
        let outermost = stack.last().map(|frame| frame.function()).unwrap_or_default();
        ensure!(stack.len() > 1 || outermost.starts_with("runtime."), "a stack of one frame: {event:?}");
    }
    // Connections are read through the network poller, by every one of these programs.
    ensure!(reasons.contains("IO wait"), "nobody waits for the network: {reasons:?}");
    let known = ["select", "chan receive", "semacquire", "sync.Mutex.Lock", "sleep"];
    ensure!(known.iter().any(|reason| reasons.contains(*reason)), "unusual reasons: {reasons:?}");
    Ok(())
}

/// For each of these prefixes there is a function that creates goroutines, and every goroutine's start has a name.
fn goroutines_come_from(session: &Session, functions: &[&str]) -> Result<()> {
    let mut creators = BTreeSet::new();
    for event in session.of_kind("goroutine_create") {
        let Kind::GoroutineCreate { created_at, start, .. } = &event.kind else { continue };
        let named = |position: &Option<Position>| position.as_ref().is_some_and(|it| it.function.is_some());
        ensure!(named(created_at) && named(start), "a creation without names: {event:?}");
        creators.extend(created_at.as_ref().map(Position::function));
    }
    for function in functions {
        ensure!(creators.iter().any(|name| name.starts_with(function)), "no {function} among {creators:#?}");
    }
    Ok(())
}
