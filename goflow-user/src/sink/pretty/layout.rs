//! Lines on a screen: cells with a colour, cut to the width of the terminal, and the units a person reads.
//!
//! In: text that is [printable](crate::sink::printable); out: one line that never wraps, or for what is a sentence several,
//! wrapped between words.

use std::borrow::Cow;
use std::time::Duration;

use anstyle::Style;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::sink::words;

/// Between two columns.
const GAP: &str = "  ";

/// A terminal narrower than this shows the start of each line instead of a word in each.
const LEAST_TO_WRAP: usize = 20;

/// Least columns for text beside an indent.
const LEAST_BESIDE: usize = 16;

/// A line under construction.
#[derive(Default)]
pub(super) struct Line {
    cells: Vec<(Style, String)>,
    /// Wrapped between words, and from the second line on indented by so much.
    hang: Option<usize>,
}

impl Line {
    /// Adds text as it is.
    pub(super) fn text(mut self, style: Style, text: impl Into<String>) -> Self {
        self.cells.push((style, text.into()));
        self
    }

    /// Adds a left-aligned column of at least `width` columns and a gap.
    pub(super) fn column(self, style: Style, text: &str, width: usize) -> Self {
        let padding = " ".repeat(width.saturating_sub(text.width()));
        self.text(style, text).text(Style::new(), padding + GAP)
    }

    /// Adds a right-aligned column of at least `width` columns and a gap; numbers are never cut.
    pub(super) fn number(self, style: Style, text: &str, width: usize) -> Self {
        self.text(style, format!("{text:>width$}")).text(Style::new(), GAP)
    }

    /// Wraps what is too long instead of cutting it; what follows is indented by `hang` columns.
    pub(super) fn wrapping(mut self, hang: usize) -> Self {
        self.hang = Some(hang);
        self
    }

    /// The line, at most `width` columns wide, with a line feed and without trailing blanks; `…` ends a line that was
    /// cut. One that is to be wrapped may become several.
    pub(super) fn finish(self, width: Option<usize>, colour: bool) -> String {
        let mut cells = self.cells;
        while cells.pop_if(|(_, text)| text.trim_end().is_empty()).is_some() {}
        if let Some((_, last)) = cells.last_mut() {
            last.truncate(last.trim_end().len());
        }
        let needed: usize = cells.iter().map(|(_, text)| text.width()).sum();
        let lines = match (width.filter(|width| *width < needed), self.hang) {
            (Some(width), Some(hang)) if width >= LEAST_TO_WRAP => wrap(&cells, width, hang),
            (Some(width), _) => {
                cut_cells(&mut cells, width);
                vec![cells]
            }
            (None, _) => vec![cells],
        };
        let mut out = String::new();
        for cells in &lines {
            for (style, text) in cells {
                let style = if colour { *style } else { Style::new() };
                out.push_str(&format!("{style}{text}{style:#}"));
            }
            out.push('\n');
        }
        out
    }
}

/// What is not divided: characters that are no blanks, perhaps in several styles, and the blanks before them.
#[derive(Default)]
struct Word {
    blanks: usize,
    pieces: Vec<(Style, String)>,
    width: usize,
}

impl Word {
    fn text(&self) -> String {
        self.pieces.iter().map(|(_, piece)| piece.as_str()).collect()
    }
}

fn words_of(cells: &[(Style, String)]) -> Vec<Word> {
    let mut words = Vec::new();
    let mut word = Word::default();
    for (style, text) in cells {
        let mut is_new_cell = true;
        for character in text.chars() {
            if character == ' ' {
                if word.width > 0 {
                    words.push(std::mem::take(&mut word));
                }
                word.blanks += 1;
                continue;
            }
            match word.pieces.last_mut().filter(|_| !is_new_cell) {
                Some((_, piece)) => piece.push(character),
                None => word.pieces.push((*style, character.to_string())),
            }
            is_new_cell = false;
            word.width += character.width().unwrap_or(0);
        }
    }
    words.push(word);
    with_units(words)
}

