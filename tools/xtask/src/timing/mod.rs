//! `cargo xtask timing`: measures the scenarios on a machine of Bochs, where a tick is
//! an instruction on every host, and compares with the committed figures.
pub mod baseline;
pub mod bounds;
pub mod figures;
pub mod longest;
pub mod measure;
pub mod paths;
pub mod repairs;
pub mod replicas;
pub mod scenarios;
pub mod sections;
pub mod soak;
pub mod widen;

use crate::emulator::bochs::Model;
use crate::error::{Context, Error, Result};
use crate::{boot, workspace};
use baseline::Table;
use figures::Figures;
use measure::Measured;
use scenarios::Conditions;
use soak::Soak;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use tern_config::description::Costs;

/// The options, for `cargo xtask help`.
pub const HELP: &str = "\
timing [OPTION...]            measure the scenarios, compare with tests/timing/, and lay
                                responses beside the analysis's bounds
      --machine NAME            bochs-intel (the default) or bochs-amd
      --bless                   make what is measured the figures to compare with
      --only SYSTEM,...         only the scenarios of these files of tests/systems/timing/
      --hypervisor FILE         measure with this hypervisor, not with the one of the build
      --soak                    instead: four cores under an adversarial load, judged
      --for DURATION            of the machine's time, with --soak; default 10s
      ends with 1 if a response is above its bound, with 2 if a scenario is slower by more
      than 1 % or gone, with 0 if all is well
";

/// How long the adversarial load runs.
const SOAK: Duration = Duration::from_secs(10);
/// The exit code for a regression.
const REGRESSION: u8 = 2;
/// Sections that are shown of those that nothing could preempt.
const SHOWN: usize = 3;
/// The change from which on it is one, in thousandths.
const TOLERANCE: i64 = 10;

/// What instructions are expected at most on `bochs-intel`, by scenario: medians.
const TARGETS: &[(&str, u64)] = &[
    ("system-call", 70),
    ("yield-across-address-spaces", 180),
    ("release-to-first-instruction", 350),
    ("exhaustion-to-next-thread", 300),
    ("hypercall", 150),
];

/// What is measured among 8 servers and among 64: the medians of paths are to grow
/// by 10 % at most.
const WIDENED: &[(&str, &str)] = &[
    ("release-to-first-instruction", "release-64-servers"),
    ("exhaustion-to-next-thread", "exhaustion-to-next-64-servers"),
    ("preemption-by-higher-server", "preemption-64-servers"),
    ("dispatch-8-servers", "dispatch-64-servers"),
    (
        "longest-non-preemptible",
        "longest-non-preemptible-64-servers",
    ),
];

/// What a command line asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Options {
    machine: String,
    bless: bool,
    only: Vec<String>,
    hypervisor: Option<PathBuf>,
    soak: Option<Duration>,
}

impl Options {
    fn parse(arguments: &[String]) -> Result<Self> {
        let mut options = Self {
            machine: "bochs-intel".into(),
            bless: false,
            only: Vec::new(),
            hypervisor: None,
            soak: None,
        };
        let mut time = None;
        let mut words = arguments.iter();
        while let Some(word) = words.next() {
            let mut value = || {
                let value = words.next();
                value.ok_or_else(|| Error::usage(format!("{word} lacks its value")))
            };
            match word.as_str() {
                "--bless" => options.bless = true,
                "--machine" => options.machine.clone_from(value()?),
                "--only" => options.only = value()?.split(',').map(String::from).collect(),
                "--soak" => options.soak = Some(SOAK),
                "--for" => time = Some(boot::duration(value()?)?),
                "--hypervisor" => options.hypervisor = Some(value()?.into()),
                _ => return Err(Error::usage(format!("unknown option '{word}'\n{HELP}"))),
            }
        }
        options.soak = match (options.soak, time) {
            (None, Some(_)) => return Err(Error::usage("--for goes with --soak")),
            (soak, time) => soak.map(|usual| time.unwrap_or(usual)),
        };
        if options.bless && !(options.only.is_empty() && options.hypervisor.is_none()) {
            return Err(Error::usage(
                "--bless takes all scenarios, of what is built: no --only, no --hypervisor",
            ));
        }
        Ok(options)
    }
}

