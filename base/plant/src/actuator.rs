//! What an actuator accepts, what it asks, and when it goes safe.
//!
//! An output counts if a majority of the set's places has tagged it, as an answer to one of the
//! last samples, and it comes after the last one that counted: it answers a later sample, or the
//! same one in a later epoch. (A set whose next sample has not come in time runs with the last
//! one again.) What the line, the driver or the voter's sandbox does to frames can lose outputs,
//! and nothing else.
//!
//! It has no clock and does no I/O: the caller brings time and frames.
use crate::frames::{Command, Frame, MAX_FRAME, Sample, without_zeros_at_end};
use crate::tag::{Challenge, Key, MAX_PLACES, Measured, Places, Statement};
use tern_abi::system_call::MESSAGE_WORDS;
use tern_units::{Duration, Instant};

/// The most samples that may wait for their answers.
pub const MOST_ANSWERS: usize = 8;

/// What an actuator is told once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The number of the set whose outputs it takes.
    pub set: u32,
    /// Places of the set, of which more than half have to agree.
    pub places: u8,
    /// What the keys of each place are made of: see [`Key::numbered`].
    pub keys: [Key; MAX_PLACES],
    /// The key of the sensor, which tags the samples.
    pub sensor: Key,
    /// The number of the newest samples to which it takes answers, at most [`MOST_ANSWERS`].
    pub answers: u8,
    /// The longest time from a sample to its answer, and without an output.
    pub patience: Duration,
    /// The output of the safe action.
    pub safe: Output,
}

impl Settings {
    /// Returns the settings of the actuator of a set, still without keys.
    #[must_use]
    pub const fn new(set: u32, places: u8, answers: u8, patience: Duration) -> Self {
        Self {
            set,
            places,
            keys: [Key([0; 2]); MAX_PLACES],
            sensor: Key([0; 2]),
            answers,
            patience,
            safe: Output {
                count: 0,
                words: [0; MESSAGE_WORDS],
            },
        }
    }
}

/// What has to outlive a power cycle of the actuator.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// The number of the last boot; zero before the first.
    pub boot: u32,
    /// The number of the newest key of each place.
    pub numbers: [u32; MAX_PLACES],
}

/// Words for the actuator to carry out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Output {
    count: u8,
    words: [u64; MESSAGE_WORDS],
}

impl Output {
    /// Returns the output of these words; what is beyond [`MESSAGE_WORDS`] is cut off.
    #[must_use]
    pub fn new(words: &[u64]) -> Self {
        let count = words.len().min(MESSAGE_WORDS);
        let mut output = Self::default();
        output.words[..count].copy_from_slice(&words[..count]);
        output.count = count as u8;
        output
    }

    /// Returns the words.
    #[must_use]
    pub fn words(&self) -> &[u64] {
        &self.words[..usize::from(self.count).min(MESSAGE_WORDS)]
    }
}

/// What became of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Its output is to be carried out.
    Accepted(Output),
    /// It has none.
    Nothing,
    /// Its output is not to be carried out.
    Refused(Refusal),
}

/// Why an output is not to be carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It answers no sample: it was computed before the first came.
    NoSample,
    /// It answers what this boot has not asked, or not lately.
    NotAsked,
    /// The sample that it answers was asked too long ago.
    TooLate,
    /// An output of its epoch or a later one has answered that sample, or any a later sample.
    Answered,
    /// Fewer good tags than a majority.
    Tags {
        /// Places whose tag is good.
        good: Places,
    },
}

/// A sample that waits for its answer.
#[derive(Clone, Copy, Debug)]
struct Asked {
    challenge: Challenge,
    /// Which sample of the boot it is.
    count: u64,
    at: Instant,
}

/// An actuator with its sensor.
#[derive(Clone, Debug)]
pub struct Actuator {
    settings: Settings,
    kept: Kept,
    /// Samples of this boot so far.
    count: u64,
    /// The newest of them, each at the place of its count modulo their number.
    asked: [Option<Asked>; MOST_ANSWERS],
    /// The count of the sample that the newest output answered, and that output's epoch.
    answered: Option<(u64, u64)>,
    /// Whether the newest command had an output that was taken.
    taken: bool,
    /// Places whose tags of the newest output were bad.
    bad: Places,
    /// The number that the next sample is asked for with.
    number: u64,
    now: Instant,
    /// When an output was taken last; at first, when the actuator started.
    taken_at: Instant,
}

impl Actuator {
    /// Starts the actuator at `now`. `kept` is what the boot before has kept; the caller stores
    /// [`Actuator::kept`] before it sends the first sample, and after each command. `None` if
    /// there can be no further boot.
    #[must_use]
    pub fn start(settings: Settings, kept: Kept, now: Instant) -> Option<Self> {
        let boot = kept.boot.checked_add(1)?;
        Some(Self {
            settings,
            kept: Kept { boot, ..kept },
            count: 0,
            asked: [None; MOST_ANSWERS],
            answered: None,
            taken: false,
            bad: Places::NONE,
            number: 0,
            now,
            taken_at: now,
        })
    }