/// A number and its unit are one word.
fn with_units(words: Vec<Word>) -> Vec<Word> {
    const UNITS: [&str; 5] = ["ns", "µs", "ms", "s", "%"];
    let mut joined: Vec<Word> = Vec::with_capacity(words.len());
    for word in words {
        let is_unit = word.blanks == 1 && UNITS.contains(&word.text().trim_matches([',', ';', ':', '.']));
        match joined
            .last_mut()
            .filter(|last| is_unit && last.text().ends_with(|last: char| last.is_ascii_digit()))
        {
            Some(number) => {
                number.pieces.push((Style::new(), " ".to_owned()));
                number.width += 1 + word.width;
                number.pieces.extend(word.pieces);
            }
            None => joined.push(word),
        }
    }
    joined
}

/// Lines of at most `width` columns, divided between words; a word that is longer than a line is divided in itself.
fn wrap(cells: &[(Style, String)], width: usize, hang: usize) -> Vec<Vec<(Style, String)>> {
    let hang = if width >= hang + LEAST_BESIDE { hang } else { width / 4 };
    let mut lines = Vec::new();
    let mut line: Vec<(Style, String)> = Vec::new();
    let mut used = 0;
    for Word { blanks, pieces, width: needed } in words_of(cells) {
        // An indent stays with the first word of the first line.
        let is_first = lines.is_empty() && line.is_empty();
        let fits = used + blanks + needed <= width;
        if is_first && !fits {
            let indent = blanks.min(hang);
            line.push((Style::new(), " ".repeat(indent)));
            used = indent;
        } else if !fits {
            lines.push(std::mem::replace(&mut line, vec![(Style::new(), " ".repeat(hang))]));
            used = hang;
        } else {
            line.push((Style::new(), " ".repeat(blanks)));
            used += blanks;
        }
        for (style, piece) in pieces {
            for character in piece.chars() {
                let wide = character.width().unwrap_or(0);
                if used + wide > width {
                    lines.push(std::mem::replace(&mut line, vec![(Style::new(), " ".repeat(hang))]));
                    used = hang;
                }
                match line.last_mut().filter(|(last, text)| *last == style && !text.is_empty()) {
                    Some((_, text)) => text.push(character),
                    None => line.push((style, character.to_string())),
                }
                used += wide;
            }
        }
    }
    lines.push(line);
    lines
}

/// Cuts cells that are wider than `width` together.
fn cut_cells(cells: &mut Vec<(Style, String)>, width: usize) {
    let mut left = width;
    for index in 0..cells.len() {
        let text = &cells[index].1;
        if text.width() >= left {
            // One more than fits, so that the cut shows even where the text ends exactly at the edge.
            let shown = cut_end(&format!("{text}  "), left).into_owned();
            cells[index].1 = shown;
            cells.truncate(index + 1);
            return;
        }
        left -= text.width();
    }
}

/// `text`, or as much of its start as fits `width` columns together with `…`.
pub(super) fn cut_end(text: &str, width: usize) -> Cow<'_, str> {
    if text.width() <= width {
        return Cow::Borrowed(text);
    }
    let kept = fitting(text.chars(), width.saturating_sub(1));
    let mut kept: String = text.chars().take(kept).collect();
    if width > 0 {
        kept.push('…');
    }
    Cow::Owned(kept)
}

/// `text`, or as much of its end as fits `width` columns together with `…`: the end of a position is its line number.
pub(super) fn cut_start(text: &str, width: usize) -> Cow<'_, str> {
    if text.width() <= width {
        return Cow::Borrowed(text);
    }
    let kept = fitting(text.chars().rev(), width.saturating_sub(1));
    let skipped = text.chars().count() - kept;
    let dots = if width > 0 { "…" } else { "" };
    Cow::Owned(dots.chars().chain(text.chars().skip(skipped)).collect())
}

