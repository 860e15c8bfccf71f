//! `goflow inspect`: the facts of programs of our own and of others', as text and as JSON, and the page that explains them.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use goflow_tests::goflow::{Finished, Goflow, run};
use goflow_tests::programs::{Flavour, Program};
use goflow_tests::repository;
use goflow_tests::services::Service;
use goflow_tests::stream::probes_of_level;
use serde_json::Value;

fn facts(file: &str) -> Result<Value> {
    let finished = run(&["inspect", "--format", "json", file])?;
    is_clean(&finished)?;
    Ok(serde_json::from_slice(&finished.stdout)?)
}

fn is_clean(finished: &Finished) -> Result<()> {
    ensure!(finished.status.success(), "{}: {}", finished.status, finished.stderr);
    ensure!(finished.stderr.is_empty(), "{}", finished.stderr);
    Ok(())
}

fn text<'f>(facts: &'f Value, key: &str) -> &'f str {
    facts[key].as_str().unwrap_or_default()
}

/// Names of the probes that have a place.
fn probes(facts: &Value) -> BTreeSet<&str> {
    let functions = facts["functions"].as_array().into_iter().flatten();
    let probes = functions.flat_map(|function| function["probes"].as_array().into_iter().flatten());
    probes.map(|probe| text(probe, "probe")).collect()
}

fn every_probe_has_its_place(facts: &Value) -> Result<()> {
    let expected: BTreeSet<&str> = probes_of_level("channels").into_iter().collect();
    ensure!(probes(facts) == expected, "probes in place: {:?}", probes(facts));
    Ok(())
}

#[test]
fn a_stripped_program_tells_as_much_as_its_symbols_did() -> Result<()> {
    let of = |flavour| -> Result<Value> {
        let program = Program::named("counts").flavour(flavour).build()?;
        facts(program.to_str().context("a path")?)
    };
    let (plain, stripped) = (of(Flavour::Plain)?, of(Flavour::Stripped)?);
    ensure!(text(&plain, "symbols_from") == "elf" && text(&plain, "offsets_from") == "dwarf", "{plain}");
    ensure!(
        text(&stripped, "symbols_from") == "pclntab" && text(&stripped, "offsets_from") == "table",
        "{stripped}"
    );
    for facts in [&plain, &stripped] {
        every_probe_has_its_place(facts)?;
        ensure!(facts["not_available"] == Value::Array(Vec::new()), "{}", facts["not_available"]);
        ensure!(
            facts["globals"].as_object().is_some_and(|globals| globals.len() > 4),
            "{}",
            facts["globals"]
        );
    }
    ensure!(
        plain["go_version"] == stripped["go_version"] && plain["module"] == stripped["module"],
        "{stripped}"
    );
    Ok(())
}

#[test]
fn a_probe_is_at_the_instruction_it_names() -> Result<()> {
    let program = Program::named("counts").flavour(Flavour::Stripped).build()?;
    let facts = facts(program.to_str().context("a path")?)?;
    let file = fs::read(&program)?;
    let (mut pushes, mut returns) = (0, 0);
    for function in facts["functions"].as_array().context("functions")? {
        for probe in function["probes"].as_array().context("probes")? {
            let digits = text(probe, "file_offset").trim_start_matches("0x");
            let byte = file[usize::from_str_radix(digits, 16)?];
            match text(probe, "instruction") {
                "push %rbp" => {
                    ensure!(byte == 0x55, "{probe} is on {byte:#x}");
                    pushes += 1;
                }
                "ret" => {
                    ensure!(byte == 0xc3, "{probe} is on {byte:#x}");
                    returns += 1;
                }
                jump if jump.starts_with("jne ") => ensure!(byte == 0x75, "{probe} is on {byte:#x}"),
                _ => {}
            }
        }
    }
    ensure!(pushes > 5 && returns > 0, "{pushes} pushes, {returns} returns");
    Ok(())
}

#[test]
fn what_vendors_ship_stripped_has_every_probe() -> Result<()> {
    for service in [Service::Etcd, Service::Caddy, Service::Prometheus] {
        let facts = facts(service.executable()?.to_str().context("a path")?)?;
        every_probe_has_its_place(&facts).context(service.name())?;
        ensure!(text(&facts, "symbols_from") == "pclntab", "{}: {facts}", service.name());
        ensure!(text(&facts, "go_version_from") == "build_info", "{}: {facts}", service.name());
        ensure!(facts["cgo"] == Value::Bool(true), "{}: {facts}", service.name());
    }
    Ok(())
}

