//! What goflow cannot trace it refuses: a sentence, status 2, within a second, nothing left behind, no panic.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use goflow_tests::goflow::{Finished, Goflow, binary, run};
use goflow_tests::programs::{Flavour, Program, replace_all};
use goflow_tests::script::Script;
use goflow_tests::services::Service;
use goflow_tests::target::Target;
use tempfile::TempDir;

/// Every way to give goflow a file refuses it, with the file's name and these words.
fn is_refused(file: &Path, words: &[&str]) -> Result<()> {
    let name = file.file_name().and_then(|name| name.to_str()).context("a name")?;
    let words: Vec<&str> = words.iter().copied().chain([name]).collect();
    for command in [&["inspect"][..], &["trace", "--binary"], &["trace", "--"]] {
        let mut arguments: Vec<&str> = command.to_vec();
        arguments.push(file.to_str().context("a path")?);
        run(&arguments)?.assert_refused(&words).with_context(|| format!("goflow {}", arguments.join(" ")))?;
    }
    Ok(())
}

struct Crafted(TempDir);

impl Crafted {
    fn new() -> Result<Self> {
        let directory = TempDir::new()?;
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755))?;
        Ok(Self(directory))
    }

    fn executable(&self, name: &str, bytes: &[u8]) -> Result<PathBuf> {
        let path = self.0.path().join(name);
        fs::write(&path, bytes)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
        Ok(path)
    }
}

#[test]
fn a_file_that_is_not_elf_is_refused() -> Result<()> {
    let crafted = Crafted::new()?;
    is_refused(&crafted.executable("text", b"hello, this is no program\n")?, &["ELF"])?;
    is_refused(&crafted.executable("nothing", b"")?, &[])?;
    is_refused(&crafted.executable("magic", b"\x7fELF")?, &[])?;
    is_refused(&crafted.executable("script", b"#!/bin/sh\nexit 0\n")?, &["script"])
}

#[test]
fn a_file_that_does_not_exist_or_is_a_directory_is_refused() -> Result<()> {
    is_refused(Path::new("/no/such/file"), &[])?;
    is_refused(Path::new("/proc/self"), &[])
}

#[test]
fn a_named_pipe_is_refused_instead_of_waited_for() -> Result<()> {
    let crafted = Crafted::new()?;
    let pipe = crafted.0.path().join("pipe");
    rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RWXU)?;
    is_refused(&pipe, &["regular file"])
}

#[test]
fn a_program_that_is_not_go_is_refused() -> Result<()> {
    is_refused(Path::new("/bin/true"), &["Go"])
}

#[test]
fn a_program_for_another_architecture_is_refused_with_its_name() -> Result<()> {
    is_refused(&Program::named("idle").goarch("arm64").build()?, &["arm64"])?;
    is_refused(&Program::named("idle").goarch("386").build()?, &["386"])
}

/// A real one: esbuild as npm shipped it in 2020, by Go 1.16, stripped, without build info.
#[test]
fn a_program_of_a_go_before_1_18_is_refused() -> Result<()> {
    is_refused(&Service::AncientEsbuild.executable()?, &["1.18"])
}

/// A Go 1.18 program whose every mention of its version, and its pclntab magic, are set back to 1.17. (Those two
/// releases differ in much else; what is under test is that the statement of the version alone decides.)
#[test]
fn a_program_that_says_go_1_17_is_refused_with_its_version() -> Result<()> {
    let program = Program::named("idle").go("1.18.10").flavour(Flavour::Stripped).build()?;
    let mut bytes = fs::read(program)?;
    let renamed = replace_all(&mut bytes, b"go1.18.10", b"go1.17.13");
    // runtime/symtab.go: 0xfffffff0 for 1.18 to 1.19, 0xfffffffa for 1.16 and 1.17; two zero bytes, minimum
    // instruction size 1 and pointer size 8 follow.
    let magics = replace_all(&mut bytes, b"\xf0\xff\xff\xff\0\0\x01\x08", b"\xfa\xff\xff\xff\0\0\x01\x08");
    ensure!(renamed > 0 && magics > 0, "{renamed} versions, {magics} magics");
    is_refused(&Crafted::new()?.executable("ancient", &bytes)?, &["1.17", "1.18"])
}

