//! The placements of voter and driver that campaigns compare, and a system of each.
use super::class::Class;

/// Who votes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// A voter in a sandbox of its own.
    Arbitrator,
    /// Nobody: one copy, its outputs released as they come. Wrong outputs are to be seen here.
    Unprotected,
}

impl Placement {
    /// All placements, in the order of the table.
    pub const ALL: [Self; 2] = [Self::Arbitrator, Self::Unprotected];

    /// Returns the placement's name, in descriptions and tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Arbitrator => "arbitrator",
            Self::Unprotected => "unprotected",
        }
    }

    /// Returns the numbers of replicas that its systems have.
    pub(super) const fn sizes(self) -> &'static [usize] {
        match self {
            Self::Arbitrator => &[3, 5],
            Self::Unprotected => &[1],
        }
    }

    /// Whether outputs wait for an agreement, so that none may be wrong.
    #[must_use]
    pub const fn protects(self) -> bool {
        match self {
            Self::Arbitrator => true,
            Self::Unprotected => false,
        }
    }

    /// Whether faults of a class can happen there.
    #[must_use]
    pub fn has(self, class: Class) -> bool {
        match self {
            Self::Arbitrator => true,
            // What nobody hashes, compares or repairs cannot be hit.
            Self::Unprotected => match class {
                Class::None
                | Class::Text
                | Class::Data
                | Class::Register
                | Class::Stuck
                | Class::Silent
                | Class::Endless
                | Class::Late
                | Class::ArbitratorLate => true,
                Class::KernelPanic
                | Class::Restart
                | Class::ArbitratorRestart
                | Class::LeafTable
                | Class::Replica
                | Class::Voter
                | Class::Channel
                | Class::VoterChannel
                | Class::BallotStale
                | Class::BallotTwice
                | Class::BallotMalformed
                | Class::BallotFlood
                | Class::Forge
                | Class::Donor
                | Class::Two => false,
            },
        }
    }

    /// Returns the description of a set of this many replicas, each with other work above and
    /// below it whose deadlines are near its bounds. Epochs are 10 ms; every page is hashed anew
    /// within 5.
    pub(super) fn description(self, replicas: usize) -> String {
        let mut text = String::from("[system]\nname = \"campaign\"\n");
        text += "[[device]]\nname = \"plant\"\nport = 0x2f8\ninterrupt = 3\n";
        for core in 0..replicas {
            text += &format!(
                r#"
[[sandbox]]
name = "replica-{core}"
core = {core}
server = [
  {{ name = "above", budget = "500us", period = "2ms", thread = [
    {{ name = "above", program = "load", wcet = "400us", period = "2ms", deadline = "500us" }} ] }},
  {{ name = "control", budget = "4ms", period = "10ms", thread = [
    {{ name = "replica", replica = "toy", wcet = "1500us" }} ] }},
  {{ name = "below", budget = "3ms", period = "20ms", thread = [
    {{ name = "below", program = "load", wcet = "2800us", period = "20ms", deadline = "9500us" }} ] }} ]
"#
            );
        }
        text += &format!(
            r#"
[[sandbox]]
name = "arbitrator"
core = {replicas}
devices = ["plant"]
server = [
  {{ name = "plant", kind = "io", budget = "500us", period = "2ms", thread = [
    {{ name = "plant-io", driver = "plant" }} ] }},
  {{ name = "voter", budget = "2ms", period = "10ms", thread = [
    {{ name = "voter", voter = "toy", wcet = "1ms" }} ] }},
  {{ name = "below", budget = "3ms", period = "20ms", thread = [
    {{ name = "below", program = "load", wcet = "2800us", period = "20ms", deadline = "7100us" }} ] }} ]

[[replica_set]]
name = "toy"
program = "toy"
device = "plant"
voting = "{}"
period = "10ms"
ballot_deadline = "4ms"
verdict_deadline = "6ms"
scrub_period = "50ms"
"#,
            self.name()
        );
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tern_config::Description;
    use tern_sched::analysis::CostTable;

    #[test]
    fn every_description_is_one_whose_bounds_hold() {
        for placement in Placement::ALL {
            for replicas in placement.sizes() {
                let text = placement.description(*replicas);
                let system = Description::parse("campaign.toml", &text)
                    .unwrap_or_else(|problems| panic!("{problems}"))
                    .system;
                let report = tern_check::check(&system, &CostTable::NONE);
                assert!(report.schedulable(), "{placement:?} {replicas}");
            }
        }
    }
}