#[test]
fn a_program_without_build_info_tells_its_version_all_the_same() -> Result<()> {
    let facts = facts(Service::Esbuild.executable()?.to_str().context("a path")?)?;
    ensure!(text(&facts, "recognised_by") == "pclntab_section", "{facts}");
    ensure!(text(&facts, "go_version_from") == "runtime", "{facts}");
    ensure!(text(&facts, "go_version").starts_with("go1."), "{facts}");
    ensure!(
        facts["module"].is_null() && facts["settings"] == Value::Object(serde_json::Map::new()),
        "{facts}"
    );
    Ok(())
}

#[test]
fn the_page_has_the_same_facts_in_columns() -> Result<()> {
    let program = Program::named("idle").build()?;
    let finished = run(&["inspect", program.to_str().context("a path")?])?;
    is_clean(&finished)?;
    let page = String::from_utf8(finished.stdout)?;
    let facts = facts(program.to_str().context("a path")?)?;
    for (name, key) in
        [("Go version", "go_version"), ("Main package", "package"), ("Go build id", "go_build_id")]
    {
        let line =
            page.lines().find(|line| line.starts_with(name)).with_context(|| format!("{name}:\n{page}"))?;
        ensure!(line.contains(text(&facts, key)), "{line}, and {key} is {}", facts[key]);
    }
    let columns: BTreeSet<usize> = page
        .lines()
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.rfind("  ").filter(|&at| at < 20))
        .collect();
    ensure!(columns.len() == 1, "values start in columns {columns:?}:\n{page}");
    // It has no RWMutex, so the linker dropped the function.
    ensure!(
        page.contains("\nNot available\n") && page.contains("sync.(*RWMutex).Lock is not in this binary"),
        "{page}"
    );
    Ok(())
}

#[test]
fn every_key_is_explained_on_its_page() -> Result<()> {
    let page = fs::read_to_string(repository().join("docs/inspect.md"))?;
    let explained: BTreeSet<&str> = page.split('`').skip(1).step_by(2).collect();
    let program = Program::named("idle").build()?;
    let facts = facts(program.to_str().context("a path")?)?;
    let mut keys = BTreeSet::new();
    collect_keys(&facts, &mut keys);
    ensure!(keys.len() > 30, "{keys:?}");
    let missing: Vec<_> = keys.iter().filter(|key| !explained.contains(key.as_str())).collect();
    ensure!(missing.is_empty(), "not in docs/inspect.md: {missing:?}");
    Ok(())
}

/// Every key of an object and of what is in it, but not the names that are data.
fn collect_keys(value: &Value, keys: &mut BTreeSet<String>) {
    match value {
        Value::Object(object) => {
            for (key, value) in object {
                keys.insert(key.clone());
                if key != "settings" && key != "globals" {
                    collect_keys(value, keys);
                }
            }
        }
        Value::Array(array) => array.iter().for_each(|value| collect_keys(value, keys)),
        _ => {}
    }
}

/// Whether process `pid` has `file` in its memory; a process that ends has nothing.
fn maps(pid: u32, file: &Path) -> Result<bool> {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps"))?;
    Ok(maps.lines().any(|line| line.ends_with(&*file.to_string_lossy())))
}

/// An upgrade that writes into the file instead of replacing it, while goflow has it mapped.
#[test]
fn a_file_that_is_truncated_meanwhile_is_an_error_and_no_crash() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let service = fs::read(Service::Prometheus.executable()?)?;
    let mut met = 0;
    for round in 0..20 {
        let path = directory.path().join(format!("program-{round}"));
        fs::write(&path, &service)?;
        let mut goflow = Goflow::start(&["inspect".as_ref(), path.as_os_str()])?;
        // Without a pause between two looks: the whole of it takes ten milliseconds.
        while !maps(goflow.pid(), &path)? && !goflow.has_ended()? {
            std::hint::spin_loop();
        }
        std::thread::sleep(Duration::from_micros(500) * round);
        fs::File::options().write(true).open(&path)?.set_len(4096)?;
        let finished = goflow.finish()?;
        fs::remove_file(&path)?;
        let code = finished.status.code().with_context(|| format!("{}", finished.status))?;
        ensure!(code == 0 || code == 2, "status {code}: {}", finished.stderr);
        met += u32::from(finished.stderr.contains("truncated, or could not be read"));
    }
    ensure!(met > 0, "the file was never truncated while it was read");
    Ok(())
}
