//! The table of a search: a line a system, written as it is done, from which a search that was
//! stopped goes on.
use std::fs::File;
use std::io::Write;
use std::ops::AddAssign;
use std::path::Path;
use xtask::error::{Context, Error, Result};

/// What a system met: a row of a table, or the sum of rows.
pub(crate) trait Row: Copy + Default + AddAssign {
    /// Writes it as numbers with a blank between each two.
    fn numbers(self) -> String;
    /// Reads what [`Row::numbers`] wrote.
    fn read(text: &str) -> Option<Self>;
}

/// A table that is written to.
#[derive(Debug)]
pub(crate) struct Table<Met> {
    file: File,
    name: String,
    /// What the systems in it met.
    pub met: Met,
    /// The last seed in it.
    pub last: Option<u64>,
}

impl<Met: Row> Table<Met> {
    /// Opens the table in `path`: a new one, or the one that is there to go on with it.
    ///
    /// # Errors
    /// If it cannot be written, or what is there is no table.
    pub fn open(path: &Path, goes_on: bool) -> Result<Self> {
        let name = path.display().to_string();
        let (mut met, mut last) = (Met::default(), None);
        if goes_on && path.exists() {
            let text = std::fs::read_to_string(path);
            for line in text.context(|| format!("reading {name}"))?.lines() {
                let row = line
                    .split_once(' ')
                    .and_then(|(seed, numbers)| Some((seed.parse().ok()?, Met::read(numbers)?)));
                let (seed, row) =
                    row.ok_or_else(|| Error::input(format!("{name}: no row: '{line}'")))?;
                met += row;
                last = Some(seed);
            }
        }
        let mut options = File::options();
        options
            .create(true)
            .append(goes_on)
            .write(true)
            .truncate(!goes_on);
        let file = options.open(path).context(|| format!("writing {name}"))?;
        Ok(Self {
            file,
            name,
            met,
            last,
        })
    }

    /// Adds the system of a seed.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn add(&mut self, seed: u64, met: Met) -> Result<()> {
        self.met += met;
        self.last = Some(seed);
        let row = format!("{seed} {}\n", met.numbers());
        let written = self.file.write_all(row.as_bytes());
        written.context(|| format!("writing {}", self.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    struct Jobs(u64);

    impl AddAssign for Jobs {
        fn add_assign(&mut self, other: Self) {
            self.0 += other.0;
        }
    }

    impl Row for Jobs {
        fn numbers(self) -> String {
            self.0.to_string()
        }

        fn read(text: &str) -> Option<Self> {
            text.parse().ok().map(Self)
        }
    }

    #[test]
    fn a_search_goes_on_after_the_last_row_and_a_new_one_begins_anew() {
        let path = std::env::temp_dir().join(format!("tern-table-{}", std::process::id()));
        let system = Jobs(7);
        let mut table = Table::<Jobs>::open(&path, false).unwrap();
        table.add(3, system).unwrap();
        table.add(5, system).unwrap();
        drop(table);
        let table = Table::<Jobs>::open(&path, true).unwrap();
        assert_eq!((table.last, table.met), (Some(5), Jobs(14)));
        drop(table);
        let table = Table::<Jobs>::open(&path, false).unwrap();
        assert_eq!((table.last, table.met), (None, Jobs(0)));
        drop(table);
        std::fs::write(&path, "3 a b\n").unwrap();
        assert_eq!(Table::<Jobs>::open(&path, true).unwrap_err().code(), 65);
        std::fs::remove_file(&path).unwrap();
    }
}
