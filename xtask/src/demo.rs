//! `cargo xtask demo`: goflow on a real, stripped Go service under load, from nothing, in one command.
//!
//! The service and its load run in process groups of their own and die with us: on Ctrl-C the terminal interrupts
//! goflow and this task only, goflow takes its probes out and prints its summary, and then the rest is ended.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::build;
use crate::cmd::{headline, run, shown};
use crate::ctx::Ctx;
use crate::setup::{self, Scope};

/// Show goflow at work on a Go service under load.
///
/// Sets up, builds goflow and the service in tests/programs/demo (stripped, as in production), starts it on a loopback
/// port, puts load on it, and traces it: first the live stream, then the summary. Ends what it started, also on Ctrl-C.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// How long to trace
    #[arg(long, default_value = "10s", value_name = "TIME")]
    duration: String,
}

/// Runs the whole demonstration.
pub(crate) fn run_task(ctx: &Ctx, args: &Args) -> Result<()> {
    ctx.ask_for_root("tracing")?;
    setup::ensure(ctx, Scope::Demo)?;
    let goflow = build::release(ctx)?;
    let programs = build_service(ctx)?;
    let interrupted = watch_for_signals()?;

    headline("demo: starting the service and its load");
    let (service, address) = start_service(ctx, &programs)?;
    let _load = Background::start(ctx.command(programs.join("load")).args(["-url", &address]))?;

    headline(&format!("demo: tracing the service for {}", args.duration));
    let pid = service.pid().to_string();
    let mut trace = ctx.as_root(&goflow, &[])?;
    // Everything is to be seen, also what would be too dear in production: the summary says how to pay less.
    trace.args(["trace", "--budget", "none", "--pid", &pid, "--duration", &args.duration]);
    eprintln!("  $ {}\n", shown(&trace));
    let status =
        wait(trace.spawn().with_context(|| format!("cannot start {}", shown(&trace)))?, &interrupted)?;
    if !status.success() && !interrupted.load(Ordering::Relaxed) {
        bail!("goflow ended with {status}; `{} doctor` looks for the cause", goflow.display());
    }
    say_what_next(&goflow);
    Ok(())
}

/// Builds the service and the load generator, without symbols and paths, as production binaries are.
fn build_service(ctx: &Ctx) -> Result<PathBuf> {
    headline("build: the demo service");
    let go = setup::find_go(ctx).context("no Go ≥ 1.21 is here; `cargo xtask setup` gets one")?;
    let out = ctx.scratch().join("demo");
    std::fs::create_dir_all(&out)?;
    let mut build = ctx.command(go);
    build.current_dir(ctx.root.join("tests/programs/demo")).env("GOTOOLCHAIN", "local").env("GOFLAGS", "");
    build.args(["build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o"]).arg(&out).arg("./...");
    run(&mut build)?;
    Ok(out)
}

fn start_service(ctx: &Ctx, programs: &Path) -> Result<(Background, String)> {
    let mut command = ctx.command(programs.join("demo"));
    let mut service = Background::start(command.args(["-listen", "127.0.0.1:0"]))?;
    let stdout = service.0.stdout.take().context("the service has no stdout")?;
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line)?;
    let Some(address) = line.trim().strip_prefix("listening on ") else {
        bail!("the demo service did not say where it listens, but {line:?}");
    };
    Ok((service, address.to_owned()))
}

/// A flag that SIGINT and SIGTERM raise, instead of ending us before we have cleaned up.
fn watch_for_signals() -> Result<Arc<AtomicBool>> {
    let flag = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&flag)).context("cannot handle signals")?;
    }
    Ok(flag)
}

/// Waits for goflow. On Ctrl-C the terminal has told goflow too; where only we were told to end, goflow is told after
/// a moment. Under sudo that is not permitted, and need not be: its `--duration` ends it in any case.
fn wait(mut goflow: Child, interrupted: &AtomicBool) -> Result<ExitStatus> {
    const POLL: Duration = Duration::from_millis(50);
    const MOMENT: Duration = Duration::from_secs(2);
    let mut since_interrupt = Duration::ZERO;
    loop {
        if let Some(status) = goflow.try_wait()? {
            return Ok(status);
        }
        std::thread::sleep(POLL);
        if interrupted.load(Ordering::Relaxed) {
            since_interrupt += POLL;
        }
        if since_interrupt == MOMENT {
            let pid = rustix::process::Pid::from_child(&goflow);
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
    }
}

fn say_what_next(goflow: &Path) {
    eprintln!(
        "
What to try next (goflow is {}):
  sudo goflow trace --pid PID                    any Go process that runs here
  sudo goflow trace --level blocking -- CMD      a command, from its first instruction
  sudo goflow trace --pid PID --format json      one JSON object a line, for jq and friends
  goflow inspect FILE                            what goflow knows about a binary
  goflow doctor                                  what this machine permits
  cargo xtask install                            puts goflow, its manual and completions under /usr/local",
        goflow.display()
    );
}

/// A child that ends when this value is dropped, and when we die without dropping it.
struct Background(Child);

impl Background {
    fn start(command: &mut Command) -> Result<Self> {
        // setpriv asks the kernel to kill the child when its parent dies, then becomes the command: same pid.
        let mut wrapped = Command::new("setpriv");
        wrapped.args(["--pdeathsig", "KILL"]).arg(command.get_program()).args(command.get_args());
        wrapped.process_group(0).stdin(Stdio::null()).stdout(Stdio::piped());
        eprintln!("  $ {}", shown(command));
        Ok(Self(wrapped.spawn().with_context(|| format!("cannot start {}", shown(command)))?))
    }

    fn pid(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to end.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
