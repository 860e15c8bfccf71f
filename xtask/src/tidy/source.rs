//! A Rust file as tokens, with line numbers, and with the regions that an attribute covers.

use std::ffi::OsStr;
use std::ops::Range;
use std::path::Path;

use rustc_lexer::{FrontmatterAllowed, TokenKind, tokenize};

/// One file.
pub(super) struct Source {
    /// Path below the root.
    pub(super) file: String,
    /// All of it is for tests.
    pub(super) is_test: bool,
    text: String,
    /// All tokens that mean something to the compiler: no white space, no comments.
    pub(super) code: Vec<Token>,
    /// The comments.
    pub(super) comments: Vec<Token>,
}

/// One token: where it is, and on which line it starts.
#[derive(Clone, Debug)]
pub(super) struct Token {
    start: usize,
    end: usize,
    /// Counted from 1.
    pub(super) line: usize,
}

impl Source {
    /// Takes any text; what does not compile is still tokens.
    pub(super) fn parse(file: &str, text: String) -> Self {
        let (mut code, mut comments) = (Vec::new(), Vec::new());
        let (mut at, mut line) = (0, 1);
        for token in tokenize(&text, FrontmatterAllowed::No) {
            let end = at + token.len as usize;
            let placed = Token { start: at, end, line };
            match token.kind {
                TokenKind::LineComment { .. } | TokenKind::BlockComment { .. } => comments.push(placed),
                TokenKind::Whitespace => {}
                _ => code.push(placed),
            }
            line += text[at..end].matches('\n').count();
            at = end;
        }
        let is_test = file.split('/').any(|part| part == "tests" || part == "benches");
        Self { file: file.to_owned(), is_test, text, code, comments }
    }

    /// The spelling of a token.
    pub(super) fn word(&self, token: &Token) -> &str {
        &self.text[token.start..token.end]
    }

    /// The spellings of the `n` code tokens from `index` on; shorter at the end of the file.
    pub(super) fn words(&self, index: usize, n: usize) -> Vec<&str> {
        self.code.iter().skip(index).take(n).map(|token| self.word(token)).collect()
    }

    /// Whether the code tokens from `index` on are spelled like `pattern`.
    pub(super) fn is(&self, index: usize, pattern: &[&str]) -> bool {
        self.words(index, pattern.len()) == pattern
    }

    /// The lines as written.
    pub(super) fn lines(&self) -> impl Iterator<Item = &str> {
        self.text.lines()
    }

    /// Index ranges of code that an attribute holds for, where the attribute's words satisfy `wanted`. An inner
    /// attribute (`#![…]`) holds for the whole file.
    pub(super) fn under_attribute(&self, wanted: impl Fn(&[&str]) -> bool) -> Vec<Range<usize>> {
        let mut ranges = Vec::new();
        for index in 0..self.code.len() {
            let inner = self.is(index, &["#", "!", "["]);
            if !inner && !self.is(index, &["#", "["]) {
                continue;
            }
            let open = index + if inner { 2 } else { 1 };
            let close = self.closing(open);
            let words = self.words(open + 1, close.saturating_sub(open + 1));
            if wanted(&words) {
                ranges.push(if inner { 0..self.code.len() } else { index..self.end_of_item(close + 1) });
            }
        }
        ranges
    }

    /// Index of the bracket that closes the one at `open`; the last index where it is missing.
    fn closing(&self, open: usize) -> usize {
        let mut depth = 0usize;
        for (index, token) in self.code.iter().enumerate().skip(open) {
            match self.word(token) {
                "(" | "[" | "{" => depth += 1,
                ")" | "]" | "}" => {
                    depth = depth.saturating_sub(1);
                    if depth == 0 {
                        return index;
                    }
                }
                _ => {}
            }
        }
        self.code.len().saturating_sub(1)
    }

