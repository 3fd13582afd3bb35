//! Places of a set.

/// Where something is: a replica's, or a voter's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// That of the replica of that number.
    Replica(usize),
    /// That of its ballot, where ballots have channels of their own.
    Ballot(usize),
    /// That of the voter of that number: 0 is the arbitrator.
    Voter(usize),
}