#[test]
fn a_truncated_program_is_refused_or_read_but_never_trips_goflow() -> Result<()> {
    let crafted = Crafted::new()?;
    for flavour in [Flavour::Plain, Flavour::Stripped, Flavour::Pie] {
        let whole = intact(&crafted, flavour)?;
        for cut in [16, 64, 65, 500, 4096, whole.len() / 8, whole.len() / 2, whole.len() - 1] {
            let finished = inspect_within_limits(&crafted.executable("cut", &whole[..cut])?)?;
            // Less than half of a program has neither a line table nor what is needed to find one.
            let required = (cut <= 4096).then_some(2);
            survives(&finished, required).with_context(|| format!("{} cut at {cut}", flavour.name()))?;
        }
    }
    Ok(())
}

#[test]
fn hostile_elf_headers_are_refused_or_read_but_never_trip_goflow() -> Result<()> {
    let crafted = Crafted::new()?;
    let whole = intact(&crafted, Flavour::Plain)?;
    let section_headers = usize::try_from(u64_at(&whole, 0x28)).context("e_shoff")?;
    let sections = usize::from(u16_at(&whole, 0x3c));
    let mut hostile: Vec<(String, Vec<u8>)> = Vec::new();
    for (field, at, width) in [
        ("e_phoff", 0x20, 8),
        ("e_shoff", 0x28, 8),
        ("e_phnum", 0x38, 2),
        ("e_shnum", 0x3c, 2),
        ("e_shstrndx", 0x3e, 2),
    ] {
        let mut bytes = whole.clone();
        bytes[at..at + width].fill(0xff);
        hostile.push((field.to_owned(), bytes));
    }
    // Elf64_Shdr: sh_addr at 0x10, sh_offset at 0x18, sh_size at 0x20.
    for (field, at) in [("sh_addr", 0x10), ("sh_offset", 0x18), ("sh_size", 0x20)] {
        for value in [u64::MAX, 1 << 40, whole.len() as u64 - 1] {
            let mut bytes = whole.clone();
            for section in 0..sections {
                let header = section_headers + section * 64 + at;
                bytes[header..header + 8].copy_from_slice(&value.to_le_bytes());
            }
            hostile.push((format!("every {field} {value:#x}"), bytes));
        }
    }
    for (what, bytes) in hostile {
        survives(&inspect_within_limits(&crafted.executable("hostile", &bytes)?)?, None).context(what)?;
    }
    Ok(())
}

#[test]
fn a_hostile_line_table_is_refused_or_read_but_never_trips_goflow() -> Result<()> {
    let crafted = Crafted::new()?;
    let whole = intact(&crafted, Flavour::Stripped)?;
    // 1.20 and later (runtime/symtab.go): magic, two zero bytes, instruction size, pointer size, then words: functions,
    // files, text start, and offsets of the tables.
    let magic = b"\xf1\xff\xff\xff\0\0\x01\x08";
    let header = whole.windows(magic.len()).position(|bytes| bytes == magic).context("no pclntab")?;
    for word in 0..8 {
        for value in [0, 1, 0x7fff_ffff, u64::from(u32::MAX), 1 << 40, u64::MAX] {
            let mut bytes = whole.clone();
            let at = header + 8 + word * 8;
            bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
            let finished = inspect_within_limits(&crafted.executable("hostile", &bytes)?)?;
            survives(&finished, None).with_context(|| format!("word {word} = {value:#x}"))?;
        }
    }
    Ok(())
}

/// By garble: its function table is enciphered, so no function can be named and none probed.
#[test]
fn a_garbled_program_is_refused() -> Result<()> {
    is_refused(&Program::named("idle").flavour(Flavour::Garbled).build()?, &["function"])
}