    /// Returns what has to outlive a power cycle.
    #[must_use]
    pub const fn kept(&self) -> Kept {
        self.kept
    }

    /// Returns the places whose tags of the newest output were bad, as the next sample says:
    /// none, if the output was not taken.
    #[must_use]
    pub const fn bad(&self) -> Places {
        self.bad
    }

    /// Judges a command that has come at `now`. The sample that answers it is to be made by
    /// [`Actuator::sample`], whatever the outcome.
    pub fn accept(&mut self, command: &Command, now: Instant) -> Outcome {
        self.now = self.now.max(now);
        self.number = command.epoch.wrapping_add(1);
        (self.taken, self.bad) = (false, Places::NONE);
        let count = usize::from(command.count).min(MESSAGE_WORDS);
        let output = &command.words[..count];
        if output.is_empty() {
            return Outcome::Nothing;
        }

        // First whether it answers: an old frame's tags are good, and accuse nobody.
        let answer = match self.answer(command) {
            Ok(answer) => answer,
            Err(refusal) => return Outcome::Refused(refusal),
        };
        let good = self.judge_tags(command, output);
        if 2 * good.count() <= u32::from(self.settings.places) {
            // No majority said this, so it may be anybody's: whoever forges would accuse places
            // that know nothing of it.
            self.bad = Places::NONE;
            return Outcome::Refused(Refusal::Tags { good });
        }

        self.answered = Some(answer);
        (self.taken, self.taken_at) = (true, self.now);
        Outcome::Accepted(Output::new(output))
    }

    /// Returns the count of the sample that a command answers, and the command's epoch, if it may
    /// answer now.
    fn answer(&self, command: &Command) -> Result<(u64, u64), Refusal> {
        let challenge = command.challenge;
        if challenge == Challenge::default() {
            return Err(Refusal::NoSample);
        }
        let mut asked = self.asked.iter().flatten();
        let Some(asked) = asked.find(|asked| asked.challenge == challenge) else {
            return Err(Refusal::NotAsked);
        };
        // In this order each output counts once, and none after a later one. Epochs alone would
        // not do: a machine that has restarted begins again with the first.
        let answer = (asked.count, command.epoch);
        if self.answered.is_some_and(|newest| answer <= newest) {
            return Err(Refusal::Answered);
        }
        match self.now.saturating_since(asked.at) > self.settings.patience {
            true => Err(Refusal::TooLate),
            false => Ok(answer),
        }
    }

    /// Returns the places whose tags are good, and notes whose are bad and whose keys are new.
    fn judge_tags(&mut self, command: &Command, output: &[u64]) -> Places {
        let mut good = Places::NONE;
        for place in 0..self.settings.places.min(MAX_PLACES as u8) {
            let Some(tag) = command.tags.get(place) else {
                continue;
            };
            let newest = &mut self.kept.numbers[usize::from(place)];
            let key = self.settings.keys[usize::from(place)].numbered(tag.number);
            let statement = Statement {
                set: self.settings.set,
                place,
                epoch: command.epoch,
                challenge: command.challenge,
                output,
            };
            if tag.number >= *newest && key.tag(&statement) == tag {
                // Whoever has the newer key knows that the older one is given up.
                *newest = tag.number;
                good = good.with(place);
            } else {
                self.bad = self.bad.with(place);
            }
        }
        good
    }

    /// Makes the frame of the next sample, with `payload` as the measurement, and returns its
    /// length. It has the number that the newest command asked for, says whether that command's
    /// output was taken, and asks anew.
    pub fn sample(&mut self, payload: &[u64], out: &mut [u8; MAX_FRAME]) -> usize {
        self.count = self.count.wrapping_add(1);
        let challenge = self.settings.keys[0].challenge(self.kept.boot, self.count);
        let payload = without_zeros_at_end(&payload[..payload.len().min(MESSAGE_WORDS)]);
        let measured = Measured {
            set: self.settings.set,
            number: self.number,
            challenge,
            taken: self.taken,
            bad: self.bad,
            words: payload,
        };
        let mut sample = Sample {
            number: self.number,
            challenge,
            taken: self.taken,
            bad: self.bad,
            tag: self.settings.sensor.tag_sample(&measured),
            count: payload.len() as u8,
            words: [0; MESSAGE_WORDS],
        };
        sample.words[..payload.len()].copy_from_slice(payload);

        let answers = u64::from(self.settings.answers).clamp(1, MOST_ANSWERS as u64);
        self.asked[(self.count % answers) as usize] = Some(Asked {
            challenge,
            count: self.count,
            at: self.now,
        });
        Frame::Sample(sample).encode(out)
    }

    /// Returns the output of the safe action if it is due at `now`: no output was taken for
    /// longer than the actuator's patience. It stays due until one is.
    pub fn due(&mut self, now: Instant) -> Option<Output> {
        self.now = self.now.max(now);
        let without = self.now.saturating_since(self.taken_at);
        (without > self.settings.patience).then_some(self.settings.safe)
    }
}

#[cfg(test)]
mod tests;
