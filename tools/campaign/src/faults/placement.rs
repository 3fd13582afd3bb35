//! The placements of voter and driver that campaigns compare, and a system of each.
use super::class::Class;
use super::strike::FORGED;

/// Who votes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// A voter in a sandbox of its own.
    Arbitrator,
    /// A voter beside each replica, and the device with one of them.
    Distributed,
    /// A voter beside each of two replicas, which go back to a checkpoint where they differ.
    Lockstep,
    /// Nobody: one copy, its outputs released as they come. Wrong outputs are to be seen here.
    Unprotected,
}

impl Placement {
    /// All placements, in the order of the table.
    pub const ALL: [Self; 4] = [
        Self::Arbitrator,
        Self::Distributed,
        Self::Lockstep,
        Self::Unprotected,
    ];

    /// Returns the placement's name, in descriptions and tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Arbitrator => "arbitrator",
            Self::Distributed => "distributed",
            Self::Lockstep => "lockstep",
            Self::Unprotected => "unprotected",
        }
    }

    /// Returns the numbers of replicas that its systems have.
    pub(super) const fn sizes(self) -> &'static [usize] {
        match self {
            Self::Arbitrator | Self::Distributed => &[3, 5],
            Self::Lockstep => &[2],
            Self::Unprotected => &[1],
        }
    }

    /// Whether outputs wait for an agreement, so that none may be wrong.
    #[must_use]
    pub const fn protects(self) -> bool {
        match self {
            Self::Arbitrator | Self::Distributed | Self::Lockstep => true,
            Self::Unprotected => false,
        }
    }

    /// Returns the epochs in which a sound replica that no fault hit may be accused for a single
    /// fault. Which inputs an arbitrator's replicas see, and when, follows from one channel.
    pub(super) const fn accusations(self) -> u64 {
        match self {
            Self::Arbitrator | Self::Unprotected => 1,
            Self::Distributed | Self::Lockstep => 0,
        }
    }

    /// Whether the set may stop releasing outputs for good after a single fault: of two in lock-step
    /// one is not enough, nor one whose memory never holds what is put there.
    pub(super) fn may_stop(self, class: Class) -> bool {
        match self {
            Self::Arbitrator | Self::Distributed | Self::Unprotected => false,
            Self::Lockstep => {
                matches!(class, Class::KernelPanic | Class::OwnerPanic | Class::Stuck)
            }
        }
    }

    /// Returns how many outputs may be withheld for a single fault, in the sandbox that has the
    /// device or in another: where each sandbox votes, no more than the device takes to change
    /// hands.
    pub(super) fn withheld(self, class: Class, is_owner_hit: bool) -> u64 {
        match self {
            Self::Arbitrator | Self::Unprotected => u64::MAX,
            // The budget of its voter is used up, too, while its replica goes on and agrees: an
            // epoch passes before the input is missed.
            Self::Distributed if is_owner_hit && class.is_of_held_core() => 3,
            Self::Distributed if is_owner_hit => 2,
            Self::Distributed => 0,
            Self::Lockstep => lost_in_lockstep(class),
        }
    }

    /// Whether faults of a class can happen there.
    #[must_use]
    pub fn has(self, class: Class) -> bool {
        match self {
            Self::Arbitrator => match class {
                Class::OwnerLate
                | Class::OwnerPanic
                | Class::OwnerRestart
                | Class::BallotChannel
                | Class::SealLate
                | Class::VerdictLie
                | Class::InputLie => false,
                Class::None
                | Class::Text
                | Class::Data
                | Class::Register
                | Class::Stuck
                | Class::Silent
                | Class::Endless
                | Class::Late
                | Class::ArbitratorLate
                | Class::KernelPanic
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
                | Class::Two => true,
            },
            // There is no arbitrator.
            Self::Distributed | Self::Lockstep => match class {
                Class::ArbitratorLate | Class::ArbitratorRestart => false,
                Class::None
                | Class::Text
                | Class::Data
                | Class::Register
                | Class::Stuck
                | Class::Silent
                | Class::Endless
                | Class::Late
                | Class::OwnerLate
                | Class::KernelPanic
                | Class::OwnerPanic
                | Class::Restart
                | Class::OwnerRestart
                | Class::LeafTable
                | Class::Replica
                | Class::Voter
                | Class::Channel
                | Class::BallotChannel
                | Class::VoterChannel
                | Class::BallotStale
                | Class::BallotTwice
                | Class::BallotMalformed
                | Class::BallotFlood
                | Class::SealLate
                | Class::Forge
                | Class::VerdictLie
                | Class::InputLie
                | Class::Donor
                | Class::Two => true,
            },
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
                Class::OwnerLate
                | Class::KernelPanic
                | Class::OwnerPanic
                | Class::Restart
                | Class::ArbitratorRestart
                | Class::OwnerRestart
                | Class::LeafTable
                | Class::Replica
                | Class::Voter
                | Class::Channel
                | Class::BallotChannel
                | Class::VoterChannel
                | Class::BallotStale
                | Class::BallotTwice
                | Class::BallotMalformed
                | Class::BallotFlood
                | Class::SealLate
                | Class::Forge
                | Class::VerdictLie
                | Class::InputLie
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
            // A voter and a driver of the device are below what is above the replica.
            let (devices, voter, deadline) = match self {
                Self::Arbitrator | Self::Unprotected => ("", "", "9500us"),
                Self::Distributed => ("devices = [\"plant\"]", VOTER_BESIDE, "19ms"),
                // The first has the device.
                Self::Lockstep if core == 0 => ("devices = [\"plant\"]", VOTER_BESIDE, "19ms"),
                Self::Lockstep => ("", VOTER_WITHOUT_DEVICE, "19ms"),
            };
            text += &format!(
                r#"
[[sandbox]]
name = "replica-{core}"
core = {core}
{devices}
server = [
  {{ name = "above", budget = "500us", period = "2ms", priority = 1, thread = [
    {{ name = "above", program = "load", wcet = "400us", period = "2ms", deadline = "500us" }} ] }},
{voter}
  {{ name = "control", budget = "4ms", period = "10ms", priority = 4, thread = [
    {{ name = "replica", replica = "toy", wcet = "1500us" }} ] }},
  {{ name = "below", budget = "3ms", period = "20ms", priority = 5, thread = [
    {{ name = "below", program = "load", wcet = "2800us", period = "20ms", deadline = "{deadline}" }} ] }} ]
"#
            );
        }
        match self {
            Self::Arbitrator | Self::Unprotected => text += &arbitrator(replicas),
            Self::Distributed | Self::Lockstep => {}
        }
        // Two in lock-step release nothing while one of them is at fault: they are given the time.
        let recovery = match self {
            Self::Arbitrator | Self::Distributed | Self::Unprotected => "",
            Self::Lockstep => {
                "recovery = [\"migrate-application\", { kind = \"safe-stop\", lost_epochs = 20 }]"
            }
        };
        text += &format!(
            r#"
[[replica_set]]
name = "toy"
program = "toy"
device = "plant"
voting = "{}"
period = "10ms"
ballot_deadline = "4ms"
verdict_deadline = "6ms"
scrub_period = "50ms"
{recovery}
"#,
            self.name()
        );
        text
    }
}

