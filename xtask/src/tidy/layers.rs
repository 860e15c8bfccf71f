//! Rules of the architecture: who may import whom, who may touch the world, and one file per event family.

use super::source::{Source, covered};
use super::{Breach, Tree};

/// goflow-user's stages in the order of the data's way; each may import from itself and from those before it.
const STAGES: &[&str] = &["binary", "target", "probe", "ingest", "model", "detect", "sink"];

/// Modules that wire the stages and may import any.
const WIRING: &[&str] = &["pipeline", "cli"];

/// Stages that take values and give values: no file, no clock, no thread, no process, no socket.
const PURE: &[&str] = &["binary", "model", "detect"];

/// What a pure stage must not name, as path prefixes.
const IMPURE: &[&[&str]] = &[
    &["std", "fs"],
    &["std", "net"],
    &["std", "thread"],
    &["std", "process"],
    &["std", "env"],
    &["std", "io", "stdin"],
    &["std", "io", "stdout"],
    &["std", "time", "Instant"],
    &["std", "time", "SystemTime"],
    &["aya"],
    &["libc"],
    &["rustix"],
    &["memmap2"],
    &["crossbeam_channel"],
];

/// Where aya may be named: loading and attaching.
const MAY_USE_AYA: &[&str] = &["goflow-user/src/probe/"];

const USER_SOURCE: &str = "goflow-user/src/";

/// Directories that hold one file per event family, with files that are no family.
const FAMILY_LAYERS: &[(&str, &[&str])] =
    &[("goflow-common/src/event/", &["mod.rs"]), ("goflow-ebpf/src/probes/", &["mod.rs"])];

/// All rules on one file.
pub(super) fn check(source: &Source, breaches: &mut Vec<Breach>) {
    check_imports(source, breaches);
    check_purity(source, breaches);
    check_aya(source, breaches);
}

/// `goflow-user/src/probe/plan.rs` is of `probe`, `goflow-user/src/pipeline.rs` of `pipeline`.
fn module_of(file: &str) -> Option<&str> {
    let below = file.strip_prefix(USER_SOURCE)?;
    Some(below.split('/').next()?.trim_end_matches(".rs"))
}

fn stage_number(module: &str) -> Option<usize> {
    STAGES.iter().position(|stage| *stage == module)
}

/// A stage imports from earlier stages only, and never from the wiring.
fn check_imports(source: &Source, breaches: &mut Vec<Breach>) {
    let Some(stage) = module_of(&source.file).filter(|module| stage_number(module).is_some()) else { return };
    for (index, module) in crate_paths(source) {
        let later = stage_number(module) > stage_number(stage);
        if later || WIRING.contains(&module) {
            let order = STAGES.join(" < ");
            breaches.push(Breach {
                file: source.file.clone(),
                line: source.code[index].line,
                text: format!(
                    "stage `{stage}` imports from `{module}`, which comes after it; \
                     move what both need to the earlier stage ({order} < wiring)"
                ),
            });
        }
    }
}

/// First module of every `crate::…` path, also inside `use crate::{a::…, b}`.
fn crate_paths(source: &Source) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    for index in 0..source.code.len() {
        if !source.is(index, &["crate", ":", ":"]) {
            continue;
        }
        let first = index + 3;
        if source.is(first, &["{"]) {
            found.extend(first_words_of_group(source, first));
        } else if let Some(token) = source.code.get(first) {
            found.push((first, source.word(token)));
        }
    }
    found
}

/// `{a::{b, c}, d}` gives `a` and `d`.
fn first_words_of_group(source: &Source, open: usize) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let mut depth = 0usize;
    let mut expect_name = false;
    for (index, token) in source.code.iter().enumerate().skip(open) {
        match source.word(token) {
            "{" => {
                depth += 1;
                expect_name = depth == 1;
            }
            "}" if depth <= 1 => break,
            "}" => depth -= 1,
            "," => expect_name = depth == 1,
            word if expect_name => {
                found.push((index, word));
                expect_name = false;
            }
            _ => {}
        }
    }
    found
}

fn check_purity(source: &Source, breaches: &mut Vec<Breach>) {
    let Some(stage) = module_of(&source.file).filter(|module| PURE.contains(module)) else { return };
    let tests = source.test_code();
    for index in (0..source.code.len()).filter(|&index| !covered(&tests, index)) {
        if let Some(path) = IMPURE.iter().find(|path| starts_path(source, index, path)) {
            breaches.push(Breach {
                file: source.file.clone(),
                line: source.code[index].line,
                text: format!(
                    "`{stage}` is a pure stage and uses `{}`; let its caller do that and hand over the value",
                    path.join("::")
                ),
            });
        }
    }
}

