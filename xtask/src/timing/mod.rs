//! `cargo xtask timing`: measures the scenarios on a machine of Bochs, where a tick is
//! an instruction on every host, and compares with the committed figures.
pub mod baseline;
pub mod bounds;
pub mod figures;
pub mod measure;
pub mod scenarios;

use crate::emulator::bochs::Model;
use crate::error::{Context, Error, Result};
use crate::workspace;
use baseline::Table;
use figures::Figures;
use measure::Measured;
use std::process::ExitCode;
use tern_config::description::Costs;

/// The options, for `cargo xtask help`.
pub const HELP: &str = "\
  timing [OPTION...]            measure the scenarios, and compare with tests/timing/
    --machine NAME              bochs-intel (the default) or bochs-amd
    --bless                     make what is measured the figures to compare with
";

/// The exit code for a regression.
const REGRESSION: u8 = 2;
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

/// Executes the command.
///
/// # Errors
/// If something cannot be measured.
pub fn execute(arguments: &[String]) -> Result<ExitCode> {
    let (mut machine, mut bless) = ("bochs-intel", false);
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--bless" => bless = true,
            "--machine" => {
                let missing = || Error::usage("--machine lacks its value");
                machine = words.next().ok_or_else(missing)?;
            }
            _ => return Err(Error::usage(format!("unknown option '{word}'\n{HELP}"))),
        }
    }
    let model = model(machine)?;
    let suite = scenarios::measure_all(model, |name| eprintln!("measuring {name} on {machine}"))?;
    let now = suite.figures;
    let file = baseline::file(machine);
    let before = baseline::read(&file)?;
    let regressions = compare(&before, &now);
    let exceeded = bounds_exceeded(machine, &suite.bounded)?;
    if bless {
        baseline::write(&file, &now)?;
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
/// table; returns the threads whose bound does not hold.
fn bounds_exceeded(machine: &str, boots: &[Measured]) -> Result<Vec<String>> {
    let file = workspace::root().join(format!("platforms/{machine}.toml"));
    let text = std::fs::read_to_string(&file).context(|| {
        let file = file.display();
        format!("reading {file} (cargo xtask calibrate --machine {machine} makes it)")
    })?;
    let costs = Costs::parse(&file.display().to_string(), &text)
        .map_err(|problems| Error::input(problems.to_string()))?;
    println!(
        "\n{:<32}{:>15}{:>15}  tightness",
        "worst response", "measured", "bound"
    );
    let mut all = Vec::new();
    for boot in boots {
        let system = &boot.system;
        for mut response in bounds::responses(system, &boot.trace, &costs)? {
            response.name = format!("{}.{}", system.name, response.name);
            println!("{response}");
            all.push(response);
        }
    }
    if let Some(median) = bounds::median_tightness(&all) {
        println!("median tightness {}.{:02}", median / 100, median % 100);
    }
    let exceeded = all.into_iter().filter(|response| !response.holds());
    Ok(exceeded.map(|response| response.name).collect())
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

/// Prints the figures beside those of before; returns what became slower, or is gone.
fn compare(before: &Table, now: &Table) -> Vec<String> {
    println!(
        "{:<32}{:>9} {:>9} {:>9} {:>9} {:>8} {:>7}",
        "ticks", "minimum", "median", "maximum", "before", "change", "target"
    );
    let find = |table: &Table, name: &str| -> Option<Figures> {
        let found = table.iter().find(|(other, _)| other == name);
        found.map(|(_, figures)| *figures)
    };
    let mut regressions = Vec::new();
    for (name, figures) in now {
        let target = TARGETS.iter().find(|(other, _)| other == name);
        let target = target.map_or(String::new(), |(_, ticks)| ticks.to_string());
        let (median, change) = match find(before, name) {
            Some(baseline) => {
                let change = figures.change(&baseline);
                if change > TOLERANCE {
                    regressions.push(name.clone());
                }
                let percent = format!("{:+}.{} %", change / 10, change.abs() % 10);
                (baseline.median.to_string(), percent)
            }
            None => (String::new(), "new".into()),
        };
        println!("{name:<32}{figures} {median:>9} {change:>8} {target:>7}");
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