/// What a replica's sandbox has in which there is a voter, too.
const VOTER_BESIDE: &str = r#"
  { name = "plant", kind = "io", budget = "100us", period = "2ms", priority = 2, thread = [
    { name = "plant-io", driver = "plant" } ] },
  { name = "voter", budget = "1ms", period = "10ms", priority = 3, thread = [
    { name = "voter", voter = "toy", wcet = "500us" } ] },
"#;

/// The same in the sandbox of two in lock-step that has no device.
const VOTER_WITHOUT_DEVICE: &str = r#"
  { name = "voter", budget = "1ms", period = "10ms", priority = 3, thread = [
    { name = "voter", voter = "toy", wcet = "500us" } ] },
"#;

/// Returns how many outputs a fault may cost two in lock-step: that of the epoch in which they differ,
/// and the next, if what differs was at rest or has to come from the other; and before that those of
/// the epochs in which a fault lasts.
const fn lost_in_lockstep(class: Class) -> u64 {
    match class {
        Class::None => 0,
        Class::Text
        | Class::Data
        | Class::Register
        | Class::Silent
        | Class::Endless
        | Class::LeafTable
        | Class::Replica
        | Class::Voter
        | Class::Channel
        | Class::BallotChannel
        | Class::VoterChannel
        | Class::BallotStale
        | Class::BallotTwice
        | Class::BallotMalformed
        | Class::SealLate => 2,
        // It may have lost what it was at, and comes to a vote that does not know of the last.
        Class::Restart | Class::OwnerRestart => 4,
        Class::BallotFlood => 2 + 2,
        // One that begins within an epoch is at its end in another.
        Class::Forge | Class::VerdictLie | Class::InputLie => FORGED + 1 + 2,
        // A core that is held uses up the budgets of many periods; one that has stopped is not
        // coming back; and several faults cost what they cost.
        Class::Stuck
        | Class::Late
        | Class::OwnerLate
        | Class::KernelPanic
        | Class::OwnerPanic
        | Class::ArbitratorLate
        | Class::ArbitratorRestart
        | Class::Donor
        | Class::Two => u64::MAX,
    }
}

/// The sandbox of a voter of its own, on this core.
fn arbitrator(core: usize) -> String {
    format!(
        r#"
[[sandbox]]
name = "arbitrator"
core = {core}
devices = ["plant"]
server = [
  {{ name = "plant", kind = "io", budget = "500us", period = "2ms", thread = [
    {{ name = "plant-io", driver = "plant" }} ] }},
  {{ name = "voter", budget = "2ms", period = "10ms", thread = [
    {{ name = "voter", voter = "toy", wcet = "1ms" }} ] }},
  {{ name = "below", budget = "3ms", period = "20ms", thread = [
    {{ name = "below", program = "load", wcet = "2800us", period = "20ms", deadline = "7100us" }} ] }} ]
"#
    )
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
