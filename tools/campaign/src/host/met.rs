//! What a search on the host met: one that met little has shown little.
use super::keys;
use crate::table::Row;
use std::fmt;
use std::ops::AddAssign;
use tern_sim::adversary::Counts;

/// Systems from which on a search is judged by what it met.
const SEVERAL: u64 = 100;
/// Ratios of a bound to the worst found, in one hundredths from 1.00 on; the last is for all
/// beyond.
const RATIOS: usize = 401;
/// Threads of a server, at most, of those that are told apart.
pub const CROWDS: [(usize, &str); 3] = [(4, "2 to 4"), (16, "5 to 16"), (usize::MAX, "17 to 40")];

/// What a search met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Met {
    /// Systems that were drawn.
    pub systems: u64,
    /// Systems that the analysis accepts as a whole.
    pub accepted: u64,
    /// Systems that are accepted with deadlines that are the bounds.
    pub tightened: u64,
    /// Runs of them.
    pub runs: u64,
    /// Threads of all systems.
    pub threads: u64,
    /// Threads that have a bound.
    pub bounded: u64,
    /// Threads, with a bound, of servers with more than 16.
    pub in_crowds: u64,
    /// Jobs whose response was held against a bound.
    pub jobs: u64,
    /// Budgets of servers without threads whose delivery was held against a bound.
    pub budgets: u64,
    /// What happened in the runs.
    pub counts: Counts,
    /// Jobs held against their bounds beside servers whose jobs overrun.
    pub beside_overruns: u64,
    /// The largest response, in one hundredths of its bound.
    pub nearest: u64,
    /// Systems that broke a promise.
    pub broken: u64,
    /// How many items had each form of each key.
    pub keys: [u64; keys::MET.len()],
    /// How many threads, beside others in their servers, had each ratio of bound to worst found:
    /// among few, among several, and among many of [`CROWDS`].
    pub ratios: [[u64; RATIOS]; CROWDS.len()],
}

impl Default for Met {
    fn default() -> Self {
        Self {
            systems: 0,
            accepted: 0,
            tightened: 0,
            runs: 0,
            threads: 0,
            bounded: 0,
            in_crowds: 0,
            jobs: 0,
            budgets: 0,
            counts: Counts::default(),
            beside_overruns: 0,
            nearest: 0,
            broken: 0,
            keys: [0; keys::MET.len()],
            ratios: [[0; RATIOS]; CROWDS.len()],
        }
    }
}

impl Met {
    /// Notes the worst response that was found of a thread in a server with so many, and its bound.
    pub(super) fn note_ratio(&mut self, threads: usize, bound: u64, worst: u64) {
        let hundredths = u128::from(bound) * 100 / u128::from(worst.max(1));
        let place = usize::try_from(hundredths.saturating_sub(100)).unwrap_or(RATIOS);
        let crowd = CROWDS
            .iter()
            .take_while(|(most, _)| *most < threads)
            .count();
        self.ratios[crowd][place.min(RATIOS - 1)] += 1;
    }