/// Executes the command.
///
/// # Errors
/// If something cannot be measured.
pub fn execute(arguments: &[String]) -> Result<ExitCode> {
    let options = Options::parse(arguments)?;
    let machine = &options.machine;
    if let Some(time) = options.soak {
        return soak(machine, time);
    }
    let conditions = Conditions {
        model: model(machine)?,
        neighbours: false,
        only: options.only.clone(),
        hypervisor: options.hypervisor.clone(),
    };
    let begin = Instant::now();
    let suite = scenarios::measure_all(&conditions, |name| {
        let seconds = begin.elapsed().as_secs();
        eprintln!("{seconds:4} s  measuring {name} on {machine}");
    })?;
    let file = baseline::file(machine);
    let mut before = baseline::read(&file)?;
    if !options.only.is_empty() {
        before.retain(|(name, _)| suite.figures.iter().any(|(other, _)| other == name));
    }
    let regressions = compare(&before, &suite.figures);
    show_growth(&suite.figures);
    for (name, found) in &suite.longest {
        for long in found.iter().take(SHOWN) {
            println!("{name}: {long}");
        }
    }
    let exceeded = bounds_exceeded(machine, &suite.bounded)?;
    if options.bless {
        baseline::write(&file, &suite.figures)?;
        println!("written to {}", file.display());
    } else if !regressions.is_empty() {
        println!("FAILED, slower or gone: {}", regressions.join(", "));
        return Ok(ExitCode::from(REGRESSION));
    }
    if !exceeded.is_empty() {
        println!("FAILED, above the bound: {}", exceeded.join(", "));
        return Ok(ExitCode::FAILURE);
    }
    println!("passed");
    Ok(ExitCode::SUCCESS)
}

/// Lays measured responses beside the bounds of the analysis with the machine's cost
/// table; returns the threads and repairs whose bound does not hold.
fn bounds_exceeded(machine: &str, boots: &[Measured]) -> Result<Vec<String>> {
    let costs = costs(machine)?;
    let mut all = Vec::new();
    for boot in boots {
        let system = &boot.system;
        let mut responses = bounds::responses(system, &boot.trace, &costs)?;
        responses.extend(repairs::responses(system, &boot.trace, &costs)?);
        all.extend(responses.into_iter().map(|response| bounds::Response {
            name: format!("{}.{}", system.name, response.name),
            ..response
        }));
    }
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = bounds::table(&mut text, &all);
    print!("{text}");
    let exceeded = all.into_iter().filter(|response| !response.holds());
    Ok(exceeded.map(|response| response.name).collect())
}

/// The machine's calibrated cost table.
///
/// # Errors
/// If it cannot be read.
pub fn costs(machine: &str) -> Result<Costs> {
    let file = workspace::root().join(format!("platforms/{machine}.toml"));
    let text = std::fs::read_to_string(&file).context(|| {
        let file = file.display();
        format!("reading {file} (cargo xtask calibrate --machine {machine} makes it)")
    })?;
    Costs::parse(&file.display().to_string(), &text)
        .map_err(|problems| Error::input(problems.to_string()))
}

/// Runs the adversarial load and judges it.
fn soak(machine: &str, time: Duration) -> Result<ExitCode> {
    eprintln!("{time:?} of adversarial load on {machine}");
    let soak = Soak::run(model(machine)?, &costs(machine)?, time)?;
    print!("{soak}");
    let failures = soak.failures();
    if failures.is_empty() {
        println!("passed");
        return Ok(ExitCode::SUCCESS);
    }
    println!("FAILED: {}", failures.join(", "));
    Ok(ExitCode::FAILURE)
}

