//! What to search, and for how long.
use std::time::Duration;
use xtask::emulator::bochs::Model;
use xtask::error::{Error, Result};
use xtask::search::HELP;

/// How long a search takes that nothing is said of.
const ON_THE_HOST: Duration = Duration::from_secs(600);
const ON_A_MACHINE: Duration = Duration::from_secs(60);

/// What to search.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// The machine that systems are booted on; without one they are simulated on the host.
    pub machine: Option<Model>,
    /// After this no further system is begun.
    pub time: Duration,
    /// The first seed.
    pub seed: u64,
    /// Which of how many parts, from 0.
    pub shard: (u64, u64),
    /// Systems at most.
    pub systems: usize,
    /// Whether to go on after the last system in the table of such a search.
    pub resume: bool,
}

impl Options {
    /// Returns a search of `time` on the host from `seed` on.
    #[must_use]
    pub const fn new(seed: u64, time: Duration) -> Self {
        Self {
            machine: None,
            time,
            seed,
            shard: (0, 1),
            systems: usize::MAX,
            resume: false,
        }
    }

    /// Reads a command line.
    ///
    /// # Errors
    /// If it does not make sense.
    pub fn parse(arguments: &[String]) -> Result<Self> {
        let mut time = None;
        let mut options = Self::new(1, ON_THE_HOST);
        let mut words = arguments.iter();
        while let Some(word) = words.next() {
            let mut value = || {
                let value = words.next().map(String::as_str);
                value.ok_or_else(|| Error::usage(format!("{word} takes a value")))
            };
            match word.as_str() {
                "--machine" => options.machine = Some(model(value()?)?),
                "--seconds" => time = Some(Duration::from_secs(number(word, value()?)?)),
                "--seed" => options.seed = number(word, value()?)?,
                "--systems" => options.systems = number(word, value()?)? as usize,
                "--resume" => options.resume = true,
                "--shard" => options.shard = shard(value()?)?,
                other => {
                    return Err(Error::usage(format!(
                        "search has no option '{other}'\n{HELP}"
                    )));
                }
            }
        }
        let usual = match options.machine {
            Some(_) => ON_A_MACHINE,
            None => ON_THE_HOST,
        };
        options.time = time.unwrap_or(usual);
        Ok(options)
    }

    /// Returns the seeds of the search, without end.
    pub fn seeds(&self) -> impl Iterator<Item = u64> {
        let (part, parts) = self.shard;
        (self.seed..=u64::MAX).filter(move |seed| seed % parts == part)
    }
}

fn model(name: &str) -> Result<Model> {
    Model::named(name).ok_or_else(|| {
        Error::usage(format!(
            "no machine is named '{name}'; there are bochs-intel, bochs-amd"
        ))
    })
}

fn number(option: &str, text: &str) -> Result<u64> {
    let wrong = || Error::usage(format!("{option} takes a whole number, not '{text}'"));
    text.parse().map_err(|_| wrong())
}

/// Reads `K/N`, K from 1 to N.
pub(crate) fn shard(text: &str) -> Result<(u64, u64)> {
    let parts = text.split_once('/');
    let parts = parts.and_then(|(part, parts)| Some((part.parse().ok()?, parts.parse().ok()?)));
    match parts {
        Some((part, parts)) if (1..=parts).contains(&part) => Ok((part - 1, parts)),
        _ => Err(Error::usage(format!(
            "--shard takes K/N with K from 1 to N, not '{text}'"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Options> {
        let words: Vec<String> = line.split_whitespace().map(String::from).collect();
        Options::parse(&words)
    }

    #[test]
    fn a_command_line_names_machine_time_seed_and_part() {
        let options =
            parse("--machine bochs-amd --seconds 600 --seed 7 --shard 2/4 --resume --systems 9")
                .unwrap();
        assert_eq!(options.machine, Some(Model::Amd));
        assert_eq!(options.time, Duration::from_secs(600));
        assert_eq!((options.seed, options.shard), (7, (1, 4)));
        assert_eq!((options.systems, options.resume), (9, true));
    }

    #[test]
    fn a_search_is_on_the_host_for_ten_minutes_or_on_a_machine_for_one() {
        let host = parse("").unwrap();
        assert_eq!(
            (host.machine, host.time.as_secs(), host.seed),
            (None, 600, 1)
        );
        let machine = parse("--machine bochs-intel --seed 2").unwrap();
        assert_eq!(
            (machine.machine, machine.time.as_secs()),
            (Some(Model::Intel), 60)
        );
    }

    #[test]
    fn the_parts_together_are_all_seeds_once() {
        let seeds = |shard: &str| {
            let options = parse(&format!("--machine bochs-intel --seed 5 --shard {shard}"));
            options.unwrap().seeds().take(4).collect::<Vec<_>>()
        };
        let mut all = [seeds("1/3"), seeds("2/3"), seeds("3/3")].concat();
        all.sort_unstable();
        assert_eq!(all, (5..17).collect::<Vec<_>>());
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_the_usage_code() {
        for line in [
            "--machine",
            "--machine qemu",
            "--machine bochs-amd --seed x",
            "--machine bochs-amd --shard 0/4",
            "--machine bochs-amd --shard 5/4",
            "--machine bochs-amd --shard 1",
            "--machine bochs-amd --fast 1",
        ] {
            assert_eq!(parse(line).unwrap_err().code(), 64, "{line}");
        }
    }
}