    /// Says what a search of several systems has met too little of; nothing of a few, among
    /// which there may be none with a device.
    #[must_use]
    pub fn lacks(&self) -> Vec<String> {
        if self.systems < SEVERAL {
            return Vec::new();
        }
        // For each hundred systems at least so many: a third or less of what seeds met of which
        // none is run 800 times more.
        let Counts {
            late,
            charges,
            overruns,
            interrupts,
            requests,
            doorbells,
            exhausted,
            long_lists,
        } = self.counts;
        let counts = [
            ("systems accepted", self.accepted, 8),
            ("systems refused", self.systems - self.accepted, 20),
            ("systems with deadlines at their bounds", self.tightened, 3),
            ("threads with a bound", self.bounded, 500),
            (
                "threads with a bound among more than 16",
                self.in_crowds,
                200,
            ),
            ("jobs", self.jobs, 500_000),
            ("budgets delivered", self.budgets, 8_000),
            (
                "jobs beside overrunning servers",
                self.beside_overruns,
                30_000,
            ),
            ("late timers and interrupts", late, 20_000),
            ("charges of the kernel's work", charges, 30_000),
            ("jobs that overrun", overruns, 15_000),
            ("interrupts of devices", interrupts, 25_000),
            ("requests to drivers", requests, 300),
            ("doorbells before a release", doorbells, 4_000),
            ("budgets used up", exhausted, 200_000),
            ("lists longer than 16", long_lists, 300),
        ];
        let too_few = |count: u64, each: u64| count < each * self.systems / 100;
        let few = counts
            .into_iter()
            .filter(|(_, count, each)| too_few(*count, *each));
        let few = few.map(|(what, count, each)| {
            format!("{count} {what}, less than {each} for each 100 systems")
        });
        let keys = keys::MET.iter().zip(self.keys);
        let rare = keys.filter(|(_, count)| too_few(*count, 2));
        let rare = rare.map(|((table, key, form), count)| {
            format!("{count} items with {table}.{key} ({form}), less than 2 for each 100 systems")
        });
        few.chain(rare).collect()
    }

    fn fields(&mut self) -> impl Iterator<Item = &mut u64> {
        let Counts {
            late,
            charges,
            overruns,
            interrupts,
            requests,
            doorbells,
            exhausted,
            long_lists,
        } = &mut self.counts;
        let all = [
            &mut self.systems,
            &mut self.accepted,
            &mut self.tightened,
            &mut self.runs,
            &mut self.threads,
            &mut self.bounded,
            &mut self.in_crowds,
            &mut self.jobs,
            &mut self.budgets,
            late,
            charges,
            overruns,
            interrupts,
            requests,
            doorbells,
            exhausted,
            long_lists,
            &mut self.beside_overruns,
            &mut self.nearest,
            &mut self.broken,
        ];
        let ratios = self.ratios.iter_mut().flatten();
        all.into_iter().chain(&mut self.keys).chain(ratios)
    }
}

impl Row for Met {
    /// In the order of its fields.
    fn numbers(mut self) -> String {
        let fields = self.fields().map(|field| field.to_string());
        fields.collect::<Vec<_>>().join(" ")
    }

    fn read(text: &str) -> Option<Self> {
        let mut met = Self::default();
        let mut numbers = text.split(' ').map(str::parse);
        for field in met.fields() {
            *field = numbers.next()?.ok()?;
        }
        match numbers.next() {
            None => Some(met),
            Some(_) => None,
        }
    }
}

impl AddAssign for Met {
    fn add_assign(&mut self, mut other: Self) {
        let nearest = self.nearest.max(other.nearest);
        for (field, more) in self.fields().zip(other.fields()) {
            *field += *more;
        }
        self.nearest = nearest;
    }
}

impl fmt::Display for Met {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Counts {
            late,
            charges,
            overruns,
            interrupts,
            requests,
            doorbells,
            exhausted,
            long_lists,
        } = self.counts;
        let refused = self.systems - self.accepted;
        for (what, count) in [
            ("systems", self.systems),
            ("accepted", self.accepted),
            ("accepted with deadlines at the bounds", self.tightened),
            ("refused", refused),
            ("runs", self.runs),
            ("threads", self.threads),
            ("threads with a bound", self.bounded),
            (
                "threads with a bound, among more than 16 in a server",
                self.in_crowds,
            ),
            ("jobs against their bounds", self.jobs),
            (
                "jobs beside servers whose jobs overrun",
                self.beside_overruns,
            ),
            ("budgets against their bounds", self.budgets),
            ("budgets used up", exhausted),
            ("lists longer than 16", long_lists),
            ("jobs that overrun", overruns),
            ("interrupts of devices", interrupts),
            ("requests to drivers", requests),
            ("doorbells before a release", doorbells),
            ("timers and interrupts that were late", late),
            ("charges of the kernel's work", charges),
        ] {
            writeln!(out, "{count:>12} {what}")?;
        }
        for ((table, key, form), count) in keys::MET.iter().zip(self.keys) {
            writeln!(out, "{count:>12} {table}.{key}: {form}")?;
        }
        writeln!(
            out,
            "bound over worst found, of threads beside others, without costs:"
        )?;
        let all = self.ratios.iter().fold([0; RATIOS], |sum, crowd| {
            std::array::from_fn(|place| sum[place] + crowd[place])
        });
        let crowds = CROWDS.iter().zip(&self.ratios);
        let crowds = crowds.map(|((_, name), ratios)| (*name, ratios));
        for (threads, ratios) in crowds.chain([("2 to 40", &all)]) {
            let count: u64 = ratios.iter().sum();
            let (median, most) = (ratio(ratios, 50), ratio(ratios, 90));
            writeln!(
                out,
                "{count:>12} in servers of {threads}: median {median}, nine of ten up to {most}"
            )?;
        }
        write!(
            out,
            "the nearest response is at {} % of its bound",
            self.nearest
        )
    }
}

