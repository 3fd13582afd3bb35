//! What the runs of a search met: a search that met little has shown little.
use crate::table::Row;
use std::fmt;
use std::ops::AddAssign;

/// Systems from which on a search is judged by what it met.
const SEVERAL: u64 = 8;
/// What that many systems meet at least, a system: a fourth of what seeds 1 to 10 met.
const JOBS: u64 = 130;
const INTERRUPTS: u64 = 30;
const DOORBELLS: u64 = 350;
const EXHAUSTED: u64 = 20;
const NEAR: u64 = 1;

/// What runs met.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Met {
    /// Systems that were booted.
    pub systems: u64,
    /// Sandboxes that the analysis did not accept.
    pub refused: u64,
    /// Jobs that were complete.
    pub jobs: u64,
    /// Interrupts of devices.
    pub interrupts: u64,
    /// Doorbells that rang at a sandbox that works.
    pub doorbells: u64,
    /// Budgets that were used up.
    pub exhausted: u64,
    /// Threads some job of which took at least half of its bound.
    pub near: u64,
    /// The largest response, in one hundredths of its bound.
    pub nearest: u64,
    /// Systems that broke a promise.
    pub broken: u64,
}

impl Met {
    /// Says what a search of several systems has met too little of; nothing of a few, among
    /// which there may be none with a device.
    #[must_use]
    pub fn lacks(&self) -> Vec<String> {
        let counts = [
            ("jobs", self.jobs, JOBS),
            ("interrupts of devices", self.interrupts, INTERRUPTS),
            ("doorbells", self.doorbells, DOORBELLS),
            ("budgets used up", self.exhausted, EXHAUSTED),
            ("threads within half of their bounds", self.near, NEAR),
        ];
        let several = self.systems >= SEVERAL;
        let lacking = counts
            .into_iter()
            .filter(|(_, count, each)| several && *count < each * self.systems);
        lacking
            .map(|(what, count, each)| format!("{count} {what}, less than {each} a system"))
            .collect()
    }

    const fn fields(&mut self) -> [&mut u64; 9] {
        [
            &mut self.systems,
            &mut self.refused,
            &mut self.jobs,
            &mut self.interrupts,
            &mut self.doorbells,
            &mut self.exhausted,
            &mut self.near,
            &mut self.nearest,
            &mut self.broken,
        ]
    }
}

impl Row for Met {
    /// In the order of its fields.
    fn numbers(mut self) -> String {
        self.fields().map(|field| field.to_string()).join(" ")
    }

    fn read(text: &str) -> Option<Self> {
        let numbers: Option<Vec<u64>> = text.split(' ').map(|it| it.parse().ok()).collect();
        let numbers = numbers?;
        let mut met = Self::default();
        let fields = met.fields();
        if numbers.len() != fields.len() {
            return None;
        }
        for (field, number) in fields.into_iter().zip(numbers) {
            *field = number;
        }
        Some(met)
    }
}

impl AddAssign for Met {
    fn add_assign(&mut self, mut other: Self) {
        let nearest = self.nearest.max(other.nearest);
        for (field, more) in self.fields().into_iter().zip(other.fields()) {
            *field += *more;
        }
        self.nearest = nearest;
    }
}

impl fmt::Display for Met {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "{} jobs, {} interrupts, {} doorbells, {} budgets used up, {} threads within half of \
             their bounds, the nearest at {} %; {} sandboxes refused",
            self.jobs,
            self.interrupts,
            self.doorbells,
            self.exhausted,
            self.near,
            self.nearest,
            self.refused
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOME: Met = Met {
        systems: 8,
        refused: 2,
        jobs: 8 * JOBS,
        interrupts: 8 * INTERRUPTS,
        doorbells: 8 * DOORBELLS,
        exhausted: 8 * EXHAUSTED,
        near: 8 * NEAR,
        nearest: 97,
        broken: 1,
    };

    #[test]
    fn what_several_systems_met_too_little_of_is_said() {
        assert_eq!(SOME.lacks(), [""; 0]);
        let quiet = Met {
            interrupts: 0,
            near: 7,
            ..SOME
        };
        assert_eq!(
            quiet.lacks(),
            [
                "0 interrupts of devices, less than 30 a system",
                "7 threads within half of their bounds, less than 1 a system"
            ]
        );
        let few = Met {
            systems: 7,
            ..quiet
        };
        assert_eq!(few.lacks(), [""; 0]);
    }

    #[test]
    fn it_is_read_as_it_was_written() {
        assert_eq!(Met::read(&SOME.numbers()), Some(SOME));
        for text in ["", "1 2 3", "1 2 3 4 5 6 7 8 9 10", "1 2 3 4 5 6 7 8 x"] {
            assert_eq!(Met::read(text), None, "{text}");
        }
    }

    #[test]
    fn a_sum_keeps_the_nearest() {
        let mut sum = SOME;
        sum += Met {
            nearest: 12,
            ..SOME
        };
        assert_eq!((sum.systems, sum.jobs, sum.nearest), (16, 16 * JOBS, 97));
    }
}
