//! `--metrics`: what is scraped from a real trace is what docs/metrics.md promises, what the summary tells in the end, and
//! what a real Prometheus understands; and nobody who connects does a trace any harm.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use goflow_tests::goflow::{Goflow, binary, run};
use goflow_tests::http::{exchange, free_port, get};
use goflow_tests::programs::Program;
use goflow_tests::services::Service;
use goflow_tests::target::Target;
use goflow_tests::{PATIENCE, repository, until};
use tempfile::TempDir;

/// A trace that serves metrics.
struct Served {
    goflow: Goflow,
    port: u16,
}

/// One answer: values by the name of the metric and its labels, as they are written.
#[derive(Debug, Default)]
struct Scrape {
    text: String,
    /// Type by name.
    types: BTreeMap<String, String>,
    /// Labels by name.
    labels: BTreeMap<String, BTreeSet<String>>,
    values: BTreeMap<String, f64>,
}

impl Served {
    fn start(target: &Target, budget: &str, arguments: &[&str]) -> Result<Self> {
        let port = free_port()?;
        let mut command = Command::new(binary()?);
        command.args(["trace", "--format", "json", "--pid", &target.pid().to_string(), "--budget", budget]);
        command.args(["--metrics", &format!("127.0.0.1:{port}")]).args(arguments);
        Ok(Self { goflow: Goflow::spawn(&mut command)?.attached()?, port })
    }

    fn scrape(&self) -> Result<Scrape> {
        Scrape::parse(&until("metrics", PATIENCE, || Ok(get(self.port, "/metrics").ok()))?)
    }

    /// A scrape that came after the costs were measured.
    fn scrape_with_costs(&self) -> Result<Scrape> {
        until("costs", PATIENCE, || {
            Ok(Some(self.scrape()?).filter(|scrape| scrape.types.contains_key("goflow_cost_seconds_total")))
        })
    }
}

impl Scrape {
    fn parse(text: &str) -> Result<Self> {
        let mut scrape = Self { text: text.to_owned(), ..Self::default() };
        let mut helped = BTreeSet::new();
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                helped.insert(rest.split(' ').next().unwrap_or_default().to_owned());
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').context("no type")?;
                ensure!(helped.contains(name), "no help for {name}");
                scrape.types.insert(name.to_owned(), kind.to_owned());
                scrape.labels.entry(name.to_owned()).or_default();
            } else {
                let (series, value) = line.rsplit_once(' ').with_context(|| format!("no value: {line}"))?;
                let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
                let known = scrape.labels.get_mut(name).with_context(|| format!("no type for {name}"))?;
                let labels = labels.trim_end_matches('}').split(',');
                known.extend(labels.filter_map(|label| Some(label.split_once('=')?.0.to_owned())));
                let before = scrape.values.insert(series.to_owned(), value.parse()?);
                ensure!(before.is_none(), "{series} came twice");
            }
        }
        Ok(scrape)
    }

    fn value(&self, series: &str) -> Result<f64> {
        self.values.get(series).copied().with_context(|| format!("no {series} in {}", self.text))
    }

    /// The sum of all series of a metric.
    fn sum(&self, name: &str) -> f64 {
        let of = |series: &String| series.split('{').next() == Some(name);
        self.values.iter().filter(|(series, _)| of(series)).map(|(_, value)| value).sum()
    }

    fn counters(&self) -> impl Iterator<Item = (&String, f64)> {
        self.values.iter().map(|(series, value)| (series, *value)).filter(|(series, _)| {
            self.types.get(series.split('{').next().unwrap_or_default()).is_some_and(|kind| kind == "counter")
        })
    }
}

/// Name, type and labels of each metric on the page.
fn promised() -> Result<BTreeMap<String, (String, BTreeSet<String>)>> {
    let page = fs::read_to_string(repository().join("docs/metrics.md"))?;
    let mut promised = BTreeMap::new();
    for row in page.lines().filter(|line| line.starts_with("| `goflow_")) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let [_, name, kind, labels, meaning, _] = cells[..] else { bail!("a row of other cells: {row}") };
        ensure!(meaning.ends_with('.'), "no meaning: {row}");
        let labels = labels.split(", ").map(|label| label.trim_matches('`').to_owned());
        let labels = labels.filter(|label| !label.is_empty()).collect();
        promised.insert(name.trim_matches('`').to_owned(), (kind.to_owned(), labels));
    }
    Ok(promised)
}

