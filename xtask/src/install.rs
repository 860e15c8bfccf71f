//! `cargo xtask install`: the release binary, stripped, with manual pages, completions and docs, under a prefix.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::build;
use crate::cmd::{headline, run};
use crate::ctx::{Ctx, Rank};
use crate::setup::{self, Scope};

/// Install goflow with its manual pages, shell completions and the pages of docs/.
///
/// Builds as the caller; writes through sudo only where the caller may not write under the prefix. The installed
/// binary needs no other file: copied to another machine of the same architecture, it is complete.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Directory that gets bin/, share/man/, share/doc/goflow/ and the completions
    #[arg(long, default_value = "/usr/local", value_name = "DIR")]
    prefix: PathBuf,
}

/// One file to install.
struct Item {
    from: PathBuf,
    /// Below the prefix.
    to: PathBuf,
    mode: &'static str,
}

/// Shells, and where each looks for completions below a prefix.
const COMPLETIONS: &[(&str, &str)] = &[
    ("bash", "share/bash-completion/completions/goflow"),
    ("zsh", "share/zsh/site-functions/_goflow"),
    ("fish", "share/fish/vendor_completions.d/goflow.fish"),
];

/// Builds and installs.
pub(crate) fn run_task(ctx: &Ctx, args: &Args) -> Result<()> {
    setup::ensure(ctx, Scope::Build)?;
    let binary = build::release(ctx)?;
    let stage = ctx.scratch().join("install");
    if stage.exists() {
        fs::remove_dir_all(&stage)?;
    }
    fs::create_dir_all(&stage)?;
    let items = stage_items(ctx, &binary, &stage)?;
    let prefix = std::path::absolute(&args.prefix)?;
    headline(&format!("install: into {}", prefix.display()));
    for item in &items {
        install_item(ctx, item, &prefix)?;
    }
    let bin = prefix.join("bin");
    if !is_searched(&bin, std::env::var_os("PATH").as_deref()) {
        let bin = bin.display();
        eprintln!(
            "\n{bin} is not on PATH. For this shell, and for `man` as well: export PATH=\"{bin}:$PATH\""
        );
    }
    eprintln!(
        "\nNext: `sudo {} trace --pid PID`; `man goflow` tells the rest.",
        prefix.join("bin/goflow").display()
    );
    Ok(())
}

fn stage_items(ctx: &Ctx, binary: &Path, stage: &Path) -> Result<Vec<Item>> {
    let stripped = stage.join("goflow");
    run(ctx.command("strip").arg("-o").arg(&stripped).arg(binary))?;
    let mut items = vec![Item { from: stripped, to: "bin/goflow".into(), mode: "755" }];
    for (shell, to) in COMPLETIONS {
        let from = stage.join(format!("completion.{shell}"));
        let script = crate::cmd::capture(ctx.command(binary).args(["completions", shell]))?;
        fs::write(&from, script + "\n").with_context(|| format!("cannot write {}", from.display()))?;
        items.push(Item { from, to: to.into(), mode: "644" });
    }
    let pages = stage.join("man");
    fs::create_dir_all(&pages)?;
    run(ctx.command(binary).args(["man", "--out"]).arg(&pages))?;
    for page in fs::read_dir(&pages)? {
        let page = page?;
        items.push(Item {
            from: page.path(),
            to: Path::new("share/man/man1").join(page.file_name()),
            mode: "644",
        });
    }
    documents(&ctx.root.join("docs"), Path::new("share/doc/goflow"), &mut items)?;
    Ok(items)
}

/// Every file under `from`, to the same place under `to`.
fn documents(from: &Path, to: &Path, items: &mut Vec<Item>) -> Result<()> {
    for page in fs::read_dir(from).with_context(|| format!("cannot read {}", from.display()))? {
        let page = page?;
        let to = to.join(page.file_name());
        if page.file_type()?.is_dir() {
            documents(&page.path(), &to, items)?;
        } else {
            items.push(Item { from: page.path(), to, mode: "644" });
        }
    }
    Ok(())
}

/// Whether a shell with this `PATH` finds programs in `dir`.
fn is_searched(dir: &Path, path: Option<&OsStr>) -> bool {
    path.is_some_and(|path| std::env::split_paths(path).any(|entry| entry == dir))
}

fn install_item(ctx: &Ctx, item: &Item, prefix: &Path) -> Result<()> {
    let mut install = if ctx.rank == Rank::Root || may_write(prefix) {
        ctx.command("install")
    } else {
        ctx.as_root("install", &[])?
    };
    run(install.args(["-D", "-m", item.mode]).arg(&item.from).arg(prefix.join(&item.to)))
}

/// Whether we may create files under `dir`, or under the first of its parents that exists.
fn may_write(dir: &Path) -> bool {
    let Some(existing) = dir.ancestors().find(|dir| dir.exists()) else { return false };
    rustix::fs::access(existing, rustix::fs::Access::WRITE_OK).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_on_path_or_not() {
        let searched = |path: &str| is_searched(Path::new("/opt/goflow/bin"), Some(OsStr::new(path)));
        assert!(searched("/usr/bin:/opt/goflow/bin"));
        assert!(searched("/opt/goflow/bin/:/bin"));
        assert!(!searched("/usr/bin:/opt/goflow"));
        assert!(!is_searched(Path::new("/usr/bin"), None));
    }
}