    /// One past the item or statement that starts at `start`: up to its `;`, or its closing brace.
    fn end_of_item(&self, start: usize) -> usize {
        let mut index = start;
        while index < self.code.len() {
            match self.word(&self.code[index]) {
                ";" => return index + 1,
                "{" => {
                    let close = self.closing(index);
                    // A brace inside a `let` (a block, a struct literal) does not end the statement.
                    if !self.is(start, &["let"]) {
                        return close + 1;
                    }
                    index = close;
                }
                "(" | "[" => index = self.closing(index),
                // The end of what surrounds it.
                ")" | "]" | "}" => return index,
                _ => {}
            }
            index += 1;
        }
        self.code.len()
    }

    /// Code for tests only: `#[cfg(test)]` items, or the whole file.
    pub(super) fn test_code(&self) -> Vec<Range<usize>> {
        if self.is_test {
            return vec![Range { start: 0, end: self.code.len() }];
        }
        self.under_attribute(|words| words == ["cfg", "(", "test", ")"])
    }

    /// Paths, without extension, of the modules that this file declares for tests: `#[cfg(test)] mod fixture;`.
    pub(super) fn test_modules(&self) -> Vec<String> {
        let path = Path::new(&self.file);
        let parent = path.parent().unwrap_or(Path::new(""));
        let stem = path.file_stem().unwrap_or_default();
        let dir = if ["mod", "lib", "main"].map(OsStr::new).contains(&stem) {
            parent.into()
        } else {
            parent.join(stem)
        };
        let name = |range: Range<usize>| {
            let words = self.words(range.start, range.len());
            match words.as_slice() {
                [.., "mod", name, ";"] => Some(dir.join(name).display().to_string()),
                _ => None,
            }
        };
        self.test_code().into_iter().filter_map(name).collect()
    }
}

/// Whether one of `ranges` has `index` in it.
pub(super) fn covered(ranges: &[Range<usize>], index: usize) -> bool {
    ranges.iter().any(|range| range.contains(&index))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_in_comments_and_strings_are_not_code() {
        let source = Source::parse(
            "a.rs",
            "// unsafe\nlet a = \"unsafe\"; /* unsafe */ let b = r#\"unsafe\"#;".into(),
        );
        assert!(source.code.iter().all(|token| source.word(token) != "unsafe"));
        assert_eq!(source.comments.len(), 2);
        assert_eq!(source.code[0].line, 2);
    }

    #[test]
    fn an_attribute_covers_its_item_and_nothing_after_it() {
        let text = "#[cfg(test)]\nmod tests { fn a() { x.unwrap() } }\nfn b() { y.unwrap() }";
        let source = Source::parse("a.rs", text.into());
        let tests = source.test_code();
        let unwraps = (0..source.code.len()).filter(|&i| source.is(i, &["unwrap"]));
        assert_eq!(unwraps.map(|i| covered(&tests, i)).collect::<Vec<_>>(), [true, false]);
    }

    #[test]
    fn an_attribute_on_a_let_covers_the_whole_statement() {
        let text = "fn f() { #[expect(x)] let a = S { b: 1 }.c().unwrap(); d.unwrap(); }";
        let source = Source::parse("a.rs", text.into());
        let ranges = source.under_attribute(|words| words.starts_with(&["expect"]));
        let unwraps = (0..source.code.len()).filter(|&i| source.is(i, &["unwrap"]));
        assert_eq!(unwraps.map(|i| covered(&ranges, i)).collect::<Vec<_>>(), [true, false]);
    }

    #[test]
    fn a_module_declared_for_tests_is_found_by_its_path() {
        let text = "#[cfg(test)]\npub(crate) mod fixture;\nmod code;\n#[cfg(test)] mod inline {}";
        assert_eq!(Source::parse("a/src/b/mod.rs", text.into()).test_modules(), ["a/src/b/fixture"]);
        assert_eq!(Source::parse("a/src/b.rs", text.into()).test_modules(), ["a/src/b/fixture"]);
    }

    #[test]
    fn an_unfinished_file_is_read_to_its_end() {
        let source = Source::parse("a.rs", "#[cfg(test)] mod tests { fn a( {".into());
        assert!(covered(&source.test_code(), source.code.len() - 1));
    }
}
