//! The classes of faults that a campaign draws from, and the draw of one.
use super::lie::Lie;
use super::strike::{Act, Draw, Strike};
use tern_sim::sets::{PAGE_WORDS, Place, RegisterFlip};

/// A class of faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// None: votes without a fault, in which nobody may be accused.
    None,
    /// A bit of a page that the program only reads.
    Text,
    /// A bit of a page that it writes.
    Data,
    /// A bit of a register in the middle of a job.
    Register,
    /// A bit of a page that is stuck at a value, for good.
    Stuck,
    /// A job that raises an exception.
    Silent,
    /// A job that does not end.
    Endless,
    /// A replica's core that executes nothing for a while.
    Late,
    /// The arbitrator's core that executes nothing for a while.
    ArbitratorLate,
    /// The core of the sandbox that has the device, that executes nothing for a while.
    OwnerLate,
    /// A replica's sandbox that stops for good.
    KernelPanic,
    /// The sandbox that has the device stops for good.
    OwnerPanic,
    /// A replica's sandbox that starts anew.
    Restart,
    /// The arbitrator's sandbox that starts anew.
    ArbitratorRestart,
    /// The sandbox that has the device starts anew.
    OwnerRestart,
    /// A bit of a replica's table of leaves.
    LeafTable,
    /// A bit of the rest of a replica's state.
    Replica,
    /// A bit of a voter's state.
    Voter,
    /// A bit of the records in a replica's channel.
    Channel,
    /// A bit of the ballot or the tag that voters read, in a ballot's own channel.
    BallotChannel,
    /// A bit of the records in a voter's channel that replicas read.
    VoterChannel,
    /// The ballot of an earlier epoch.
    BallotStale,
    /// Two different ballots in an epoch.
    BallotTwice,
    /// A ballot that is none.
    BallotMalformed,
    /// Ballots without end, for two epochs; where they are sealed, calls of the hypervisor, too.
    BallotFlood,
    /// A sandbox that seals its ballot, or the device's owner its verdict, as others look for it.
    SealLate,
    /// Outputs that whoever has the line to the device changes, invents or repeats.
    Forge,
    /// A voter that seals another verdict than it has come to.
    VerdictLie,
    /// Who has the device seals another input than came.
    InputLie,
    /// A bit of the donor's memory while it repairs another replica.
    Donor,
    /// Two faults of a replica and of what votes on it, one soon after the other.
    Two,
}

/// When a fault strikes, in epochs after the warmed-up state.
const WINDOW: u64 = 2;
/// Polls of a replica's task in an epoch, about.
const REPLICA_POLLS: u32 = 12;

impl Class {
    /// All classes, in the order of the table.
    pub const ALL: [Self; 31] = [
        Self::None,
        Self::Text,
        Self::Data,
        Self::Register,
        Self::Stuck,
        Self::Silent,
        Self::Endless,
        Self::Late,
        Self::ArbitratorLate,
        Self::OwnerLate,
        Self::KernelPanic,
        Self::OwnerPanic,
        Self::Restart,
        Self::ArbitratorRestart,
        Self::OwnerRestart,
        Self::LeafTable,
        Self::Replica,
        Self::Voter,
        Self::Channel,
        Self::BallotChannel,
        Self::VoterChannel,
        Self::BallotStale,
        Self::BallotTwice,
        Self::BallotMalformed,
        Self::BallotFlood,
        Self::SealLate,
        Self::Forge,
        Self::VerdictLie,
        Self::InputLie,
        Self::Donor,
        Self::Two,
    ];