/// Whether the path `a::b::c` starts at `index`, written out or with the last part in a `use a::b::{…, c, …}` group.
fn starts_path(source: &Source, index: usize, path: &[&str]) -> bool {
    let [parents @ .., last] = path else { return false };
    let before = index.checked_sub(1).map(|i| source.word(&source.code[i]));
    if matches!(before, Some(":" | ".")) || !source.is(index, &path[..1]) {
        return false;
    }
    if parents.is_empty() {
        return source.is(index + 1, &[":", ":"]);
    }
    let spelled: Vec<&str> = parents.iter().flat_map(|part| [*part, ":", ":"]).collect();
    if !source.is(index, &spelled) {
        return false;
    }
    let next = index + spelled.len();
    source.is(next, &[last])
        || (source.is(next, &["{"])
            && first_words_of_group(source, next).iter().any(|(_, word)| word == last))
}

fn check_aya(source: &Source, breaches: &mut Vec<Breach>) {
    let user_space = source.file.starts_with(USER_SOURCE);
    if !user_space || MAY_USE_AYA.iter().any(|place| source.file.starts_with(place)) {
        return;
    }
    for index in 0..source.code.len() {
        if ["aya", "aya_obj"].iter().any(|name| starts_path(source, index, &[name])) {
            breaches.push(Breach {
                file: source.file.clone(),
                line: source.code[index].line,
                text: format!(
                    "aya is used outside {}; give the value a type of ours there",
                    MAY_USE_AYA.join(" and ")
                ),
            });
        }
    }
}

/// Every event family has its file in every layer.
pub(super) fn check_families(tree: &Tree, breaches: &mut Vec<Breach>) {
    let layers: Vec<(&str, Vec<&str>)> = FAMILY_LAYERS
        .iter()
        .map(|(dir, others)| {
            let below = tree.files.iter().filter_map(|file| file.strip_prefix(dir));
            (*dir, below.filter(|name| !name.contains('/') && !others.contains(name)).collect())
        })
        .collect();
    for (dir, families) in &layers {
        for (other, there) in &layers {
            for family in families.iter().filter(|family| !there.contains(family)) {
                breaches.push(Breach {
                    file: format!("{dir}{family}"),
                    line: 1,
                    text: format!(
                        "this event family has no {other}{family}; a family has the same file in every layer"
                    ),
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{assert_one, found};
    use super::*;

    #[test]
    fn an_import_from_a_later_stage_is_found_in_every_spelling() {
        let file = "goflow-user/src/probe/plan.rs";
        for text in [
            "use crate::ingest::event::Pid;",
            "use crate::{binary::addr, ingest};",
            "fn f() -> crate::ingest::event::Pid { todo() }",
            "use crate::{\n    pipeline::Message};",
        ] {
            assert_one(&found(check_imports, file, text), text.lines().count(), "comes after it");
        }
    }

    #[test]
    fn imports_from_earlier_stages_and_by_the_wiring_are_fine() {
        let earlier =
            "use crate::binary::addr::LinkAddr; use crate::{target, probe::plan}; // crate::sink::x";
        assert!(found(check_imports, "goflow-user/src/probe/plan.rs", earlier).is_empty());
        let all = "use crate::{binary, sink, ingest};";
        assert!(found(check_imports, "goflow-user/src/pipeline/mod.rs", all).is_empty());
        assert!(found(check_imports, "goflow-user/src/pipeline.rs", all).is_empty());
    }

    #[test]
    fn a_clock_or_a_file_in_a_pure_stage_is_found() {
        let file = "goflow-user/src/binary/elf.rs";
        for text in [
            "use std::fs;",
            "use std::{fmt, fs::File};",
            "fn f() { std::fs::read(p); }",
            "use std::time::{Duration, Instant};",
            "use rustix::mm::mmap;",
        ] {
            assert_one(&found(check_purity, file, text), 1, "pure stage");
        }
    }

    #[test]
    fn a_pure_stage_may_use_durations_and_its_tests_may_use_files() {
        let file = "goflow-user/src/binary/elf.rs";
        let text = "use std::time::Duration; // std::fs\n#[cfg(test)] mod tests { use std::fs; }";
        assert!(found(check_purity, file, text).is_empty());
        assert!(found(check_purity, "goflow-user/src/target/process.rs", "use std::fs;").is_empty());
    }

    #[test]
    fn aya_is_found_outside_its_place() {
        let text = "use aya::Ebpf;";
        assert_one(&found(check_aya, "goflow-user/src/pipeline/session.rs", text), 1, "aya is used outside");
        assert!(found(check_aya, "goflow-user/src/probe/load.rs", text).is_empty());
        assert!(found(check_aya, "goflow-user/src/cli/mod.rs", "let aya = 1; f(aya);").is_empty());
    }

    #[test]
    fn an_event_family_without_its_probes_is_found() {
        let files = [
            "goflow-common/src/event/mod.rs",
            "goflow-common/src/event/park.rs",
            "goflow-ebpf/src/probes/mod.rs",
        ];
        let tree = Tree { root: ".".into(), files: files.map(str::to_owned).to_vec() };
        let mut breaches = Vec::new();
        check_families(&tree, &mut breaches);
        assert_eq!(breaches.len(), 1);
        assert!(breaches[0].to_string().contains("no goflow-ebpf/src/probes/park.rs"), "{}", breaches[0]);
    }
}
