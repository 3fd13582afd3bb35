//! How long a core runs with nothing able to preempt it: from the first instruction with
//! interrupts off to the next with interrupts on, the hypervisor's included, which runs
//! with interrupts off. Read from the emulator's debugger at every instruction, so the
//! measured image is the shipped one.
use crate::emulator::bochs::listing::Standing;

/// A section that nothing could preempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Section {
    /// Its instructions.
    pub length: u64,
    /// Address of the first.
    pub begin: u64,
}

/// The sections of a listing, in order; not those that its begin or end cuts off.
#[must_use]
pub fn sections(listing: &[Standing]) -> Vec<Section> {
    let runs: Vec<_> = listing
        .chunk_by(|one, next| one.masked == next.masked)
        .collect();
    let [_, inner @ .., _] = &runs[..] else {
        return Vec::new();
    };
    let masked = inner.iter().filter(|run| run[0].masked);
    let section = |run: &&[Standing]| Section {
        length: run.len() as u64,
        begin: run[0].address,
    };
    masked.map(section).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_is_a_run_of_instructions_with_interrupts_off() {
        let listing = |flags: &str| -> Vec<Standing> {
            let standing = (0x100..)
                .zip(flags.chars())
                .map(|(address, flag)| Standing {
                    address,
                    masked: flag == '-',
                });
            standing.collect()
        };
        let section = |begin, length| Section { length, begin };
        assert_eq!(
            sections(&listing("--+++---+-++--")),
            [section(0x105, 3), section(0x109, 1)]
        );
        assert_eq!(sections(&listing("---")), []);
        assert_eq!(sections(&[]), []);
    }
}
