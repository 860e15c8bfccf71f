//! Rules on pages and on every text: a path that is named exists, and no host is named but those of documentation.

use std::path::Path;

use anyhow::Result;

use super::{Breach, Tree};

/// Hosts that a page or a comment may link to.
const DOCUMENTATION: &[&str] = &[
    "docs.rs",
    "doc.rust-lang.org",
    "docs.kernel.org",
    "github.com",
    "go.dev",
    "man7.org",
    "keepachangelog.com",
    "semver.org",
    "www.apache.org",
    "www.gnu.org",
    "opensource.org",
    "rustup.rs",
    "example.com",
    "json-schema.org",
];

/// All rules on the tree.
pub(super) fn check(tree: &Tree, breaches: &mut Vec<Breach>) -> Result<()> {
    for file in tree.with_extension("md") {
        check_paths(tree, file, &tree.text(file)?, breaches);
    }
    for file in tree.files.iter().filter(|file| is_ours(file)) {
        // What is not UTF-8 is a fixture.
        if let Ok(text) = tree.text(file) {
            check_hosts(file, &text, breaches);
        }
    }
    Ok(())
}

/// Lock files and licence texts are written by others.
fn is_ours(file: &str) -> bool {
    !file.ends_with("Cargo.lock") && !file.starts_with("LICENSE") && !file.ends_with("go.sum")
}

fn check_paths(tree: &Tree, page: &str, text: &str, breaches: &mut Vec<Breach>) {
    for (number, line) in text.lines().enumerate() {
        for path in named_paths(line).filter(|path| looks_like_ours(tree, path)) {
            if !exists(tree, page, path) {
                breaches.push(Breach {
                    file: page.to_owned(),
                    line: number + 1,
                    text: format!("names {path}, which does not exist; correct the page or create the file"),
                });
            }
        }
    }
}

/// Targets of relative links, and words in backquotes that have a slash in them.
fn named_paths(line: &str) -> impl Iterator<Item = &str> {
    let links = line.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next());
    let links = links.filter(|link| !link.is_empty() && !link.contains("://"));
    let quoted =
        line.split('`').skip(1).step_by(2).filter(|word| word.contains('/') || word.ends_with(".md"));
    links.chain(quoted.filter(|word| word.chars().all(|c| c.is_ascii_alphanumeric() || "-_./".contains(c))))
}

/// A path below a top-level entry of ours, a relative one, or a page; `/usr/bin`, `target/…` and `net/http` are not.
fn looks_like_ours(tree: &Tree, path: &str) -> bool {
    let first = path.split('/').next().unwrap_or_default();
    let top_level = |file: &String| file.split('/').next() == Some(first);
    first == "." || first == ".." || path.ends_with(".md") || tree.files.iter().any(top_level)
}

/// From the page's own directory, or from the root; a directory exists if a file below it does.
fn exists(tree: &Tree, page: &str, path: &str) -> bool {
    let beside = Path::new(page).parent().unwrap_or(Path::new("")).join(path);
    [beside.as_path(), Path::new(path)].into_iter().any(|candidate| {
        let wanted = normal(candidate);
        tree.files.iter().any(|file| {
            file.strip_prefix(wanted.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || wanted.is_empty())
        })
    })
}

/// Without `.`, `..` and a slash at the end.
fn normal(path: &Path) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.to_str().unwrap_or_default().split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}

fn check_hosts(file: &str, text: &str, breaches: &mut Vec<Breach>) {
    for (number, line) in text.lines().enumerate() {
        for host in hosts(line).filter(|host| !is_local(host) && !DOCUMENTATION.contains(host)) {
            breaches.push(Breach {
                file: file.to_owned(),
                line: number + 1,
                text: format!(
                    "names the host {host}; take it out, or add it to the documentation hosts of xtask tidy"
                ),
            });
        }
    }
}

fn hosts(line: &str) -> impl Iterator<Item = &str> {
    ["http://", "https://"].into_iter().flat_map(move |scheme| line.split(scheme).skip(1)).filter_map(
        |rest| {
            let end =
                rest.find(|c: char| !(c.is_ascii_alphanumeric() || "-.".contains(c))).unwrap_or(rest.len());
            let host = rest[..end].trim_end_matches('.');
            // `http://ADDRESS` and `https://{}` stand for a host.
            (host.contains('.') && !host.contains(|c: char| c.is_ascii_uppercase())).then_some(host)
        },
    )
}

/// Loopback, and names that tests may make up (RFC 2606).
fn is_local(host: &str) -> bool {
    host == "localhost" || host.starts_with("127.") || host.ends_with(".test") || host.ends_with(".example")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree() -> Tree {
        let files = ["README.md", "docs/index.md", "docs/safety.md", "xtask/src/main.rs"];
        Tree { root: ".".into(), files: files.map(str::to_owned).to_vec() }
    }

    fn missing(page: &str, text: &str) -> Vec<String> {
        let mut breaches = Vec::new();
        check_paths(&tree(), page, text, &mut breaches);
        breaches.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_page_that_names_what_is_gone_is_found() {
        for text in ["see `xtask/src/gone.rs`", "see [it](docs/gone.md)", "see `CHANGES.md`"] {
            let found = missing("README.md", text);
            assert!(found.len() == 1 && found[0].starts_with("README.md:1: names "), "{text}: {found:?}");
        }
        assert_eq!(missing("docs/index.md", "[up](../GONE.md)").len(), 1);
    }

    #[test]
    fn a_page_may_name_what_exists_and_what_is_not_ours() {
        let text = "`xtask/src/main.rs` `xtask/src/` [a](docs/safety.md#loss) `/usr/bin/go` `net/http` `a / b` `target/x`";
        assert_eq!(missing("README.md", text), [""; 0]);
        assert_eq!(missing("docs/index.md", "[safety](safety.md) [up](../README.md) `xtask/`"), [""; 0]);
    }

    #[test]
    fn a_host_that_is_no_documentation_is_found() {
        let mut breaches = Vec::new();
        let url = ["https", "://registry.somewhere.org/x"].concat();
        check_hosts("a.rs", &format!("//! See {url}."), &mut breaches);
        assert_eq!(breaches.len(), 1);
        assert!(breaches[0].text.contains("registry.somewhere.org"), "{}", breaches[0]);
        breaches.clear();
        check_hosts("a.rs", "http://127.0.0.1:80 https://docs.rs/aya http://%s/", &mut breaches);
        assert_eq!(breaches, []);
    }
}