#[test]
fn a_damaged_program_is_refused_or_read_but_never_trips_goflow() -> Result<()> {
    let crafted = Crafted::new()?;
    for flavour in [Flavour::Plain, Flavour::Stripped] {
        let whole = intact(&crafted, flavour)?;
        for seed in 1..=12_u64 {
            let mut bytes = whole.clone();
            let mut random = seed;
            for _ in 0..(whole.len() / 400) {
                // xorshift64: the same bytes in every run.
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                let at = usize::try_from(random >> 8)? % bytes.len();
                bytes[at] = random.to_le_bytes()[0];
            }
            let finished = inspect_within_limits(&crafted.executable("damaged", &bytes)?)?;
            survives(&finished, None).with_context(|| format!("{} seed {seed}", flavour.name()))?;
        }
        let mut noise = whole.clone();
        noise[4096..].iter_mut().enumerate().for_each(|(at, byte)| *byte ^= at.to_le_bytes()[0] | 1);
        is_refused(&crafted.executable("noise", &noise)?, &[])?;
    }
    Ok(())
}

/// A program before anything is done to it, which goflow reads.
fn intact(crafted: &Crafted, flavour: Flavour) -> Result<Vec<u8>> {
    let whole = fs::read(Program::named("idle").flavour(flavour).build()?)?;
    survives(&inspect_within_limits(&crafted.executable("intact", &whole)?)?, Some(0))?;
    Ok(whole)
}

/// With 1 GiB of address space, so that an allocation by an untrusted length does not go unnoticed.
fn inspect_within_limits(file: &Path) -> Result<Finished> {
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -v 1048576; exec \"$0\" inspect \"$1\""]).arg(binary()?).arg(file);
    Goflow::spawn(&mut command)?.finish()
}

/// Refused in order, or read: but neither panic nor signal nor long.
fn survives(finished: &Finished, required: Option<i32>) -> Result<()> {
    let Finished { status, stderr, took, .. } = finished;
    let code = status.code().with_context(|| format!("died: {status}; {stderr}"))?;
    ensure!(code == 0 || code == 2, "status {code}: {stderr}");
    ensure!(required.is_none_or(|required| code == required), "status {code}: {stderr}");
    ensure!(!stderr.contains("panicked") && !stderr.contains("out of memory"), "{stderr}");
    ensure!(code == 0 || stderr.contains("/"), "refused without naming the file: {stderr}");
    ensure!(*took < Duration::from_secs(20), "took {took:?}");
    Ok(())
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes[at..at + 8].iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte))
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

#[test]
fn a_process_that_is_gone_is_refused() -> Result<()> {
    let mut child = Command::new("/bin/true").spawn()?;
    child.wait()?;
    run(&["trace", "--pid", &child.id().to_string()])?.assert_refused(&[&child.id().to_string()])
}

#[test]
fn a_process_that_is_not_go_or_has_no_binary_is_refused() -> Result<()> {
    let mut child = Command::new("sleep").arg("60").spawn()?;
    let refused = run(&["trace", "--pid", &child.id().to_string()]).and_then(|it| it.assert_refused(&["Go"]));
    child.kill()?;
    child.wait()?;
    refused?;
    // A kernel thread runs no file.
    run(&["trace", "--pid", "2"])?.assert_refused(&["2"])
}

#[test]
fn the_command_line_says_what_is_missing() -> Result<()> {
    run(&["trace"])?.assert_refused(&["--pid", "--binary"])?;
    run(&["trace", "--pid", "many"])?.assert_refused(&["many"])?;
    run(&["trace", "--level", "everything", "--pid", "1"])?.assert_refused(&["everything", "lifecycle"])?;
    run(&["trace", "--duration", "soon", "--pid", "1"])?.assert_refused(&["soon"])
}

