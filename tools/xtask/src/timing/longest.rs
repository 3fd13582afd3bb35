//! The longest section that nothing could preempt, of all systems that were searched: where
//! it begins, and where its instructions go.
use super::measure::{self, Plan};
use super::sections::{Section, Stretch};
use crate::build;
use crate::emulator::bochs::Model;
use crate::error::Result;
use crate::symbols::Symbols;
use std::collections::BTreeMap;
use std::fmt;

/// A boot in which stretches were found.
pub type Searched = (Plan, Vec<Stretch>);

/// Stretches that are looked at closely at first; each time after that, twice as many. A few
/// tell how long the longest is nearly, and where many are as long, all are soon looked at.
const FIRST: usize = 100;
/// The kernel is in the upper half of the addresses, the hypervisor in the lower.
const KERNEL_BEGIN: u64 = 1 << 63;

/// A section, and the longest that begins in its function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Long {
    /// Its instructions.
    pub length: u64,
    /// The system.
    pub system: String,
    /// The core.
    pub core: usize,
    /// Where it begins.
    pub function: String,
    /// Instructions by function, most first.
    pub parts: Vec<(String, usize)>,
}

impl fmt::Display for Long {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            length,
            system,
            core,
            function,
            parts,
        } = self;
        write!(
            out,
            "{length:>6} in {system}, core {core}, from {function} on:"
        )?;
        for (function, count) in parts {
            write!(out, "\n{count:>14} {function}")?;
        }
        Ok(())
    }
}

/// The longest section of all that `searched` can hold, and after it those seen on the way,
/// longest first: one for each function that one begins in.
///
/// # Errors
/// If a system does not boot again.
pub fn longest(model: Model, searched: &[Searched]) -> Result<Vec<Long>> {
    let names = Names::read()?;
    let mut found = BTreeMap::<String, Long>::new();
    let mut left = Left::of(searched);
    let mut most = FIRST;
    loop {
        let best = found.values().map(|long| long.length).max().unwrap_or(0);
        let chosen = left.longer_than(best, most);
        most *= 2;
        if chosen.is_empty() {
            break;
        }
        for (number, (plan, _)) in searched.iter().enumerate() {
            let of_plan = chosen.iter().filter(|(other, _)| *other == number);
            let stretches: Vec<_> = of_plan.map(|(_, stretch)| *stretch).collect();
            if stretches.is_empty() {
                continue;
            }
            for section in measure::sections(plan, model, &stretches)? {
                let long = names.long(plan, &section);
                let same = found.get(&long.function);
                if same.is_none_or(|same| same.length < long.length) {
                    found.insert(long.function.clone(), long);
                }
            }
        }
    }
    let mut all: Vec<_> = found.into_values().collect();
    all.sort_by_key(|long| std::cmp::Reverse(long.length));
    Ok(all)
}

/// Stretches that were not looked at closely, each with its boot's number.
struct Left(Vec<(usize, Stretch)>);

impl Left {
    fn of(searched: &[Searched]) -> Self {
        let boots = searched.iter().enumerate();
        let stretches = boots.flat_map(|(number, (_, stretches))| {
            stretches.iter().map(move |stretch| (number, *stretch))
        });
        let mut all: Vec<_> = stretches.collect();
        all.sort_by_key(|(_, stretch)| stretch.longest());
        Self(all)
    }

    /// Takes those that can hold a section of more than `best` instructions, the longest, and
    /// no more than `most`.
    fn longer_than(&mut self, best: u64, most: usize) -> Vec<(usize, Stretch)> {
        let first = self.0.partition_point(|(_, it)| it.longest() <= best);
        let first = first.max(self.0.len().saturating_sub(most));
        self.0.split_off(first)
    }
}

/// Names of the functions of both images.
struct Names {
    kernel: Symbols,
    hypervisor: Symbols,
}

impl Names {
    fn read() -> Result<Self> {
        Ok(Self {
            kernel: Symbols::read(&build::binary(build::KERNEL)?)?,
            hypervisor: Symbols::read(&build::binary(build::HYPERVISOR)?)?,
        })
    }

    fn function(&self, address: u64) -> String {
        let (symbols, image) = match address >= KERNEL_BEGIN {
            true => (&self.kernel, "the kernel"),
            false => (&self.hypervisor, "the hypervisor"),
        };
        symbols.around(address).unwrap_or_else(|| image.into())
    }

    fn long(&self, plan: &Plan, section: &Section) -> Long {
        let mut parts = BTreeMap::<String, usize>::new();
        for address in &section.instructions {
            *parts.entry(self.function(*address)).or_default() += 1;
        }
        let mut parts: Vec<_> = parts.into_iter().collect();
        parts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        let begin = section.instructions.first().copied().unwrap_or(0);
        Long {
            length: section.instructions.len() as u64,
            system: plan.label(),
            core: section.core,
            function: self.function(begin),
            parts,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stretch(before: u64, after: u64) -> Stretch {
        Stretch {
            core: 0,
            before,
            after,
        }
    }

    #[test]
    fn what_can_hold_no_longer_section_is_left_alone_and_the_longest_come_first() {
        let plan = Plan::default();
        let short = (1..180).map(|number| stretch(100 * number, 100 * number + 50));
        let searched = [
            (plan.clone(), short.collect::<Vec<_>>()),
            (plan, vec![stretch(5, 205), stretch(30, 80)]),
        ];
        let mut left = Left::of(&searched);
        assert_eq!(left.longer_than(49, 100), [(1, stretch(5, 205))]);
        assert_eq!(left.longer_than(49, 100), []);
        assert_eq!(left.longer_than(48, 100).len(), 100);
        assert_eq!(left.longer_than(48, 100).len(), 80);
        assert_eq!(left.longer_than(0, 100), []);
    }
}