    /// Returns the class's name in tables and on the command line; that of the fault grammar
    /// where that has the fault.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Text => "text",
            Self::Data => "data",
            Self::Register => "register",
            Self::Stuck => "stuck",
            Self::Silent => "silent",
            Self::Endless => "endless",
            Self::Late => "late",
            Self::ArbitratorLate => "arbitrator-late",
            Self::OwnerLate => "owner-late",
            Self::KernelPanic => "kernel-panic",
            Self::OwnerPanic => "owner-panic",
            Self::Restart => "restart",
            Self::ArbitratorRestart => "arbitrator-restart",
            Self::OwnerRestart => "owner-restart",
            Self::LeafTable => "leaf-table",
            Self::Replica => "replica",
            Self::Voter => "voter",
            Self::Channel => "channel",
            Self::BallotChannel => "ballot-channel",
            Self::VoterChannel => "voter-channel",
            Self::BallotStale => "ballot-stale",
            Self::BallotTwice => "ballot-twice",
            Self::BallotMalformed => "ballot-malformed",
            Self::BallotFlood => "ballot-flood",
            Self::SealLate => "seal-late",
            Self::Forge => "forge",
            Self::VerdictLie => "verdict-lie",
            Self::InputLie => "input-lie",
            Self::Donor => "donor",
            Self::Two => "two",
        }
    }

    /// Whether several faults strike in a run, which may be more than a set survives.
    #[must_use]
    pub const fn is_of_several(self) -> bool {
        matches!(self, Self::Donor | Self::Two)
    }

    /// Whether a core is held for a while, and goes on.
    pub(super) const fn is_of_held_core(self) -> bool {
        matches!(self, Self::Late | Self::ArbitratorLate | Self::OwnerLate)
    }

    /// Draws the faults of one run.
    pub(super) fn draw(self, draw: &mut Draw<'_>) -> Vec<Strike> {
        let replica = draw.replica();
        let own = Place::Replica(replica);
        let at = draw.at(0..WINDOW);
        let one = |at, act| vec![Strike { at, act }];
        match self {
            Self::None => Vec::new(),
            Self::Text => one(at, draw.memory(replica, 0..2)),
            Self::Data => {
                let pages = 2..draw.pages;
                one(at, draw.memory(replica, pages))
            }
            Self::Register => {
                let flip = RegisterFlip {
                    before: draw.random.u32(0..12),
                    word: draw.random.u32(0..3),
                    bit: draw.random.u32(0..64),
                };
                one(at, Act::Register { replica, flip })
            }
            Self::Stuck => {
                let page = draw.random.u32(2..draw.pages);
                let (bit, is_one) = (draw.bit(), draw.random.bool());
                let stuck = Act::Stuck {
                    replica,
                    page,
                    bit,
                    is_one,
                };
                one(at, stuck)
            }
            Self::Silent => one(at, Act::Silent { replica }),
            Self::Endless => one(at, Act::Endless { replica }),
            Self::Late => one(at, draw.hold(own)),
            Self::ArbitratorLate => one(at, draw.hold(Place::Voter(0))),
            Self::OwnerLate => one(at, draw.hold(draw.owner())),
            Self::KernelPanic => one(at, Act::Stop { of: own }),
            Self::OwnerPanic => one(at, Act::Stop { of: draw.owner() }),
            Self::Restart => {
                let erases = draw.random.bool();
                one(at, Act::Restart { replica, erases })
            }
            Self::ArbitratorRestart => {
                let erases = draw.random.bool();
                one(at, Act::RestartVoter { erases })
            }
            Self::OwnerRestart => {
                let (replica, erases) = (draw.world.device_owner(), draw.random.bool());
                one(at, Act::Restart { replica, erases })
            }
            Self::LeafTable => one(at, draw.leaf(replica)),
            Self::Replica => one(at, draw.state(own, REPLICA_POLLS)),
            Self::Voter => {
                let voter = draw.voter();
                one(draw.ballots_due(), draw.voter_state(voter))
            }
            Self::Channel => one(at, draw.channel(replica)),
            Self::BallotChannel => one(draw.about_vote(), draw.shown(Place::Ballot(replica))),
            Self::VoterChannel => {
                let voter = draw.voter();
                one(draw.while_shown(), draw.shown(voter))
            }
            Self::BallotStale => {
                let age = draw.random.u64(1..6);
                match draw.is_sealed() {
                    true => one(at, Act::lie(own, Lie::Stale { age })),
                    false => one(draw.between_ballot_and_vote(), Act::Stale { replica, age }),
                }
            }
            Self::BallotTwice => {
                let bit = draw.random.u32(0..64);
                match draw.is_sealed() {
                    true => one(at, Act::lie(own, Lie::Twice { bit })),
                    false => one(draw.between_ballot_and_vote(), Act::Twice { replica, bit }),
                }
            }
            Self::BallotMalformed => {
                let (word, bit) = draw.ballot_bit(replica);
                match draw.is_sealed() {
                    true => one(at, Act::lie(own, Lie::Malformed { word, bit })),
                    false => {
                        let act = Act::Channel { replica, word, bit };
                        one(draw.between_ballot_and_vote(), act)
                    }
                }
            }
            Self::BallotFlood => {
                let epochs = 2;
                one(at, Act::Flood { replica, epochs })
            }
            Self::SealLate => draw.late_seal(replica),
            Self::Forge => one(at, draw.forge()),
            Self::VerdictLie => {
                let of = Place::Voter(replica);
                one(at, draw.verdict_lie(of))
            }
            Self::InputLie => one(at, draw.input_lie()),
            Self::Donor => {
                let page = draw.random.u32(2..draw.pages);
                let others = draw.others(replica);
                let donor = others[draw.random.usize(0..others.len())];
                let damage = Act::Damage { replica, page };
                // Between the verdict on the damage and the next release but one.
                let later = at.saturating_add(draw.random.u64(0..2 * draw.period));
                let (bit, word) = (draw.random.u32(0..8), draw.random.u32(0..PAGE_WORDS as u32));
                let hit = Act::Memory {
                    replica: donor,
                    page,
                    bit: word * 64 + bit,
                };
                vec![
                    Strike { at, act: damage },
                    Strike {
                        at: later,
                        act: hit,
                    },
                ]
            }
            Self::Two => {
                let first = draw.memory(replica, 2..draw.pages);
                let later = at.saturating_add(draw.random.u64(0..3 * draw.period));
                let voter = draw.voter();
                let second = match draw.random.u32(0..4) {
                    0 => draw.voter_state(voter),
                    1 => draw.shown(voter),
                    2 => draw.hold(voter),
                    _ => draw.restart_of(voter),
                };
                vec![
                    Strike { at, act: first },
                    Strike {
                        at: later,
                        act: second,
                    },
                ]
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_is_in_the_list_once_with_a_name_of_its_own() {
        let mut names: Vec<_> = Class::ALL.iter().map(|class| class.name()).collect();
        for (place, class) in Class::ALL.iter().enumerate() {
            assert_eq!(*class as usize, place);
        }
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Class::ALL.len());
    }
}
