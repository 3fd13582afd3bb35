//! The table that a campaign ends with, and whether it is as it should be.
use super::counts::{Counts, poisson_bound};
use super::{Class, Row, accusations, is_broken};
use std::fmt;
use tern_fault::outcome::OutcomeClass;

/// The sums of a campaign.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Each row that has runs, with their sums.
    pub rows: Vec<(Row, Counts)>,
}

/// The columns of the table: outcome classes by a short name.
const COLUMNS: [(&str, OutcomeClass); 11] = [
    ("wrong", OutcomeClass::WrongOutput),
    ("crash", OutcomeClass::Crash),
    ("hang", OutcomeClass::Hang),
    ("stop", OutcomeClass::SafeStop),
    ("late", OutcomeClass::RecoveredLate),
    ("without", OutcomeClass::Downgraded),
    ("recovered", OutcomeClass::Recovered),
    ("accused", OutcomeClass::FalseAccusation),
    ("latent", OutcomeClass::Latent),
    ("masked", OutcomeClass::Masked),
    ("nothing", OutcomeClass::NotActivated),
];

impl Report {
    /// Returns what is not as promised, a line each.
    #[must_use]
    pub fn broken(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for (row, counts) in &self.rows {
            for class in OutcomeClass::ALL
                .into_iter()
                .filter(|it| is_broken(*row, *it))
            {
                match counts.of(class) {
                    0 => {}
                    runs => lines.push(format!("{}: {runs} times {}", row.name(), class.name())),
                }
            }
            if row.class == Class::None && counts.accused_falsely > 0 {
                let (name, runs) = (row.name(), counts.accused_falsely);
                lines.push(format!("{name}: in {runs} runs somebody was accused"));
            }
            let (runs, most) = match accusations(*row) {
                None => (0, ""),
                Some(0) => (counts.accused_falsely, ""),
                Some(_) => (counts.accused_for_long, " for above one epoch"),
            };
            if runs > 0 {
                let name = row.name();
                lines.push(format!(
                    "{name}: in {runs} runs a sound replica was accused{most}"
                ));
            }
            if counts.withheld_for_long > 0 {
                let (name, runs) = (row.name(), counts.withheld_for_long);
                lines.push(format!(
                    "{name}: in {runs} runs too many outputs were withheld"
                ));
            }
        }
        lines
    }

    /// Returns the rows that prove nothing, since most faults of theirs did nothing.
    #[must_use]
    pub fn lacks(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for (row, counts) in self.rows.iter().filter(|(row, _)| row.class != Class::None) {
            let (nothing, runs) = (counts.of(OutcomeClass::NotActivated), counts.runs());
            if 2 * nothing > runs {
                let name = row.name();
                lines.push(format!("{name}: {nothing} of {runs} faults did nothing"));
            }
        }
        // Where nothing protects, wrong outputs have to be seen, or they would be nowhere.
        let plain = || {
            self.rows
                .iter()
                .filter(|(row, _)| !row.placement.protects())
        };
        let wrong = |(_, counts): &(Row, Counts)| counts.of(OutcomeClass::WrongOutput);
        if plain().count() > 0 && plain().map(wrong).sum::<u64>() == 0 {
            lines.push("unprotected: no output was wrong".into());
        }
        lines
    }
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:<31}{:>8}", "placement/class", "runs")?;
        for (name, _) in COLUMNS {
            write!(out, "{name:>10}")?;
        }
        writeln!(out, "{:>10}{:>8}{:>10}", "withheld", "mend", "epochs")?;
        for (row, counts) in &self.rows {
            write!(out, "{:<31}{:>8}", row.name(), counts.runs())?;
            for (_, class) in COLUMNS {
                match counts.of(class) {
                    0 => write!(out, "{:>10}", ".")?,
                    runs => write!(out, "{runs:>10}")?,
                }
            }
            let (withheld, mended, epochs) = (counts.withheld, counts.mended, counts.epochs);
            writeln!(out, "{withheld:>10}{mended:>8}{epochs:>10}")?;
        }
        let mut all = Counts::default();
        let protected = self.rows.iter().filter(|(row, _)| row.placement.protects());
        protected.for_each(|(_, counts)| all += *counts);
        let runs = all.runs().max(1) as f64;
        let wrong = all.of(OutcomeClass::WrongOutput);
        writeln!(
            out,
            "withheld: epochs without an output; mend: the most epochs from a fault until all is \
             well; epochs: those run\nwhere outputs are voted on: {} epochs run, {} saved; {wrong} \
             runs of {runs} had a wrong output: below {:.1e} a run, with 95 % confidence",
            all.epochs,
            all.saved,
            poisson_bound(wrong) / runs
        )?;
        for (row, counts) in self.rows.iter().filter(|(row, _)| row.class == Class::None) {
            let (votes, accused) = (counts.epochs, counts.accused_falsely);
            writeln!(
                out,
                "{}: {accused} runs with an accusation in {votes} votes without a fault: below \
                 {:.1e} a vote",
                row.name(),
                poisson_bound(accused) / votes.max(1) as f64
            )?;
        }
        Ok(())
    }
}