#[test]
fn a_target_that_ends_while_traced_ends_the_session_in_order() -> Result<()> {
    let mut target = Target::start(&Program::named("storm").build()?, &[""; 0])?;
    let goflow = Goflow::attach_to(target.pid())?;
    target.end()?;
    let session = goflow.finish()?.session()?;
    ensure!(session.summary.ended.contains("exited"), "ended: {}", session.summary.ended);
    Ok(())
}

#[test]
fn a_target_that_dies_at_any_moment_of_the_attach_never_hangs_goflow() -> Result<()> {
    let program = Program::named("idle").build()?;
    for delay_ms in 0..25 {
        let target = Target::start(&program, &[""; 0])?;
        let goflow = Goflow::start(&["trace", "--format", "json", "--pid", &target.pid().to_string()])?;
        std::thread::sleep(Duration::from_millis(delay_ms * 2));
        drop(target);
        let finished = goflow.finish()?;
        let code = finished.status.code().with_context(|| format!("{}", finished.status))?;
        ensure!(code == 0 || code == 2, "status {code} after {delay_ms} ms: {}", finished.stderr);
        ensure!(!finished.stderr.contains("panicked"), "{}", finished.stderr);
        // It does not hang; how fast it is belongs in benches.
        ensure!(finished.took < Duration::from_secs(20), "took {:?}", finished.took);
        if code == 0 {
            finished.session().with_context(|| format!("after {delay_ms} ms"))?;
            continue;
        }
        let why = ["ended while goflow attached", "there is no process", "has ended"];
        ensure!(why.iter().any(|why| finished.stderr.contains(why)), "{}", finished.stderr);
        // Nothing is wrong with the machine, nor with what was asked for.
        ensure!(!finished.stderr.contains("help:"), "{}", finished.stderr);
    }
    Ok(())
}

#[test]
fn without_privilege_the_missing_capability_is_named() -> Result<()> {
    let crafted = Crafted::new()?;
    let goflow = crafted.executable("goflow", &fs::read(binary()?)?)?;
    let program = crafted.executable("idle", &fs::read(Program::named("idle").build()?)?)?;
    let mut target = Target::start(&program, &[""; 0])?;
    let pid = target.pid().to_string();
    for arguments in [["--pid", &pid], ["--binary", program.to_str().context("a path")?]] {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--bounding-set=-all"]);
        command.args(["--inh-caps=-all"]).arg(&goflow).arg("trace").args(arguments);
        let refused = Goflow::spawn(&mut command)?.finish()?;
        refused.assert_refused(&["CAP_SYS_ADMIN"]).with_context(|| arguments.join(" "))?;
    }
    // Looking at a file needs nobody's leave.
    let mut inspect = Command::new("setpriv");
    inspect
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg(&goflow)
        .arg("inspect")
        .arg(&program);
    let finished = Goflow::spawn(&mut inspect)?.finish()?;
    ensure!(finished.status.success(), "{}", finished.stderr);
    target.ask()?;
    target.finish()
}

/// As a package upgrade does it: the path names another file while the old program runs on. What runs is what is
/// traced, exactly.
#[test]
fn a_binary_replaced_on_disk_is_traced_as_it_runs() -> Result<()> {
    let crafted = Crafted::new()?;
    let old = fs::read(Program::named("counts").go("1.20.14").build()?)?;
    let path = crafted.executable("counts", &old)?;
    let mut target = Target::start(&path, &["1"])?;
    let upgrade =
        crafted.executable("upgrade", &fs::read(Program::named("counts").go("1.27.4").build()?)?)?;
    fs::rename(upgrade, &path)?;
    let goflow = Goflow::attach_to(target.pid())?;
    let script = Script::parse(&target.ask()?)?;
    let session = goflow.stop()?;
    let meta = session.meta();
    ensure!(meta.go_version.as_deref() == Some("go1.20.14"), "{:?}", meta.go_version);
    ensure!(Path::new(&meta.binary) == path && meta.binary_deleted, "{meta:?}");
    session.assert_nothing_lost()?;
    let differences = script.differences(&session, target.pid());
    ensure!(differences.is_empty(), "{differences:#?}");
    target.finish()
}
