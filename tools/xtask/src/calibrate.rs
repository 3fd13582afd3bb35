//! `cargo xtask calibrate`: measures what the kernel's own work costs on a machine, and
//! writes the cost table that the analysis takes.
use crate::emulator::bochs::configuration::TICKS_PER_SECOND;
use crate::error::{Context, Error, Result};
use crate::timing::baseline::Table;
use crate::timing::model;
use crate::timing::scenarios::{self, Conditions};
use crate::workspace;
use std::fmt::Write;
use std::process::ExitCode;

/// The options, for `cargo xtask help`.
pub const HELP: &str = "\
calibrate [--machine NAME]    measure the costs of bochs-intel (the default) or
                                bochs-amd, and write platforms/NAME.toml
";

/// The costs by key of the table, each with the scenarios of which it is the greatest
/// maximum: see `tern_sched::analysis::CostTable`.
const COSTS: &[(&str, &[&str])] = &[
    ("context_switch", &["yield-across-address-spaces"]),
    // With the switch and the records that come with it: more than its own part.
    (
        "timer_interrupt",
        &[
            "exhaustion-to-next-thread",
            "exhaustion-to-next-64-servers",
            "release-to-first-instruction",
            "release-64-servers",
        ],
    ),
    (
        "replenishment",
        &["replenishment-1", "replenishment-8", "replenishment-32"],
    ),
    ("system_call", &["system-call"]),
    ("hypercall", &["hypercall", "exit-cpuid", "exit-read-msr"]),
    (
        "page_hash",
        &["page-hash-ahash", "page-hash-sha256", "page-confirm-sha256"],
    ),
    ("page_copy", &["page-copy"]),
    ("page_repair", &["repair-each-page"]),
    ("trace_record", &["trace-record", "trace-record-wide"]),
    (
        "longest_non_preemptible",
        &[
            "longest-non-preemptible",
            "longest-non-preemptible-64-servers",
        ],
    ),
];

/// Executes the command.
///
/// # Errors
/// If something cannot be measured, or the table not be written.
pub fn execute(arguments: &[String]) -> Result<ExitCode> {
    let machine = match arguments {
        [] => "bochs-intel",
        [flag, machine] if flag == "--machine" => machine,
        _ => {
            return Err(Error::usage(format!(
                "calibrate takes --machine NAME\n{HELP}"
            )));
        }
    };
    let conditions = Conditions {
        model: model(machine)?,
        neighbours: true,
        only: Vec::new(),
        hypervisor: None,
    };
    let suite = scenarios::measure_all(&conditions, |name| {
        eprintln!("measuring {name} on {machine}");
    })?;
    let text = text(machine, &suite.figures)?;
    let file = workspace::root().join(format!("platforms/{machine}.toml"));
    let doing = || format!("writing {}", file.display());
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder).context(doing)?;
    }
    std::fs::write(&file, &text).context(doing)?;
    print!("{text}");
    println!("written to {}", file.display());
    Ok(ExitCode::SUCCESS)
}

/// The cost table's text.
///
/// # Errors
/// If a scenario is missing.
fn text(machine: &str, figures: &Table) -> Result<String> {
    let mut text = format!(
        "# What the kernel's own work costs on {machine}: the greatest that was measured.\n\
         # Written by: cargo xtask calibrate --machine {machine}\n\
         #\n\
         # Conditions: Bochs 2.7, an instruction a tick of 10 ns, no caches to be warm or cold;\n\
         # the first time of each operation counts like the others. The three other cores are\n\
         # busy, use up their budgets and wait for them. Releases into running programs and\n\
         # budgets used up, among eight servers and among the most that there can be; lists of\n\
         # replenishments up to the longest, 32; every switch to another address space. The\n\
         # longest non-preemptible section is that of all that every core executes, hypervisor\n\
         # included, while servers are due at one instant, budgets are used up and returned,\n\
         # programs make system calls and give way, and the replicas, voter and driver of the\n\
         # adversarial load commit, vote, repair and send.\n\n[costs]\n"
    );
    for (key, names) in COSTS {
        let mut greatest = 0;
        for name in *names {
            let found = figures.iter().find(|(other, _)| other == name);
            let (_, of) =
                found.ok_or_else(|| Error::failure(format!("{name} was not measured")))?;
            greatest = greatest.max(of.maximum);
        }
        let nanos = greatest * (1_000_000_000 / TICKS_PER_SECOND);
        let scenarios = names.join(", ");
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "# {scenarios}: {greatest} ticks\n{key} = \"{nanos}ns\""
        );
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timing::figures::Figures;
    use tern_config::description::Costs;

    fn figures(maximum: u64) -> Figures {
        Figures {
            minimum: 1,
            median: 2,
            maximum,
        }
    }

    #[test]
    fn a_cost_is_the_greatest_maximum_of_its_scenarios_and_the_analysis_reads_it() {
        let scenarios = COSTS.iter().flat_map(|(_, names)| *names);
        let table: Table = scenarios
            .zip(10..)
            .map(|(name, maximum)| (name.to_string(), figures(maximum)))
            .collect();
        let costs = Costs::parse("test", &text("test", &table).unwrap()).unwrap();
        assert_eq!(costs.context_switch, 100);
        assert_eq!(costs.timer_interrupt, 140);
        assert_eq!(costs.replenishment, 170);
    }

    #[test]
    fn what_was_not_measured_is_named() {
        let error = text("test", &Table::new()).unwrap_err().to_string();
        assert!(error.contains("yield-across-address-spaces"), "{error}");
    }
}
