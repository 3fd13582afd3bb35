//! The command line of a campaign.
use super::{Class, Placement, Row};
use std::path::PathBuf;
use std::time::Duration;
use xtask::campaign::HELP;
use xtask::error::{Error, Result};

/// Runs of each row where the command line does not say.
const RUNS: u64 = 30_000;

/// What is to be run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Runs of each row.
    pub runs: u64,
    /// The seed that all runs' seeds follow from.
    pub seed: u64,
    /// Which of how many parts, from 0.
    pub shard: (u64, u64),
    /// After this no further block is begun.
    pub time: Duration,
    /// Whether to go on with the ledger that is there.
    pub resume: bool,
    /// The only placement, if not all.
    pub placement: Option<Placement>,
    /// The only class, if not all.
    pub class: Option<Class>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            runs: RUNS,
            seed: 1,
            shard: (0, 1),
            time: Duration::MAX,
            resume: false,
            placement: None,
            class: None,
        }
    }
}

/// What a command line asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Task {
    /// A campaign, or a part of one.
    Run(Options),
    /// To add up these ledgers.
    Merge(Vec<PathBuf>),
    /// One run again.
    Replay {
        /// Its row.
        row: Row,
        /// The campaign's seed.
        seed: u64,
        /// Its number.
        number: u64,
    },
}

impl Options {
    /// Whether a row is asked for.
    #[must_use]
    pub fn has(&self, row: Row) -> bool {
        self.placement
            .is_none_or(|placement| placement == row.placement)
            && self.class.is_none_or(|class| class == row.class)
    }
}

impl Task {
    /// Reads a command line.
    ///
    /// # Errors
    /// If it does not make sense.
    pub fn parse(arguments: &[String]) -> Result<Self> {
        if let Some((first, ledgers)) = arguments.split_first()
            && first == "--merge"
        {
            return match ledgers {
                [] => Err(Error::usage("--merge takes the ledgers of all parts")),
                ledgers => Ok(Self::Merge(ledgers.iter().map(PathBuf::from).collect())),
            };
        }
        let mut options = Options::default();
        let mut replayed = None;
        let mut words = arguments.iter();
        while let Some(word) = words.next() {
            let mut value = || {
                let value = words.next().map(String::as_str);
                value.ok_or_else(|| Error::usage(format!("{word} takes a value")))
            };
            match word.as_str() {
                "--runs" => options.runs = number(word, value()?)?,
                "--seed" => options.seed = number(word, value()?)?,
                "--seconds" => options.time = Duration::from_secs(number(word, value()?)?),
                "--shard" => options.shard = crate::options::shard(value()?)?,
                "--resume" => options.resume = true,
                "--placement" => {
                    let all = Placement::ALL.map(|it| (it.name(), it));
                    options.placement = Some(named(word, value()?, &all)?);
                }
                "--class" => {
                    let all = Class::ALL.map(|it| (it.name(), it));
                    options.class = Some(named(word, value()?, &all)?);
                }
                "--replay" => replayed = Some(run(value()?)?),
                other => {
                    let line = format!("campaign has no option '{other}'\n{HELP}");
                    return Err(Error::usage(line));
                }
            }
        }
        let seed = options.seed;
        Ok(match replayed {
            None => Self::Run(options),
            Some((row, number)) => Self::Replay { row, seed, number },
        })
    }
}

fn number(option: &str, text: &str) -> Result<u64> {
    let wrong = || Error::usage(format!("{option} takes a whole number, not '{text}'"));
    text.parse().map_err(|_| wrong())
}

fn named<T: Copy>(option: &str, text: &str, all: &[(&str, T)]) -> Result<T> {
    let found = all.iter().find(|(name, _)| *name == text);
    found.map(|(_, value)| *value).ok_or_else(|| {
        let names: Vec<&str> = all.iter().map(|(name, _)| *name).collect();
        let names = names.join(", ");
        Error::usage(format!("{option} {text}: there are {names}"))
    })
}

/// Reads PLACEMENT/CLASS/NUMBER.
fn run(text: &str) -> Result<(Row, u64)> {
    let wrong = || {
        Error::usage(format!(
            "--replay takes PLACEMENT/CLASS/NUMBER, not '{text}'"
        ))
    };
    let (name, count) = text.rsplit_once('/').ok_or_else(wrong)?;
    let row = Row::all()
        .find(|row| row.name() == name)
        .ok_or_else(wrong)?;
    Ok((row, count.parse().map_err(|_| wrong())?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Task> {
        let words: Vec<String> = line.split_whitespace().map(String::from).collect();
        Task::parse(&words)
    }

    #[test]
    fn a_campaign_is_of_thirty_thousand_runs_of_each_row() {
        assert_eq!(parse("").unwrap(), Task::Run(Options::default()));
        let line = "--runs 100 --seed 7 --shard 2/3 --resume --placement arbitrator --class data";
        let Task::Run(options) = parse(line).unwrap() else {
            panic!("no campaign");
        };
        assert_eq!(
            (options.runs, options.seed, options.shard),
            (100, 7, (1, 3))
        );
        let rows: Vec<String> = Row::all()
            .filter(|row| options.has(*row))
            .map(|row| row.name())
            .collect();
        assert_eq!(rows, ["arbitrator/data"]);
    }

    #[test]
    fn a_run_is_named_by_its_row_and_number() {
        let Task::Replay { row, seed, number } =
            parse("--seed 3 --replay unprotected/text/12").unwrap()
        else {
            panic!("no replay");
        };
        assert_eq!(
            (row.name().as_str(), seed, number),
            ("unprotected/text", 3, 12)
        );
    }

    #[test]
    fn what_makes_no_sense_is_wrong_usage() {
        for line in [
            "--merge",
            "--runs",
            "--runs x",
            "--class frob",
            "--placement frob",
            "--replay arbitrator/data",
            "--replay arbitrator/frob/1",
            "--shard 0/2",
            "--frob",
        ] {
            assert_eq!(parse(line).unwrap_err().code(), 64, "{line}");
        }
    }
}
