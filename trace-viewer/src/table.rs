//! Tables for people: columns as wide as they need to be.
use std::fmt::Write as _;

use tern_units::Duration;

/// Lines of cells under one line of titles. Cells that are numbers in the first line
/// after the titles put their column to the right.
#[derive(Clone, Debug)]
pub struct Table {
    titles: Vec<&'static str>,
    lines: Vec<Vec<String>>,
}

impl Table {
    /// An empty table.
    #[must_use]
    pub fn new(titles: &[&'static str]) -> Self {
        Self {
            titles: titles.to_vec(),
            lines: Vec::new(),
        }
    }

    /// Adds a line, with one cell for each title.
    pub fn line(&mut self, cells: Vec<String>) {
        debug_assert_eq!(cells.len(), self.titles.len());
        self.lines.push(cells);
    }

    /// Whether it has no lines.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// The table as text, each line indented by two spaces; nothing if it has no lines.
    #[must_use]
    pub fn render(&self) -> String {
        if self.is_empty() {
            return String::new();
        }
        let cell = |line: &Vec<String>, column: usize| line.get(column).map_or(0, |c| width(c));
        let mut text = String::new();
        let columns: Vec<_> = self
            .titles
            .iter()
            .enumerate()
            .map(|(column, title)| {
                let widest = self
                    .lines
                    .iter()
                    .map(|line| cell(line, column))
                    .max()
                    .unwrap_or(0);
                let right = self.lines.iter().any(|line| {
                    line.get(column)
                        .is_some_and(|cell| cell.starts_with(|c: char| c.is_ascii_digit()))
                });
                (widest.max(width(title)), right)
            })
            .collect();
        let titles = self.titles.iter().map(|&title| title.to_string()).collect();
        for line in core::iter::once(&titles).chain(&self.lines) {
            let mut row = String::from(" ");
            for (cell, &(wide, right)) in line.iter().zip(&columns) {
                let gap = " ".repeat(wide.saturating_sub(width(cell)));
                let (before, after) = if right {
                    (gap.as_str(), "")
                } else {
                    ("", gap.as_str())
                };
                let _ = write!(row, " {before}{cell}{after} ");
            }
            text.push_str(row.trim_end());
            text.push('\n');
        }
        text
    }
}

fn width(text: &str) -> usize {
    text.chars().count()
}

/// A length of time in its natural unit.
#[must_use]
pub fn span(nanos: u64) -> String {
    Duration::from_nanos(nanos).to_string()
}

/// An instant after the epoch, in milliseconds to the microsecond.
#[must_use]
pub fn instant(nanos: i64) -> String {
    let sign = if nanos < 0 { "-" } else { "" };
    let micros = nanos.unsigned_abs() / 1_000;
    format!("{sign}{}.{:03}ms", micros / 1_000, micros % 1_000)
}

/// The same to the nanosecond.
#[must_use]
pub fn exact_instant(nanos: i64) -> String {
    let sign = if nanos < 0 { "-" } else { "" };
    let nanos = nanos.unsigned_abs();
    format!("{sign}{}.{:06}ms", nanos / 1_000_000, nanos % 1_000_000)
}

/// A number of things.
#[must_use]
pub fn count(number: u64, thing: &str) -> String {
    match number {
        1 => format!("1 {thing}"),
        _ if thing.ends_with('x') => format!("{number} {thing}es"),
        _ => format!("{number} {thing}s"),
    }
}

/// A signed length of time.
#[must_use]
pub fn signed_span(nanos: i64) -> String {
    if nanos < 0 {
        format!("-{}", span(nanos.unsigned_abs()))
    } else {
        span(nanos as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell_and_numbers_stand_right() {
        let mut table = Table::new(&["name", "jobs"]);
        table.line(vec!["controller".to_string(), "7".to_string()]);
        table.line(vec!["io".to_string(), "1234".to_string()]);
        let expected = "  name        jobs\n  controller     7\n  io          1234\n";
        assert_eq!(table.render(), expected);
    }

    #[test]
    fn instants_keep_their_sign_and_microseconds() {
        assert_eq!(instant(0), "0.000ms");
        assert_eq!(instant(-1_500), "-0.001ms");
        assert_eq!(instant(1_234_567_890), "1234.567ms");
        assert_eq!(exact_instant(-1_500), "-0.001500ms");
        assert_eq!(exact_instant(1_234_567_890), "1234.567890ms");
    }
}