/// The machine that a user calls so.
///
/// # Errors
/// If there is none.
pub fn model(name: &str) -> Result<Model> {
    match name {
        "bochs-intel" => Ok(Model::Intel),
        "bochs-amd" => Ok(Model::Amd),
        _ => Err(Error::usage(format!(
            "no machine is named '{name}'; there are bochs-intel, bochs-amd"
        ))),
    }
}

/// The figures of a scenario.
fn find(table: &Table, name: &str) -> Option<Figures> {
    let found = table.iter().find(|(other, _)| other == name);
    found.map(|(_, figures)| *figures)
}

/// Prints the medians of what is measured among 8 servers beside those among 64.
fn show_growth(figures: &Table) {
    let both = |(few, many): &(&str, &str)| Some((find(figures, few)?, find(figures, many)?));
    let rows: Vec<_> = WIDENED
        .iter()
        .filter_map(|names| Some((names.1, both(names)?)))
        .collect();
    if !rows.is_empty() {
        println!("medians: of 8 servers, of 64, growth; target +10 %");
    }
    for (name, (few, many)) in rows {
        println!("{name:<38}{}", many.median_beside(&few));
    }
}

/// Prints the figures beside those of before; returns what became slower, or is gone.
fn compare(before: &Table, now: &Table) -> Vec<String> {
    println!(
        "{:<38}{:<26}{:<26}{:<26}target",
        "ticks: before, now, change", "  minimum", "  median", "  maximum"
    );
    let mut regressions = Vec::new();
    for (name, figures) in now {
        let target = TARGETS.iter().find(|(other, _)| other == name);
        let target = target.map_or(String::new(), |(_, ticks)| ticks.to_string());
        let baseline = find(before, name);
        if baseline.is_some_and(|baseline| figures.change(&baseline) > TOLERANCE) {
            regressions.push(name.clone());
        }
        let columns = figures.beside(baseline.as_ref());
        println!("{name:<38}{columns}{target:>6}");
    }
    for (name, _) in before {
        if find(now, name).is_none() {
            println!("{name:<32} is not measured any more");
            regressions.push(name.clone());
        }
    }
    regressions
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(rows: &[(&str, u64)]) -> Table {
        let figures = |ticks| Figures {
            minimum: ticks,
            median: ticks,
            maximum: ticks,
        };
        rows.iter()
            .map(|(name, ticks)| (name.to_string(), figures(*ticks)))
            .collect()
    }

    fn parse(line: &str) -> Result<Options> {
        let words: Vec<String> = line.split_whitespace().map(String::from).collect();
        Options::parse(&words)
    }

    #[test]
    fn a_command_line_names_the_machine_and_what_is_measured() {
        let options = parse("--machine bochs-amd --only parts,calls --hypervisor h").unwrap();
        assert_eq!(options.machine, "bochs-amd");
        assert_eq!(options.only, ["parts", "calls"]);
        assert_eq!(options.hypervisor, Some("h".into()));
        assert_eq!(parse("--soak").unwrap().soak, Some(SOAK));
        let short = parse("--soak --for 500ms").unwrap().soak;
        assert_eq!(short, Some(Duration::from_millis(500)));
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_the_usage_code() {
        for line in ["--loud", "--machine", "--for 1s", "--bless --only parts"] {
            assert_eq!(parse(line).unwrap_err().code(), 64, "{line}");
        }
    }

    #[test]
    fn more_than_one_percent_slower_is_a_regression_and_so_is_a_scenario_that_is_gone() {
        let before = table(&[("a", 1000), ("b", 1000), ("c", 1000), ("d", 1000)]);
        let now = table(&[("a", 1010), ("b", 1011), ("c", 500), ("e", 5)]);
        assert_eq!(compare(&before, &now), ["b", "d"]);
    }

    #[test]
    fn a_path_slowed_by_two_percent_is_named() {
        let before = table(&[("system-call", 64), ("hypercall", 150)]);
        let now = table(&[("system-call", 64), ("hypercall", 153)]);
        assert_eq!(compare(&before, &now), ["hypercall"]);
    }
}