#[test]
fn what_is_served_is_what_the_page_promises_and_only_grows() -> Result<()> {
    let target = Target::start::<&str>(&Program::named("pingpong").build()?, &[])?;
    let served = Served::start(&target, "2%", &[])?;
    let mut scrapes = Vec::new();
    let until = Instant::now() + Duration::from_secs(6);
    while Instant::now() < until {
        scrapes.push(served.scrape()?);
        std::thread::sleep(Duration::from_millis(150));
    }
    let last = served.scrape_with_costs()?;
    let found: BTreeMap<_, _> = last
        .types
        .iter()
        .map(|(name, kind)| (name.clone(), (kind.clone(), last.labels[name].clone())))
        .collect();
    ensure!(found == promised()?, "served {found:#?}\npromised {:#?}", promised()?);

    scrapes.push(last);
    for pair in scrapes.windows(2) {
        for (series, before) in pair[0].counters() {
            let after = pair[1].value(series)?;
            ensure!(after >= before, "{series} was {before} and is {after}");
        }
    }
    let last = scrapes.last().context("no scrape")?;
    // A target that does nothing else is watched in windows.
    ensure!(last.value(r#"goflow_level_mode{level="channels",mode="sampled"}"#)? == 1.0, "{}", last.text);
    ensure!(last.value(r#"goflow_level_windows_total{level="channels"}"#)? >= 1.0, "{}", last.text);
    ensure!(last.value(r#"goflow_level_watched{level="lifecycle"}"#)? == 1.0, "{}", last.text);
    ensure!(last.value("goflow_budget_ratio")? == 0.02 && last.value("goflow_hit_cost_measured")? == 1.0);
    let told = last.sum("goflow_cost_seconds_total") + last.value("goflow_turn_seconds_total")?;
    let used = last.value("goflow_target_cpu_seconds_total")?;
    let ratio = last.value("goflow_session_overhead_ratio")?;
    ensure!((told / used - ratio).abs() < 1e-6, "{told} of {used} is {ratio}");
    // Of the same time, but for the first moments.
    let recent = last.value("goflow_overhead_ratio")?;
    ensure!(recent > 0.0 && recent < ratio * 1.5, "{recent} of late, {ratio} in all");
    let session = served.goflow.stop()?;
    let summary = &session.summary;
    let all = summary.cost_ns as f64 / 1e9;
    // The last scrape is a second older than the end at most.
    ensure!(told <= all * 1.000_001 && told > all / 2.0, "{told} s were told of {all} s");
    let all = summary.target_cpu_ns.context("no CPU time")? as f64 / 1e9;
    ensure!(used <= all && used > all / 2.0, "{used} s were told of {all} s");
    target.finish()
}

#[test]
fn findings_are_counted_by_rule_and_only_those_that_are_asked() -> Result<()> {
    let target = Target::start(&Program::named("kernels").build()?, &["account-transfer"])?;
    let served = Served::start(&target, "2%", &["--rules", "circular-wait,deadlock"])?;
    let scrape = until("a finding", PATIENCE, || {
        let scrape = served.scrape()?;
        let is_found = scrape.value(r#"goflow_findings{rule="circular-wait"}"#)? == 1.0;
        Ok(Some(scrape).filter(|_| is_found))
    })?;
    ensure!(scrape.value(r#"goflow_findings_opened_total{rule="circular-wait"}"#)? == 1.0, "{}", scrape.text);
    ensure!(scrape.value(r#"goflow_findings{rule="deadlock"}"#)? == 0.0, "{}", scrape.text);
    ensure!(!scrape.text.contains("goroutine-leak"), "{}", scrape.text);
    served.goflow.stop()?;
    let served = Served::start(&target, "2%", &["--rules", "none"])?;
    ensure!(!served.scrape()?.text.contains("goflow_findings"), "nobody looks for any");
    served.goflow.stop()?;
    target.finish()
}

#[test]
fn hits_are_those_of_the_summary_once_the_program_does_nothing_more() -> Result<()> {
    let mut target = Target::start(&Program::named("counts").build()?, &["3"])?;
    let served = Served::start(&target, "none", &[])?;
    target.ask()?;
    // What it did is counted by now, and told a second later.
    std::thread::sleep(Duration::from_millis(2_500));
    let scrape = served.scrape()?;
    ensure!(!scrape.text.contains("goflow_budget_ratio"), "there is no budget");
    let session = served.goflow.stop()?;
    session.assert_nothing_lost()?;
    for hits in session.summary.hits.iter().filter(|hits| hits.probe.starts_with("chan")) {
        let binary = &session.meta().binary;
        let told = scrape
            .value(&format!(r#"goflow_probe_hits_total{{binary="{binary}",probe="{}"}}"#, hits.probe))?;
        ensure!(told == hits.hits as f64 && told > 0.0, "{told} hits were told of {hits:?}");
    }
    let (told, all) = (
        scrape.sum("goflow_probe_hits_total"),
        session.summary.hits.iter().map(|hits| hits.hits).sum::<u64>(),
    );
    // The runtime goes on a little by itself.
    ensure!(told <= all as f64 && told > 0.8 * all as f64, "{told} of {all}");
    ensure!(scrape.sum("goflow_events_lost_total") == 0.0);
    target.finish()
}

#[test]
fn where_there_is_no_probe_there_are_no_metrics_of_probes() -> Result<()> {
    let target = Target::start::<&str>(&Program::named("pingpong").build()?, &[])?;
    let port = free_port()?;
    let goflow = Goflow::attach(&[
        "--level",
        "snapshot",
        "--pid",
        &target.pid().to_string(),
        "--metrics",
        &format!("localhost:{port}"),
    ])?;
    let served = Served { goflow, port };
    let scrape = served.scrape()?;
    let promised = promised()?;
    ensure!(scrape.types.keys().all(|name| promised.contains_key(name)), "{:?}", scrape.types);
    for word in ["probe_hits", "cost", "level", "overhead", "budget"] {
        ensure!(!scrape.types.keys().any(|name| name.contains(word)), "{word}: {}", scrape.text);
    }
    ensure!(scrape.value("goflow_target_processes")? == 1.0, "{}", scrape.text);
    served.goflow.stop()?;
    target.finish()
}

#[test]
fn a_real_prometheus_scrapes_it_and_its_own_tool_finds_no_fault() -> Result<()> {
    let mut target = Target::start::<&str>(&Program::named("pingpong").build()?, &[])?;
    let served = Served::start(&target, "2%", &[])?;
    check(&served.scrape_with_costs()?.text)?;

    let (port, directory) = (free_port()?, TempDir::new()?);
    let config = directory.path().join("prometheus.yml");
    fs::write(
        &config,
        format!(
            "global: {{scrape_interval: 1s}}\nscrape_configs: [{{job_name: goflow, static_configs: [{{targets: \
             ['127.0.0.1:{}']}}]}}]\n",
            served.port
        ),
    )?;
    let prometheus = Service::Prometheus.executable()?;
    let mut command = Command::new(&prometheus);
    command.arg("--config.file").arg(&config);
    command.arg("--storage.tsdb.path").arg(directory.path().join("data"));
    command.arg(format!("--web.listen-address=127.0.0.1:{port}"));
    let server = Target::spawn(&mut command, &prometheus)?;
    let ask = |query: &str| -> Result<Option<f64>> {
        let Ok(answer) = get(port, &format!("/api/v1/query?query={query}")) else { return Ok(None) };
        let answer: serde_json::Value = serde_json::from_str(&answer)?;
        let value = answer["data"]["result"][0]["value"][1].as_str();
        value.map(|value| Ok(value.parse()?)).transpose()
    };
    let positive = |query: &'static str| {
        until(query, PATIENCE, || Ok(ask(query)?.filter(|value| *value > 0.0)))
            .with_context(|| server.complaints())
    };
    positive("up{job=%22goflow%22}")?;
    positive("rate(goflow_probe_hits_total{probe=%22chansend%22}[10s])")?;
    positive("rate(goflow_target_cpu_seconds_total[10s])")?;
    // Of a program that is watched in windows, part of the time. Prometheus divides by ten seconds from the first on, so the two
    // are compared with each other.
    let rate = |level: &str| format!("rate(goflow_level_watched_seconds_total{{level=%22{level}%22}}[10s])");
    let part = format!("{}%2Fignoring(level){}", rate("channels"), rate("lifecycle"));
    let part = until(&part, PATIENCE, || ask(&part))?;
    ensure!(part < 0.9, "channels are watched {part} of the time of goroutines that come and go");
    ensure!(positive("sum(goflow_level_mode)")? == 3.0);
    positive("rate(goflow_process_cpu_seconds_total[10s])")?;
    served.goflow.stop()?;
    target.is_alive()?;
    target.finish()
}

/// By the rules of Prometheus.
fn check(text: &str) -> Result<()> {
    let mut promtool = Command::new(Service::Promtool.executable()?)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    promtool.stdin.take().context("no standard input")?.write_all(text.as_bytes())?;
    let output = promtool.wait_with_output()?;
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    ensure!(output.status.success() && said.is_empty(), "promtool: {said}");
    Ok(())
}

#[test]
fn what_is_no_request_and_who_is_slow_does_no_harm() -> Result<()> {
    let mut target = Target::start(&Program::named("paced").build()?, &["800000"])?;
    let served = Served::start(&target, "none", &[])?;
    let port = served.port;
    served.scrape()?;
    for (request, status) in [
        ("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", "200"),
        ("HEAD /metrics HTTP/1.0\r\n\r\n", "200"),
        ("GET / HTTP/1.0\r\n\r\n", "404"),
        ("GET /metrics/../etc/passwd HTTP/1.0\r\n\r\n", "404"),
        ("POST /metrics HTTP/1.0\r\nContent-Length: 3\r\n\r\nabc", "405"),
        ("BREW /metrics HTTP/1.0\r\n\r\n", "405"),
        ("GET /metrics HTTP/9.9\r\n\r\n", "400"),
        ("\u{0}\u{1}\u{2}\r\n\r\n", "400"),
    ] {
        let (head, body) = exchange(port, request.as_bytes()).with_context(|| format!("{request:?}"))?;
        ensure!(head.split(' ').nth(1) == Some(status), "{request:?} was answered {head}");
        ensure!(!request.starts_with("HEAD") || body.is_empty(), "{body}");
    }
    // Bytes without an end, and heads that are too long, are hung up on.
    for garbage in [vec![0xff; 1 << 20], [b"GET /".to_vec(), vec![b'a'; 1 << 20]].concat()] {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        // It may be hung up on before all of it is written.
        let _ = stream.write_all(&garbage);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        ensure!(!answer.starts_with(b"HTTP/1.1 200"), "garbage was answered");
    }
    // More than are served at a time say nothing, or read nothing, and keep their places no longer than they may.
    let idle: Vec<TcpStream> = (0..80)
        .map(|number| {
            let mut stream = TcpStream::connect(("127.0.0.1", port))?;
            if number % 2 == 0 {
                stream.write_all(b"GET /metrics HTTP/1.1\r\n")?;
            }
            Ok(stream)
        })
        .collect::<Result<_>>()?;
    let before = target.operations()?;
    served.scrape()?;
    let after = target.operations()?;
    ensure!(after > before, "the target stands still");
    drop(idle);
    let session = served.goflow.stop()?;
    session.assert_nothing_lost()?;
    let sends = session.of_kind("chan_send").count() as u64;
    ensure!(sends >= after - before, "{sends} of {}", after - before);
    target.finish()
}

#[test]
fn an_address_that_others_reach_or_that_is_taken_is_refused_before_anything_is_attached() -> Result<()> {
    let target = Target::start::<&str>(&Program::named("pingpong").build()?, &[])?;
    let pid = target.pid().to_string();
    for address in ["0.0.0.0:9464", "[::]:9464", "192.0.2.1:9464", "[::ffff:0.0.0.0]:9464"] {
        let refused = run(&["trace", "--pid", &pid, "--metrics", address])?;
        refused.assert_refused(&["127.0.0.1:9464", "ssh -L 9464:127.0.0.1:9464", "sidecar"])?;
    }
    run(&["trace", "--pid", &pid, "--metrics", "9464"])?.assert_refused(&["127.0.0.1:9464"])?;
    let taken = std::net::TcpListener::bind("127.0.0.1:0")?;
    let address = taken.local_addr()?.to_string();
    let refused = run(&["trace", "--pid", &pid, "--metrics", &address])?;
    refused.assert_refused(&[&address, "in use", "another port", "ss -ltnp"])?;
    target.assert_text_is_untouched()?;
    target.finish()
}

#[test]
fn port_0_is_one_that_is_free_and_standard_error_tells_which() -> Result<()> {
    let target = Target::start::<&str>(&Program::named("pingpong").build()?, &[])?;
    let mut command = Command::new(binary()?);
    command.args(["trace", "--pid", &target.pid().to_string(), "--metrics", "[::1]:0", "--duration", "1s"]);
    let finished = Goflow::spawn(&mut command)?.finish()?;
    ensure!(finished.status.success(), "{}", finished.stderr);
    let address = finished.stderr.split("http://[::1]:").nth(1).and_then(|rest| rest.split('/').next());
    ensure!(
        address.is_some_and(|port| port.parse::<u16>().is_ok_and(|port| port > 0)),
        "{}",
        finished.stderr
    );
    target.finish()
}
