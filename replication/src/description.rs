//! What the system description says of a set, as words that a task keeps.
use tern_config::{LeafAlgorithm, ReplicaSet, Voting};
use tern_recovery::Hashing;
use tern_units::Duration;
use tern_vote::{Code, Key, LeafKind, MAX_REPLICAS, Rules, Seat, Set};

use crate::epoch::Times;

/// Returns replica set number `number` as the vote knows it.
#[must_use]
pub fn set_of(number: u32, set: &ReplicaSet) -> Set {
    Set {
        number,
        replicas: set.replicas.len() as u8,
        key: Key(set.key),
        code: Code::of(set.coded),
    }
}

/// The words that a task keeps of its set's description and of its thread's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Description(pub(crate) [u64; Description::WORDS]);

impl Description {
    pub(crate) const WORDS: usize = 18;

    /// Takes the words from the description of set `number`. `replica` is the number
    /// of the replica, or of that in the voter's sandbox, and `scrub` what it scrubs in an epoch.
    pub(crate) fn new(
        number: u32,
        set: &ReplicaSet,
        thread: &tern_config::Thread,
        replica: u8,
        scrub: u32,
    ) -> Self {
        let [a, b, c, d] = set.key;
        let voting = match set.voting {
            Voting::Arbitrator { seal: false } => ARBITRATOR,
            Voting::Arbitrator { seal: true } => SEALED_ARBITRATOR,
            Voting::Distributed => DISTRIBUTED,
            Voting::Lockstep { device } => LOCKSTEP | u64::from(device) << 8,
            Voting::Unprotected => UNPROTECTED,
        };
        let leaf = match set.leaf {
            LeafAlgorithm::Ahash => AHASH,
            LeafAlgorithm::Sha256 => SHA256,
        };
        Self([
            u64::from(number),
            set.replicas.len() as u64,
            a,
            b,
            c,
            d,
            voting,
            leaf,
            set.period,
            set.ballot_deadline,
            set.verdict_deadline,
            u64::from(set.repairs()),
            u64::from(set.lost_epochs()),
            thread.wcet,
            thread.deadline,
            u64::from(replica),
            u64::from(scrub),
            u64::from(set.coded),
        ])
    }

    pub(crate) fn set(&self) -> Set {
        let [number, replicas, a, b, c, d, ..] = self.0;
        Set {
            number: number as u32,
            replicas: replicas.min(MAX_REPLICAS as u64) as u8,
            key: Key([a, b, c, d]),
            code: Code::of(self.0[17] != 0),
        }
    }

    /// The set's number, as records have it.
    pub(crate) const fn number(&self) -> u16 {
        self.0[0] as u16
    }

    pub(crate) const fn voting(&self) -> Voting {
        match self.0[6] & 0xff {
            UNPROTECTED => Voting::Unprotected,
            LOCKSTEP => Voting::Lockstep {
                device: (self.0[6] >> 8) as u8,
            },
            ARBITRATOR => Voting::Arbitrator { seal: false },
            DISTRIBUTED => Voting::Distributed,
            _ => Voting::Arbitrator { seal: true },
        }
    }

    /// For whom a voter speaks.
    pub(crate) const fn seat(&self) -> Seat {
        match self.voting() {
            Voting::Arbitrator { .. } | Voting::Unprotected => Seat::Arbitrator,
            Voting::Distributed => Seat::Member(self.replica()),
            Voting::Lockstep { device } => Seat::Lockstep {
                place: self.replica(),
                device,
            },
        }
    }

    /// How the set's pages are hashed. Made from the key each time: a hasher that is kept
    /// would be words that nothing mends.
    pub(crate) fn hashing(&self) -> Hashing {
        let set = self.set();
        let hasher = match self.0[7] {
            SHA256 => LeafKind::sha256(&set.key),
            _ => LeafKind::ahash(&set.key),
        };
        Hashing { set, hasher }
    }

    pub(crate) const fn times(&self) -> Times {
        Times {
            period: Duration::from_nanos(self.0[8]),
            ballot_deadline: Duration::from_nanos(self.0[9]),
            verdict_deadline: Duration::from_nanos(self.0[10]),
        }
    }

    pub(crate) const fn rules(&self) -> Rules {
        Rules {
            repairs: self.0[11] != 0,
            lost_epochs: self.0[12] as u32,
        }
    }

    pub(crate) const fn wcet(&self) -> Duration {
        Duration::from_nanos(self.0[13])
    }

    /// The relative deadline of the thread's jobs.
    pub(crate) const fn deadline(&self) -> Duration {
        Duration::from_nanos(self.0[14])
    }

    pub(crate) const fn replica(&self) -> u8 {
        self.0[15] as u8
    }

    /// Pages that each commit scrubs.
    pub(crate) const fn scrub(&self) -> u32 {
        self.0[16] as u32
    }
}

const ARBITRATOR: u64 = 0;
const UNPROTECTED: u64 = 1;
const SEALED_ARBITRATOR: u64 = 2;
const DISTRIBUTED: u64 = 3;
const LOCKSTEP: u64 = 4;
const AHASH: u64 = 0;
const SHA256: u64 = 1;