/// How many of `chars` fit `width` columns.
fn fitting(chars: impl Iterator<Item = char>, width: usize) -> usize {
    let mut used = 0;
    chars
        .take_while(|character| {
            used += character.width().unwrap_or(0);
            used <= width
        })
        .count()
}

/// A count with thousands separators.
pub(super) fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A count of things, with thousands separators.
pub(in crate::sink) fn counted(count: u64, noun: &'static str) -> String {
    format!("{} {}", grouped(count), words::plural(count, noun))
}

/// A span of time in the unit that needs no more than three digits before the point, from a thousand seconds on in two.
pub(in crate::sink) fn span(ns: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "shown with four digits at most")]
    let ns_f = ns as f64;
    match ns {
        0..1_000 => format!("{ns} ns"),
        1_000..1_000_000 => format!("{:.1} µs", ns_f / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} ms", ns_f / 1e6),
        1_000_000_000..1_000_000_000_000 => format!("{:.3} s", ns_f / 1e9),
        _ => {
            let whole = humantime::format_duration(Duration::from_secs(ns / 1_000_000_000)).to_string();
            whole.split(' ').take(2).collect::<Vec<_>>().join(" ")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_never_wider_than_the_terminal_and_says_that_it_was_cut() {
        for width in 0..34 {
            let line = Line::default()
                .column(Style::new(), &cut_end("goroutine", 6), 6)
                .text(Style::new(), "名前.関数 and more text")
                .finish(Some(width), false);
            let shown = line.trim_end_matches('\n');
            assert!(shown.width() <= width, "{width}: {shown:?}");
            assert_eq!(shown.ends_with('…'), (1..31).contains(&width), "{width}: {shown:?}");
        }
    }

    #[test]
    fn a_sentence_is_wrapped_between_words_and_keeps_each() {
        let text = "  state   12 goroutines: 3 awake for 12.5 s, 9 waiting; /a/very/long/path/that/has/no/blank/in/it/at/all ends";
        let bold = Style::new().bold();
        let line = |width| {
            let line = Line::default().text(Style::new(), &text[..10]).text(bold, &text[10..23]);
            line.text(Style::new(), &text[23..]).wrapping(10).finish(Some(width), false)
        };
        assert_eq!(
            line(40),
            "  state   12 goroutines: 3 awake for\n          12.5 s, 9 waiting;\n          \
             /a/very/long/path/that/has/no/\n          blank/in/it/at/all ends\n"
        );
        for width in LEAST_TO_WRAP..120 {
            let wrapped = line(width);
            assert!(wrapped.lines().all(|line| line.width() <= width), "{width}: {wrapped}");
            let kept = |text: &str| text.split_whitespace().collect::<String>();
            assert_eq!(kept(&wrapped), kept(text), "{width}");
        }
        assert_eq!(line(120), format!("{text}\n"));
        assert!(line(LEAST_TO_WRAP - 1).ends_with("…\n"));
    }

    #[test]
    fn a_cut_position_keeps_its_line_number() {
        assert_eq!(cut_start("main.(*Pool).Submit pool.go:57", 12), "… pool.go:57");
        assert_eq!(cut_start("pool.go:57", 12), "pool.go:57");
    }

    #[test]
    fn colour_changes_nothing_but_escape_sequences() {
        let line =
            || Line::default().text(anstyle::AnsiColor::Cyan.on_default(), "g1").text(Style::new(), " x");
        assert_eq!(line().finish(None, false), "g1 x\n");
        let coloured = line().finish(None, true);
        assert_eq!(anstream::adapter::strip_str(&coloured).to_string(), "g1 x\n");
        assert!(coloured.contains('\x1b'));
    }

    #[test]
    fn counts_and_spans_are_readable() {
        assert_eq!([grouped(7), grouped(1_000), grouped(123_456_789)], ["7", "1,000", "123,456,789"]);
        assert_eq!(
            [span(999), span(1_500), span(8_200_000), span(10_002_000_000), span(4_145_830_000_000)],
            ["999 ns", "1.5 µs", "8.2 ms", "10.002 s", "1h 9m"]
        );
    }
}
