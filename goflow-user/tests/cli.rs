//! The command as a user meets it: words, streams and exit statuses. None of these tests needs a privilege.
#![expect(clippy::unwrap_used, reason = "a step that fails is a failed test")]

use std::io::Read as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/cli.md");

fn goflow(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_goflow")).args(arguments).env_remove("COLUMNS").output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn the_reference_page_is_fresh() {
    let fresh = goflow_user::cli::reference::markdown();
    if std::env::var_os("GOFLOW_UPDATE_DOCS").is_some() {
        std::fs::write(PAGE, &fresh).unwrap();
    }
    let committed = std::fs::read_to_string(PAGE).unwrap();
    assert!(
        committed == fresh,
        "docs/cli.md is stale: run GOFLOW_UPDATE_DOCS=1 cargo test -p goflow-user --test cli"
    );
}

#[test]
fn help_and_version_go_to_standard_output_with_status_0() {
    for arguments in
        [&["--help"][..], &["help", "trace"], &["trace", "--help"], &["doctor", "-h"], &["--version"]]
    {
        let output = goflow(arguments);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}");
        assert!(output.stderr.is_empty() && !output.stdout.is_empty(), "{arguments:?}");
    }
    assert!(stdout(&goflow(&["trace", "--help"])).contains("sudo goflow trace --binary /usr/bin/etcd"));
}

#[test]
fn wrong_usage_is_status_2_and_says_what_is_right() {
    for (arguments, hint) in [
        (&[][..], "Usage"),
        (&["trace"], "--pid PID"),
        (&["trace", "--pid", "1", "--binary", "x"], "cannot be used with"),
        (&["trace", "--pid", "1", "--duration", "10"], "10sec"),
        (&["trace", "--pid", "1", "--level", "all"], "lifecycle"),
        (&["trcae"], "trace"),
        (&["trace", "1234"], "did you mean '--pid 1234'?"),
        (&["trace", "--rate", "5", "12", "34", "--all"], "did you mean '--pid 12 --pid 34'?"),
        (&["--color", "never", "trace", "--all", "./svc", "-x"], "'-- ./svc' (to start it"),
        (&["trace", "/bin/svc"], "'--binary /bin/svc' (to trace every process"),
        (&["trace", "etcd"], "`pgrep -l etcd` finds it"),
        (&["snapshot", "1234"], "did you mean '--pid 1234'?"),
        (&["completions", "tcsh"], "bash"),
    ] {
        let output = goflow(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(stderr(&output).contains(hint), "{arguments:?}: {}", stderr(&output));
        assert!(output.stdout.is_empty(), "{arguments:?}");
    }
}

#[test]
fn an_error_says_what_failed_and_what_to_do_next() {
    let output = goflow(&["trace", "--binary", "/nonexistent/program"]);
    assert_eq!(output.status.code(), Some(2));
    let text = stderr(&output);
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with("goflow: ") && lines[0].contains("/nonexistent/program"), "{text}");
    assert_eq!(lines[0].matches("No such file").count(), 1, "{text}");
    assert!(lines[1].starts_with("help: "), "{text}");
}

#[test]
fn a_trace_that_cannot_start_leaves_no_output_file_and_keeps_an_old_one() {
    let directory = tempfile::tempdir().unwrap();
    let (new, old) = (directory.path().join("new.jsonl"), directory.path().join("old.jsonl"));
    std::fs::write(&old, "precious").unwrap();
    for path in [&new, &old] {
        let path = path.to_str().unwrap();
        let output =
            goflow(&["trace", "--binary", "/nonexistent/program", "--format", "json", "--output", path]);
        assert_eq!(output.status.code(), Some(2));
    }
    assert!(!new.exists());
    assert_eq!(std::fs::read_to_string(&old).unwrap(), "precious");
}

#[test]
fn an_output_that_cannot_be_written_is_found_before_the_target_is_looked_at() {
    let output = goflow(&["trace", "--binary", "/nonexistent/program", "--output", "/nonexistent/out"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("/nonexistent/out cannot be written"), "{}", stderr(&output));
    assert!(stderr(&output).contains("help: give --output a file"), "{}", stderr(&output));
}

#[test]
fn colour_appears_only_where_it_is_wanted() {
    let error = |extra: &[&str], no_color: bool| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_goflow"));
        command.args(extra).args(["trace", "--binary", "/nonexistent/program"]).env_remove("NO_COLOR");
        if no_color {
            command.env("NO_COLOR", "1");
        }
        stderr(&command.output().unwrap())
    };
    assert!(!error(&[], false).contains('\x1b'), "not a terminal");
    assert!(error(&["--color", "always"], false).contains('\x1b'));
    assert!(error(&["--color", "always"], true).contains('\x1b'), "the flag is nearer than the environment");
    assert!(!error(&["--color", "never"], false).contains('\x1b'));
}

