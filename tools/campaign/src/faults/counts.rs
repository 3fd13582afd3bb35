//! What the runs of a class came to, added up.
use super::run::Came;
use std::ops::AddAssign;
use tern_fault::outcome::OutcomeClass;

const CLASSES: usize = OutcomeClass::ALL.len();

/// Sums over runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Runs of each outcome class.
    pub outcomes: [u64; CLASSES],
    /// Deadlines that threads missed which no fault hit.
    pub missed: u64,
    /// Runs in which a replica was accused that no fault hit and that had the agreed memory.
    pub accused_falsely: u64,
    /// Runs in which that lasted above one epoch.
    pub accused_for_long: u64,
    /// Epochs without an output.
    pub withheld: u64,
    /// Runs with more of them than the placement promises for a single fault.
    pub withheld_for_long: u64,
    /// Epochs run.
    pub epochs: u64,
    /// Epochs that were not run, since all was as without a fault.
    pub saved: u64,
    /// The longest time to mend, in epochs.
    pub mended: u64,
}

impl Counts {
    /// The names of the numbers, as a table's head has them.
    #[must_use]
    pub fn names() -> Vec<&'static str> {
        let outcomes = OutcomeClass::ALL.iter().map(|class| class.name());
        let others = [
            "missed",
            "accused-falsely",
            "accused-for-long",
            "withheld",
            "withheld-for-long",
            "epochs",
            "saved",
            "longest-mend",
        ];
        outcomes.chain(others).collect()
    }

    /// Counts a run.
    pub fn add(&mut self, came: &Came) {
        self.outcomes[came.class as usize] += 1;
        *self += Self {
            missed: came.missed,
            accused_falsely: u64::from(came.accused_falsely > 0),
            accused_for_long: u64::from(came.accused_falsely > 1),
            withheld: came.withheld,
            withheld_for_long: u64::from(came.withheld_above > 0),
            epochs: came.epochs,
            saved: came.saved,
            mended: came.mended,
            ..Self::default()
        };
    }

    /// Returns the number of runs.
    #[must_use]
    pub fn runs(&self) -> u64 {
        self.outcomes.iter().sum()
    }

    /// Returns the runs of an outcome class.
    #[must_use]
    pub const fn of(&self, class: OutcomeClass) -> u64 {
        self.outcomes[class as usize]
    }

    /// Returns all numbers, in the order of [`Counts::names`].
    #[must_use]
    pub fn numbers(&self) -> Vec<u64> {
        let others = [
            self.missed,
            self.accused_falsely,
            self.accused_for_long,
            self.withheld,
            self.withheld_for_long,
            self.epochs,
            self.saved,
            self.mended,
        ];
        self.outcomes.iter().copied().chain(others).collect()
    }

    /// Reads what [`Counts::numbers`] gave.
    #[must_use]
    pub fn from_numbers(numbers: &[u64]) -> Option<Self> {
        let (outcomes, others) = numbers.split_at_checked(CLASSES)?;
        let &[
            missed,
            accused_falsely,
            accused_for_long,
            withheld,
            withheld_for_long,
            epochs,
            saved,
            mended,
        ] = others
        else {
            return None;
        };
        Some(Self {
            outcomes: outcomes.try_into().ok()?,
            missed,
            accused_falsely,
            accused_for_long,
            withheld,
            withheld_for_long,
            epochs,
            saved,
            mended,
        })
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        let sums = self.outcomes.iter_mut().zip(other.outcomes);
        sums.for_each(|(sum, more)| *sum += more);
        self.missed += other.missed;
        self.accused_falsely += other.accused_falsely;
        self.accused_for_long += other.accused_for_long;
        self.withheld += other.withheld;
        self.withheld_for_long += other.withheld_for_long;
        self.epochs += other.epochs;
        self.saved += other.saved;
        self.mended = self.mended.max(other.mended);
    }
}

/// Returns the mean of a Poisson distribution below which the number of events of `seen` events
/// or fewer has a probability of 5 %: the upper bound of the mean, with 95 % confidence (Garwood,
/// "Fiducial Limits for the Poisson Distribution", 1936).
#[must_use]
pub fn poisson_bound(seen: u64) -> f64 {
    let seen = seen as f64;
    // Between these the probability falls from above 5 % to below it.
    let (mut low, mut high) = (seen, seen + 4.0 * (seen + 4.0).sqrt() + 4.0);
    for _ in 0..100 {
        let mean = (low + high) / 2.0;
        match at_most(seen, mean) > 0.05 {
            true => low = mean,
            false => high = mean,
        }
    }
    high
}

/// The probability of `most` events or fewer.
fn at_most(most: f64, mean: f64) -> f64 {
    let (mut logarithm, mut sum, mut events) = (-mean, 0.0, 0.0);
    loop {
        sum += f64::exp(logarithm);
        if events >= most {
            return sum;
        }
        events += 1.0;
        logarithm += mean.ln() - events.ln();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bounds_are_those_of_garwoods_table() {
        // Half the 95th percentile of the chi-square distribution with 2 (k + 1) degrees.
        for (seen, bound) in [
            (0, 2.996),
            (1, 4.744),
            (2, 6.296),
            (10, 16.962),
            (100, 118.079),
        ] {
            assert!((poisson_bound(seen) - bound).abs() < 0.001, "{seen}");
        }
    }

    #[test]
    fn counts_come_back_as_they_were_written_and_add_up() {
        let came = Came {
            class: OutcomeClass::Recovered,
            missed: 1,
            accused_falsely: 2,
            withheld: 3,
            withheld_above: 1,
            epochs: 4,
            saved: 36,
            mended: 5,
        };
        let mut counts = Counts::default();
        counts.add(&came);
        let twice = Came {
            mended: 4,
            withheld_above: 0,
            ..came
        };
        counts.add(&twice);
        assert_eq!(counts.runs(), 2);
        assert_eq!(counts.of(OutcomeClass::Recovered), 2);
        assert_eq!((counts.accused_falsely, counts.accused_for_long), (2, 2));
        assert_eq!((counts.withheld, counts.mended), (6, 5));
        assert_eq!(counts.withheld_for_long, 1);
        assert_eq!(Counts::from_numbers(&counts.numbers()), Some(counts));
        assert_eq!(Counts::names().len(), counts.numbers().len());
        assert_eq!(Counts::from_numbers(&[1, 2]), None);
    }
}
