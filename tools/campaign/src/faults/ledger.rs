//! The ledger of a campaign: a line of CSV a block of runs, written as it is done, from which a
//! campaign that was stopped goes on, and which others are added to.
use super::counts::Counts;
use super::report::Report;
use super::{Row, build};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use xtask::error::{Context, Error, Result};

/// A ledger.
#[derive(Debug)]
pub(super) struct Ledger {
    /// What it is of: program and seed.
    head: String,
    blocks: Vec<(Row, u64, Counts)>,
    file: Option<(File, PathBuf)>,
}

impl Ledger {
    /// Opens the ledger in `path` to write to: a new one, or the one that is there to go on
    /// with it.
    ///
    /// # Errors
    /// If it cannot be written, or what is there is no ledger of this program and seed.
    pub fn open(path: &Path, seed: u64, goes_on: bool) -> Result<Self> {
        let head = format!("# seed {seed}, program {:016x}", build()?);
        let goes_on = goes_on && path.exists();
        let blocks = match goes_on {
            true => Self::read(path)?.expect_of(&head, path)?.blocks,
            false => Vec::new(),
        };
        let name = || format!("writing {}", path.display());
        let mut options = File::options();
        options.create(true).write(true);
        let options = options.append(goes_on).truncate(!goes_on);
        let mut file = options.open(path).context(name)?;
        if !goes_on {
            let names = Counts::names().join(",");
            let lines = format!("{head}\nplacement,class,block,{names}\n");
            file.write_all(lines.as_bytes()).context(name)?;
        }
        Ok(Self {
            head,
            blocks,
            file: Some((file, path.into())),
        })
    }

    /// Reads a ledger. A last line that was cut off is left out.
    ///
    /// # Errors
    /// If it cannot be read, or is none.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path);
        let text = text.context(|| format!("reading {}", path.display()))?;
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        let mut lines = whole.lines();
        let head = lines.next().unwrap_or_default().to_string();
        let wrong = |line: &str| {
            let path = path.display();
            Error::input(format!("{path}: no line of a ledger: '{line}'"))
        };
        if !head.starts_with("# seed ") || lines.next().is_none() {
            return Err(wrong(&head));
        }
        let blocks = lines.map(|line| block(line).ok_or_else(|| wrong(line)));
        Ok(Self {
            head,
            blocks: blocks.collect::<Result<_>>()?,
            file: None,
        })
    }

    fn expect_of(self, head: &str, path: &Path) -> Result<Self> {
        match self.head == head {
            true => Ok(self),
            false => Err(Error::input(format!(
                "{}: it is of another campaign or program ('{}', this is '{head}'): leave out \
                 --resume to begin anew",
                path.display(),
                self.head
            ))),
        }
    }

    /// Whether a block has been done.
    pub fn has(&self, row: Row, block: u64) -> bool {
        let mut blocks = self.blocks.iter();
        blocks.any(|(of, number, _)| (*of, *number) == (row, block))
    }

    /// Adds a block.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn add(&mut self, row: Row, block: u64, counts: Counts) -> Result<()> {
        self.blocks.push((row, block, counts));
        let Some((file, path)) = &mut self.file else {
            return Ok(());
        };
        let numbers: Vec<String> = counts.numbers().iter().map(u64::to_string).collect();
        let (placement, class) = (row.placement.name(), row.class.name());
        let line = format!("{placement},{class},{block},{}\n", numbers.join(","));
        let written = file.write_all(line.as_bytes());
        written.context(|| format!("writing {}", path.display()))
    }

    /// Takes the blocks of another part of the same campaign, which is in `path`.
    ///
    /// # Errors
    /// If it is of another, or has blocks that are here.
    pub fn take(&mut self, other: &Self, path: &Path) -> Result<()> {
        if self.head != other.head {
            let (head, own) = (&other.head, &self.head);
            let path = path.display();
            return Err(Error::input(format!(
                "{path}: it is of another campaign ('{head}', those before '{own}')"
            )));
        }
        for (row, block, counts) in &other.blocks {
            if self.has(*row, *block) {
                let (path, row) = (path.display(), row.name());
                return Err(Error::input(format!(
                    "{path}: block {block} of {row} is in a ledger before, too"
                )));
            }
            self.blocks.push((*row, *block, *counts));
        }
        Ok(())
    }

    /// Adds up the blocks of each row.
    pub fn report(&self) -> Report {
        let sums = Row::all().map(|row| {
            let mut sum = Counts::default();
            let own = self.blocks.iter().filter(|(of, _, _)| *of == row);
            own.for_each(|(_, _, counts)| sum += *counts);
            (row, sum)
        });
        Report {
            rows: sums.filter(|(_, counts)| counts.runs() > 0).collect(),
        }
    }
}