#[test]
fn every_shell_gets_its_completions() {
    for (shell, word) in [
        ("bash", "complete -F"),
        ("zsh", "#compdef goflow"),
        ("fish", "complete -c goflow"),
        ("elvish", "goflow"),
    ] {
        let output = goflow(&["completions", shell]);
        assert_eq!(output.status.code(), Some(0), "{shell}");
        let script = stdout(&output);
        assert!(script.contains(word) && script.contains("stack-depth"), "{shell}");
    }
}

#[test]
fn man_pages_cover_every_command_that_is_not_hidden() {
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("man1");
    let output = goflow(&["man", "--out", out.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    for page in ["goflow.1", "goflow-trace.1", "goflow-doctor.1", "goflow-completions.1"] {
        let text = std::fs::read_to_string(out.join(page)).unwrap();
        assert!(text.contains(".TH goflow"), "{page}");
    }
    assert!(!out.join("goflow-man.1").exists());
    let page = std::fs::read_to_string(out.join("goflow-trace.1")).unwrap();
    let (name, rest) = page.split_once(".SH SYNOPSIS").unwrap();
    let (_, summary) = name.split_once("goflow\\-trace \\- ").unwrap();
    assert!(!rest.contains(summary.trim()), "what NAME says comes again:\n{page}");
    let (_, examples) = page.split_once(".SH EXAMPLES\n.nf\n").unwrap();
    let example =
        "  sudo goflow trace \\-\\-pid 1234\n      A running process, until Ctrl\\-C or until it ends.\n";
    assert!(examples.starts_with(example) && examples.ends_with(".fi\n"), "{examples}");
}

#[test]
fn doctor_reports_alike_for_people_and_programs() {
    let json = goflow(&["doctor", "--format", "json"]);
    let report: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    let verdict = report["verdict"].as_str().unwrap();
    assert_eq!(json.status.code(), Some(if verdict == "yes" { 0 } else { 2 }), "{report:#}");
    let checks = report["checks"].as_array().unwrap();
    assert!(checks.len() >= 14, "{report:#}");
    let text = goflow(&["doctor"]);
    assert_eq!(text.status, json.status);
    for check in checks {
        let (id, status) = (check["id"].as_str().unwrap(), check["status"].as_str().unwrap());
        assert!(stdout(&text).contains(id), "{id}");
        assert_eq!(check["fix"].is_null(), status == "ok", "{check:#}");
    }
}

#[test]
fn a_reader_that_goes_away_is_not_an_error() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_goflow"))
        .args(["doctor"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Gone long before the checks are done.
    drop(child.stdout.take());
    let mut errors = String::new();
    child.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
    assert_eq!((child.wait().unwrap().code(), errors.as_str()), (Some(0), ""));
}

#[test]
fn the_pages_named_in_the_reference_exist() {
    let page = std::fs::read_to_string(PAGE).unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let named: Vec<&str> = page.split_whitespace().filter(|word| word.starts_with("docs/")).collect();
    assert!(!named.is_empty());
    for path in named {
        assert!(root.join(path.trim_end_matches([';', '.', ','])).exists(), "{path}");
    }
}

#[test]
fn what_could_not_be_printed_is_an_error() {
    for arguments in [&["--help"][..], &["trace", "--help"], &["--version"], &["completions", "bash"]] {
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_goflow"))
            .args(arguments)
            .stdout(full)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(stderr(&output).contains("No space left on device"), "{arguments:?}: {}", stderr(&output));
    }
}

#[test]
fn stacks_that_are_left_out_group_nothing() {
    let output = goflow(&["snapshot", "--pid", "1", "--no-stacks", "--group-by", "stack"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("--no-stacks leaves out"), "{}", stderr(&output));
}

#[test]
fn the_machine_is_not_blamed_for_a_file() {
    let directory = tempfile::tempdir().unwrap();
    let text = directory.path().join("notes.txt");
    std::fs::write(&text, "Grüße\nand more\n").unwrap();
    for (arguments, message) in [
        (["inspect", text.to_str().unwrap()], "it is not an ELF file, but a text file of 17 bytes"),
        (["inspect", "/nonexistent/program"], "No such file"),
        (["inspect", "/dev/null"], "not a regular file"),
        (["snapshot", "--pid=999999999"], ""),
    ] {
        let text = stderr(&goflow(&arguments));
        assert!(text.contains(message) && !text.contains("doctor"), "{arguments:?}: {text}");
    }
}