/// Writes the ratio of [`below`]; the last one as a least one, as all beyond are counted there.
fn ratio(ratios: &[u64; RATIOS], share: u64) -> String {
    match below(ratios, share) {
        None => "none".into(),
        Some(ratio) if ratio >= 100 + RATIOS as u64 - 1 => {
            format!("{:.2} or more", ratio as f64 / 100.0)
        }
        Some(ratio) => format!("{:.2}", ratio as f64 / 100.0),
    }
}

/// The ratio at or below which `share` one hundredths of all lie, in one hundredths.
fn below(ratios: &[u64; RATIOS], share: u64) -> Option<u64> {
    let all: u64 = ratios.iter().sum();
    let wanted = (all * share).div_ceil(100).max(1);
    let mut sum = 0;
    let place = ratios.iter().position(|count| {
        sum += count;
        sum >= wanted
    });
    place.map(|place| place as u64 + 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a hundred systems met that met enough of everything.
    fn enough() -> Met {
        let mut met = Met::default();
        for field in met.fields() {
            *field = 1_000_000;
        }
        Met {
            systems: 100,
            accepted: 40,
            ..met
        }
    }

    #[test]
    fn what_several_systems_met_too_little_of_is_said() {
        assert_eq!(enough().lacks(), [""; 0]);
        let mut quiet = enough();
        quiet.counts.requests = 99;
        quiet.keys[0] = 1;
        assert_eq!(
            quiet.lacks(),
            [
                "99 requests to drivers, less than 300 for each 100 systems",
                "1 items with system.platform (costs), less than 2 for each 100 systems",
            ]
        );
        let few = Met {
            systems: 99,
            ..quiet
        };
        assert_eq!(few.lacks(), [""; 0]);
    }

    #[test]
    fn it_is_read_as_it_was_written() {
        let mut met = enough();
        met.ratios[2][3] = 7;
        assert_eq!(Met::read(&met.numbers()), Some(met));
        for text in ["", "1 2 3"] {
            assert_eq!(Met::read(text), None, "{text}");
        }
        assert_eq!(Met::read(&format!("{} 1", met.numbers())), None);
    }

    #[test]
    fn the_median_is_that_of_all_ratios_of_a_crowd() {
        let mut met = Met::default();
        assert_eq!(below(&met.ratios[1], 50), None);
        // 1.00, 1.10, 1.50 and one beyond all; others among more and fewer.
        for (bound, worst) in [(7, 7), (11, 10), (15, 10), (100, 1)] {
            met.note_ratio(5, bound, worst);
            met.note_ratio(4, 3, 1);
            met.note_ratio(17, 3, 1);
        }
        let several = &met.ratios[1];
        assert_eq!(
            (below(several, 50), below(several, 75)),
            (Some(110), Some(150))
        );
        assert_eq!(below(several, 100), Some(100 + RATIOS as u64 - 1));
        assert_eq!(ratio(several, 75), "1.50");
        assert_eq!(ratio(several, 100), "5.00 or more");
    }
}