fn block(line: &str) -> Option<(Row, u64, Counts)> {
    let mut fields = line.split(',');
    let (placement, class) = (fields.next()?, fields.next()?);
    let row = Row::all().find(|row| row.name() == format!("{placement}/{class}"))?;
    let number = fields.next()?.parse().ok()?;
    let numbers: Option<Vec<u64>> = fields.map(|field| field.parse().ok()).collect();
    Some((row, number, Counts::from_numbers(&numbers?)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faults::{Class, Placement};

    const ROW: Row = Row {
        placement: Placement::Arbitrator,
        class: Class::Data,
    };

    fn counts(masked: u64) -> Counts {
        let mut counts = Counts::default();
        counts.outcomes[10] = masked;
        counts
    }

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let name = format!("tern-ledger-{name}-{}", std::process::id());
            let folder = std::env::temp_dir().join(name);
            std::fs::create_dir_all(&folder).unwrap();
            Self(folder)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_campaign_goes_on_where_it_was_and_a_line_cut_off_is_done_again() {
        let folder = Folder::new("resume");
        let path = folder.0.join("a.csv");
        let mut ledger = Ledger::open(&path, 1, true).unwrap();
        ledger.add(ROW, 0, counts(100)).unwrap();
        ledger.add(ROW, 1, counts(99)).unwrap();
        drop(ledger);
        let mut text = std::fs::read_to_string(&path).unwrap();
        text.truncate(text.len() - 3);
        std::fs::write(&path, text).unwrap();
        let ledger = Ledger::open(&path, 1, true).unwrap();
        assert!(ledger.has(ROW, 0) && !ledger.has(ROW, 1));
        assert_eq!(ledger.report().rows, [(ROW, counts(100))]);
        assert_eq!(Ledger::open(&path, 2, true).unwrap_err().code(), 65);
        let anew = Ledger::open(&path, 2, false).unwrap();
        assert!(!anew.has(ROW, 0));
    }

    #[test]
    fn parts_add_up_and_none_is_counted_twice() {
        let folder = Folder::new("merge");
        let (one, other) = (folder.0.join("1.csv"), folder.0.join("2.csv"));
        let part = |path: &Path, seed, block, masked| {
            let mut ledger = Ledger::open(path, seed, false).unwrap();
            ledger.add(ROW, block, counts(masked)).unwrap();
            Ledger::read(path).unwrap()
        };
        let mut sum = part(&one, 1, 0, 3);
        sum.take(&part(&other, 1, 1, 4), &other).unwrap();
        assert_eq!(sum.report().rows, [(ROW, counts(7))]);
        let twice = sum.take(&part(&other, 1, 1, 4), &other);
        assert_eq!(twice.unwrap_err().code(), 65);
        let another = sum.take(&part(&other, 2, 5, 4), &other);
        assert_eq!(another.unwrap_err().code(), 65);
    }

    #[test]
    fn what_is_no_ledger_is_refused_with_its_line() {
        let folder = Folder::new("wrong");
        let path = folder.0.join("a.csv");
        for text in ["", "hello\nworld\n", "# seed 1, program 0\nhead\na,b,c\n"] {
            std::fs::write(&path, text).unwrap();
            assert_eq!(Ledger::read(&path).unwrap_err().code(), 65, "{text}");
        }
    }
}
