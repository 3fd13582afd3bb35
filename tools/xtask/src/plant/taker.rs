//! What takes the outputs of a set at its device's far end, and asks for the next.
use tern_config::System;
use tern_plant::actuator::{Actuator, Kept, Outcome, Output};
use tern_plant::frames::{Command, Frame, MAX_FRAME, Sample};
use tern_plant::tag::Key;
use tern_replication::{actuator_of, set_of};
use tern_units::{Duration, Instant};
use tern_vote::{Set, sound_output};

/// What takes the outputs of a set.
#[derive(Clone, Debug)]
pub enum Taker {
    /// Those whose digest fits: of a set that does not tag.
    Digest {
        /// The set.
        set: Set,
        /// Whether the output of the command taken last counted.
        taken: bool,
    },
    /// Those that a majority has tagged. The plant's time passes with its samples, a period
    /// each, however fast the machine is.
    Tags {
        /// The actuator.
        actuator: Box<Actuator>,
        /// The set's period.
        period: Duration,
        /// The time.
        now: Instant,
    },
}

impl Taker {
    /// What takes the outputs of set number `number` of a system with this secret.
    #[must_use]
    pub fn new(system: &System, number: usize, secret: &Key) -> Self {
        let set = &system.replica_sets[number];
        let number = number as u32;
        let settings = actuator_of(number, set, secret);
        let started = Actuator::start(settings, Kept::default(), Instant::EPOCH);
        match started.filter(|_| set.tags) {
            None => Self::digest(set_of(number, set)),
            Some(actuator) => Self::Tags {
                actuator: Box::new(actuator),
                period: Duration::from_nanos(set.period),
                now: Instant::EPOCH,
            },
        }
    }

    /// What takes the outputs of a set that does not tag.
    #[must_use]
    pub const fn digest(set: Set) -> Self {
        Self::Digest { set, taken: false }
    }

    /// Returns the output that the plant is to carry out, if the command has one that counts.
    pub fn take(&mut self, command: &Command) -> Option<Output> {
        match self {
            Self::Digest { set, taken } => {
                let output = sound_output(set, command).map(Output::new);
                *taken = output.is_some();
                output
            }
            Self::Tags { actuator, now, .. } => match actuator.accept(command, *now) {
                Outcome::Accepted(output) => Some(output),
                Outcome::Nothing | Outcome::Refused(_) => None,
            },
        }
    }

    /// Returns the frame of the sample that answers the command taken last, of `epoch`.
    pub fn sample(&mut self, epoch: u64, words: &[u64]) -> Vec<u8> {
        let mut bytes = [0; MAX_FRAME];
        let length = match self {
            Self::Digest { taken, .. } => {
                let mut sample = Sample {
                    number: epoch.wrapping_add(1),
                    taken: *taken,
                    count: words.len() as u8,
                    ..Sample::default()
                };
                sample.words[..words.len()].copy_from_slice(words);
                Frame::Sample(sample).encode(&mut bytes)
            }
            Self::Tags {
                actuator,
                period,
                now,
            } => {
                *now = now.saturating_add(*period);
                actuator.sample(words, &mut bytes)
            }
        };
        bytes[..length].to_vec()
    }
}
