//! The committed figures of a machine: one line a scenario, `NAME MINIMUM MEDIAN MAXIMUM`.
use super::figures::Figures;
use crate::error::{Context, Error, Result};
use crate::workspace;
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// Figures by scenario, in the order of the suite.
pub type Table = Vec<(String, Figures)>;

const HEAD: &str = "\
# Ticks of Bochs, one an instruction: scenario, minimum, median, maximum.
# Written by: cargo xtask timing --bless
";

/// Where the figures of `machine` are kept.
#[must_use]
pub fn file(machine: &str) -> PathBuf {
    workspace::root().join(format!("tests/timing/{machine}.txt"))
}

/// Reads a table; one that does not exist is empty.
///
/// # Errors
/// If a line is no scenario's.
pub fn read(file: &Path) -> Result<Table> {
    if !file.exists() {
        return Ok(Table::new());
    }
    let text = std::fs::read_to_string(file).context(|| format!("reading {}", file.display()))?;
    parse(&text).map_err(|line| {
        let file = file.display();
        Error::input(format!("{file}:{line}: not NAME MINIMUM MEDIAN MAXIMUM"))
    })
}

/// The table in `text`, or the number of a line that is wrong.
fn parse(text: &str) -> std::result::Result<Table, usize> {
    let lines = (1..).zip(text.lines());
    lines
        .filter(|(_, line)| !line.starts_with('#') && !line.trim().is_empty())
        .map(|(number, line)| scenario(line).ok_or(number))
        .collect()
}

fn scenario(line: &str) -> Option<(String, Figures)> {
    let mut words = line.split_whitespace();
    let name = words.next()?.to_string();
    let mut number = || words.next()?.parse().ok();
    let figures = Figures {
        minimum: number()?,
        median: number()?,
        maximum: number()?,
    };
    words.next().is_none().then_some((name, figures))
}

fn text(table: &Table) -> String {
    let mut text = String::from(HEAD);
    for (name, figures) in table {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{name:<32}{figures}");
    }
    text
}

/// Writes a table.
///
/// # Errors
/// If the file cannot be written.
pub fn write(file: &Path, table: &Table) -> Result<()> {
    let doing = || format!("writing {}", file.display());
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder).context(doing)?;
    }
    std::fs::write(file, text(table)).context(doing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let figures = |minimum| Figures {
            minimum,
            median: 20,
            maximum: 1_000_000,
        };
        let table = vec![
            ("system-call".to_string(), figures(1)),
            ("a-scenario-with-a-rather-long-name".to_string(), figures(3)),
        ];
        assert_eq!(parse(&text(&table)), Ok(table));
    }

    #[test]
    fn a_wrong_line_is_named() {
        assert_eq!(parse("# head\n\na 1 2 3\nb 1 2\n"), Err(4));
        assert_eq!(parse("a 1 2 x"), Err(1));
        assert_eq!(parse("a 1 2 3 4"), Err(1));
    }
}
