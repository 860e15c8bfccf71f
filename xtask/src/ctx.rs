//! Where things are and who runs us: the checkout, the cache, the rank of the caller.
//!
//! Refuses a checkout that belongs to the user behind `sudo`: what root built there, the user could not rebuild.

use std::env;
use std::ffi::OsString;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::cmd::{capture, find_program, run};

/// What may be done as root, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rank {
    /// We are root.
    Root,
    /// A user; `sudo` is there.
    Sudo,
    /// A user, and no `sudo`.
    Plain,
}

/// The surroundings of every task.
pub(crate) struct Ctx {
    /// The checkout.
    pub(crate) root: PathBuf,
    /// What setup fetched and built: `$GOFLOW_CACHE`, else `$XDG_CACHE_HOME/goflow`, else `~/.cache/goflow`.
    pub(crate) cache: PathBuf,
    /// Who runs us.
    pub(crate) rank: Rank,
}

impl Ctx {
    /// Looks around.
    pub(crate) fn find() -> Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .context("xtask's manifest has no parent directory")?
            .to_path_buf();
        let rank = rank();
        refuse_sudo_over_a_users_checkout(&root, rank)?;
        Ok(Self { cache: cache_dir()?, root, rank })
    }

    /// Programs that setup put into the cache.
    pub(crate) fn tools(&self) -> PathBuf {
        self.cache.join("tools/bin")
    }

    /// Production services as their vendors ship them, unpacked and never installed.
    pub(crate) fn services(&self) -> PathBuf {
        self.cache.join("services")
    }

    /// Logs and programs of the tasks themselves.
    pub(crate) fn scratch(&self) -> PathBuf {
        self.root.join("target/xtask")
    }

    /// `program` in the checkout, with the variables by which every part of the project finds the cache.
    pub(crate) fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.root).env("GOFLOW_CACHE", &self.cache);
        command
    }

    /// `cargo` of the pinned toolchain.
    pub(crate) fn cargo(&self) -> Command {
        self.command("cargo")
    }

    /// Makes sure, before minutes of building, that root can be had for `what`; sudo asks for the password now.
    pub(crate) fn ask_for_root(&self, what: &str) -> Result<()> {
        match self.rank {
            Rank::Root => Ok(()),
            Rank::Sudo if capture(self.command("sudo").args(["-n", "true"])).is_ok() => Ok(()),
            Rank::Sudo => {
                eprintln!("sudo is asked for a password: {what} needs root");
                run(self.command("sudo").arg("--validate"))
            }
            Rank::Plain => {
                bail!("{what} needs root, and there is no sudo here; run as root, or install sudo")
            }
        }
    }

    /// `program` as root, through sudo where the caller is a user. Variables for the program go into `vars`, because
    /// sudo drops the environment.
    pub(crate) fn as_root(&self, program: impl Into<OsString>, vars: &[(&str, OsString)]) -> Result<Command> {
        let program = program.into();
        let mut command = match self.rank {
            Rank::Root => self.command("env"),
            Rank::Sudo => {
                let mut sudo = self.command("sudo");
                sudo.arg("env");
                sudo
            }
            Rank::Plain => bail!(
                "{} must run as root, and there is no sudo here; run this task as root, or install sudo",
                program.display()
            ),
        };
        for (name, value) in vars {
            let mut assignment = OsString::from(format!("{name}="));
            assignment.push(value);
            command.arg(assignment);
        }
        command.arg(program);
        Ok(command)
    }
}

fn rank() -> Rank {
    if rustix::process::geteuid().is_root() {
        Rank::Root
    } else if find_program("sudo").is_some() {
        Rank::Sudo
    } else {
        Rank::Plain
    }
}

fn refuse_sudo_over_a_users_checkout(root: &Path, rank: Rank) -> Result<()> {
    let Some(uid) = env::var("SUDO_UID").ok().and_then(|uid| uid.parse::<u32>().ok()) else { return Ok(()) };
    let owner = root.metadata().with_context(|| format!("cannot look at {}", root.display()))?.uid();
    if rank == Rank::Root && uid != 0 && owner == uid {
        bail!(
            "started through sudo in a checkout that belongs to uid {uid}; run it without sudo: \
             it builds as you and asks for root only where that is needed"
        );
    }
    Ok(())
}

fn cache_dir() -> Result<PathBuf> {
    if let Some(dir) = env::var_os("GOFLOW_CACHE").filter(|dir| !dir.is_empty()) {
        return Ok(dir.into());
    }
    if let Some(dir) = env::var_os("XDG_CACHE_HOME").filter(|dir| !dir.is_empty()) {
        return Ok(Path::new(&dir).join("goflow"));
    }
    let home = env::home_dir().context("neither GOFLOW_CACHE, XDG_CACHE_HOME nor HOME is set")?;
    Ok(home.join(".cache/goflow"))
}
