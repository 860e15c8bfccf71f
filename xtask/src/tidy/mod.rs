//! `cargo xtask tidy`: the rules of the house that no compiler holds, checked on the sources as they are.
//!
//! In: the files that git knows or would add; out: `file:line: what is wrong; how to mend it`. Sources are read as
//! tokens, so that a word in a comment or a string is never taken for code. Each rule is a function over one file or
//! over the tree, and has a test that feeds it something it must find.

mod layers;
mod pages;
mod source;
mod style;

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::cmd::capture;
use crate::ctx::Ctx;
use source::Source;

/// Check the rules of the house.
///
/// Imports only from earlier stages, pure stages without I/O, a reason for every `unsafe`, `unwrap` and `expect`, a
/// header in every module, pages that name only what exists, one file per event family in every layer.
#[derive(clap::Args)]
pub(crate) struct Args {}

/// One breach.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Breach {
    file: String,
    line: usize,
    /// What is wrong, and how to mend it.
    text: String,
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.text)
    }
}

/// The checked-out files, by path below the root.
pub(crate) struct Tree {
    root: PathBuf,
    files: Vec<String>,
}

impl Tree {
    fn read(root: &Path, files: Vec<String>) -> Self {
        let files = files.into_iter().filter(|file| root.join(file).is_file()).collect();
        Self { root: root.to_path_buf(), files }
    }

    /// Files that git tracks or would add, so that a new file is checked before its first commit.
    fn of_checkout(ctx: &Ctx) -> Result<Self> {
        let listed =
            capture(ctx.command("git").args(["ls-files", "--cached", "--others", "--exclude-standard"]))?;
        Ok(Self::read(&ctx.root, listed.lines().map(str::to_owned).collect()))
    }

    fn with_extension<'a>(&'a self, extension: &'a str) -> impl Iterator<Item = &'a str> {
        let has = move |file: &&str| Path::new(file).extension().is_some_and(|e| e == extension);
        self.files.iter().map(String::as_str).filter(has)
    }

    fn text(&self, file: &str) -> Result<String> {
        fs::read_to_string(self.root.join(file)).with_context(|| format!("cannot read {file}"))
    }
}

/// Checks everything; fails if a rule is broken.
pub(crate) fn run_task(ctx: &Ctx, _args: &Args) -> Result<()> {
    let tree = Tree::of_checkout(ctx)?;
    let breaches = check(&tree)?;
    for breach in &breaches {
        println!("{breach}");
    }
    match breaches.len() {
        0 => {
            println!("tidy: {} files, no rule is broken", tree.files.len());
            Ok(())
        }
        n => bail!("{n} breaches of the house rules, see above"),
    }
}

/// All Rust files; those of modules that are declared under `#[cfg(test)]` know it.
fn sources(tree: &Tree) -> Result<Vec<Source>> {
    let read = |file: &str| Ok(Source::parse(file, tree.text(file)?));
    let mut sources = tree.with_extension("rs").map(read).collect::<Result<Vec<_>>>()?;
    let of_tests: Vec<String> = sources.iter().flat_map(Source::test_modules).collect();
    for source in &mut sources {
        source.is_test |= of_tests.iter().any(|module| {
            source
                .file
                .strip_prefix(module.as_str())
                .is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
        });
    }
    Ok(sources)
}

fn check(tree: &Tree) -> Result<Vec<Breach>> {
    let mut breaches = Vec::new();
    for source in &sources(tree)? {
        layers::check(source, &mut breaches);
        style::check(source, &mut breaches);
    }
    layers::check_families(tree, &mut breaches);
    pages::check(tree, &mut breaches)?;
    breaches.sort();
    Ok(breaches)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Breaches of one rule in one made-up file, as `line: text`.
    pub(crate) fn found(rule: fn(&Source, &mut Vec<Breach>), file: &str, text: &str) -> Vec<String> {
        let mut breaches = Vec::new();
        rule(&Source::parse(file, text.to_owned()), &mut breaches);
        breaches.iter().map(|breach| format!("{}: {}", breach.line, breach.text)).collect()
    }

    /// Asserts exactly one breach, on `line`, whose text has `part` in it.
    pub(crate) fn assert_one(found: &[String], line: usize, part: &str) {
        let [only] = found else { panic!("not one breach but {found:?}") };
        assert!(only.starts_with(&format!("{line}: ")) && only.contains(part), "{only}");
    }

    #[test]
    fn this_checkout_breaks_no_rule() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf();
        let ctx = Ctx { cache: root.join("target"), root, rank: crate::ctx::Rank::Plain };
        let breaches = check(&Tree::of_checkout(&ctx).unwrap()).unwrap();
        assert!(breaches.is_empty(), "{}", breaches.iter().map(|b| format!("{b}\n")).collect::<String>());
    }
}
