//! What a fault does to a simulated set, and when.
use std::ops::Range;
use tern_plant::frames::Command;
use tern_sim::sets::{PAGE_WORDS, Place, RegisterFlip, World};
use tern_vote::{Set, output_digest};

/// A fault that strikes before a poll: before the first that is due from its time on, or, where
/// a task's state is hit, before one of that task's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Strike {
    /// Nanoseconds since the set's begin.
    pub at: u64,
    pub act: Act,
}

/// What happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Act {
    /// A bit of a replica's memory flips.
    Memory { replica: usize, page: u32, bit: u32 },
    /// A word of a replica's memory is changed as its own program would.
    Damage { replica: usize, page: u32 },
    /// A bit of what the job has in registers flips.
    Register { replica: usize, flip: RegisterFlip },
    /// A bit of a replica's memory has the same value for good.
    Stuck {
        replica: usize,
        page: u32,
        bit: u32,
        is_one: bool,
    },
    /// A job raises an exception.
    Silent { replica: usize },
    /// A job does not end.
    Endless { replica: usize },
    /// A core executes nothing for this many nanoseconds.
    Hold { of: Place, time: u64 },
    /// A replica's core executes nothing any more.
    Stop { replica: usize },
    /// A replica's sandbox starts anew.
    Restart { replica: usize, erases: bool },
    /// The arbitrator starts anew.
    RestartVoter { erases: bool },
    /// A bit of a task's state flips: of the word with this number among those with this name,
    /// before the task's poll of this number, from 0.
    State {
        of: Place,
        name: &'static str,
        word: usize,
        bit: u32,
        poll: u32,
    },
    /// A bit of a replica's channel flips.
    Channel {
        replica: usize,
        word: usize,
        bit: u32,
    },
    /// A bit flips of what replicas read in the voter's channel now.
    Shown { word: usize, bit: u32 },
    /// The ballot of an earlier epoch stands in the channel.
    Stale { replica: usize, age: u64 },
    /// A second ballot is cast whose summary differs in this bit.
    Twice { replica: usize, bit: u32 },
    /// A second ballot is cast before each poll, for this many epochs.
    Flood { replica: usize, epochs: u64 },
    /// Whoever has the line to the device changes this bit of each output, for this many epochs,
    /// and makes its digest fit.
    Forge { bit: u32, epochs: u64 },
}

/// How an act goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// It is over.
    Once,
    /// It has to be done before the next poll: its time has not come, or it lasts.
    Again,
}

/// What has come of a strike so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct SoFar {
    /// When it struck first.
    begun: Option<u64>,
    /// Polls of the task that it waits for.
    polls: u32,
    /// Whether it is over.
    pub is_over: bool,
}

impl Act {
    /// Whether what it changes is read for certain, even if nothing comes of it: words that are
    /// kept three times, and records that the next release begins with.
    pub fn is_read(&self) -> bool {
        match self {
            Self::State { name, .. } => *name == "copies",
            Self::Shown { .. } => true,
            Self::Memory { .. }
            | Self::Damage { .. }
            | Self::Register { .. }
            | Self::Stuck { .. }
            | Self::Silent { .. }
            | Self::Endless { .. }
            | Self::Hold { .. }
            | Self::Stop { .. }
            | Self::Restart { .. }
            | Self::RestartVoter { .. }
            | Self::Channel { .. }
            | Self::Stale { .. }
            | Self::Twice { .. }
            | Self::Flood { .. }
            | Self::Forge { .. } => false,
        }
    }

    /// Returns the place that is hit.
    pub const fn place(&self) -> Place {
        match *self {
            Self::Memory { replica, .. }
            | Self::Damage { replica, .. }
            | Self::Register { replica, .. }
            | Self::Stuck { replica, .. }
            | Self::Silent { replica }
            | Self::Endless { replica }
            | Self::Stop { replica }
            | Self::Restart { replica, .. }
            | Self::Channel { replica, .. }
            | Self::Stale { replica, .. }
            | Self::Twice { replica, .. }
            | Self::Flood { replica, .. } => Place::Replica(replica),
            Self::RestartVoter { .. } | Self::Shown { .. } | Self::Forge { .. } => Place::Voter(0),
            Self::Hold { of, .. } | Self::State { of, .. } => of,
        }
    }

    /// Does it to `world`, where a poll of `due` is next. `ballots` are the words of each
    /// replica's ballot at the end of each epoch so far.
    pub fn strike(
        &self,
        world: &mut World,
        due: Place,
        so_far: &mut SoFar,
        ballots: &[Vec<Vec<u64>>],
    ) -> Effect {
        let begun = *so_far.begun.get_or_insert(world.now());
        let polls = &mut so_far.polls;
        match *self {
            Self::Memory { replica, page, bit } => world.flip_memory(replica, page, bit),
            Self::Damage { replica, page } => world.damage(replica, page),
            Self::Register { replica, flip } => world.flip_register(replica, flip),
            Self::Stuck {
                replica,
                page,
                bit,
                is_one,
            } => {
                world.set_memory_bit(replica, page, bit, is_one);
                return Effect::Again;
            }
            Self::Silent { replica } => world.make_silent(replica),
            Self::Endless { replica } => world.make_endless(replica),
            Self::Hold { of, time } => world.hold(of, time),
            Self::Stop { replica } => world.hold(Place::Replica(replica), u64::MAX / 2),
            Self::Restart { replica, erases } => world.restart(replica, erases),
            Self::RestartVoter { erases } => world.restart_voter(0, erases),
            Self::State {
                of,
                name: wanted,
                word,
                bit,
                poll,
            } => {
                if of != due || poll != *polls {
                    *polls += u32::from(of == due);
                    return Effect::Again;
                }
                let mut at = 0;
                world.visit(of, &mut |name, value| {
                    if name == wanted {
                        *value ^= u64::from(at == word) << bit;
                        at += 1;
                    }
                });
            }
            Self::Channel { replica, word, bit } => {
                world.flip_channel(Place::Replica(replica), word, bit);
            }
            Self::Shown { word, bit } => world.flip_shown(word, bit),
            Self::Stale { replica, age } => {
                let epoch = world.epoch().saturating_sub(age) as usize;
                if let Some(ballots) = ballots.get(epoch) {
                    world.put_words(replica, &ballots[replica]);
                }
            }
            Self::Twice { replica, bit } => {
                world.cast_again(replica, |ballot| ballot.summary.0 ^= 1 << bit);
            }
            Self::Flood { replica, epochs } => {
                world.cast_again(replica, |ballot| ballot.summary.0 ^= 1);
                let until = begun.saturating_add(epochs * world.description().period);
                if world.now() < until {
                    return Effect::Again;
                }
            }
            Self::Forge { bit, epochs } => {
                world.intercept();
                let until = begun.saturating_add(epochs * world.description().period);
                for command in world.take_commands() {
                    let forged = match world.now() < until {
                        true => forged(world.set(), command, bit),
                        false => command,
                    };
                    world.send_command(&forged);
                }
                // What comes later has to be handed on.
                return Effect::Again;
            }
        }
        Effect::Once
    }
}

/// A command whose output differs in a bit, with the digest that fits.
fn forged(set: &Set, command: Command, bit: u32) -> Command {
    let mut forged = command;
    forged.count = forged.count.max(1);
    forged.words[0] ^= 1 << bit;
    let output = &forged.words[..usize::from(forged.count)];
    forged.digest = output_digest(set, forged.epoch, output);
    forged
}

fn is_leaf(name: &str) -> bool {
    name.starts_with("table.")
}

/// What a run's faults are drawn from.
#[derive(Debug)]
pub(super) struct Draw<'a> {
    pub random: &'a mut fastrand::Rng,
    /// The warmed-up state that runs begin with.
    pub world: &'a mut World,
    pub replicas: usize,
    pub pages: u32,
    /// Nanoseconds of an epoch.
    pub period: u64,
    /// Nanoseconds after the release at which ballots are due.
    pub ballot_deadline: u64,
}

impl Draw<'_> {
    pub fn replica(&mut self) -> usize {
        self.random.usize(0..self.replicas)
    }

    /// All replicas but one.
    pub fn others(&self, replica: usize) -> Vec<usize> {
        let others = (0..self.replicas).filter(|other| *other != replica);
        let others: Vec<usize> = others.collect();
        if others.is_empty() {
            return vec![replica];
        }
        others
    }

    /// A time in these epochs from the warmed-up state on.
    pub fn at(&mut self, epochs: Range<u64>) -> u64 {
        let from = self.world.epoch() + epochs.start;
        let length = (epochs.end - epochs.start) * self.period;
        from * self.period + self.random.u64(0..length)
    }

    /// A time at which ballots are cast and not yet voted on: the last quarter before they are
    /// due.
    pub fn between_ballot_and_vote(&mut self) -> u64 {
        let epoch = self.world.epoch() + self.random.u64(0..2);
        let quarter = self.ballot_deadline / 4;
        epoch * self.period + self.ballot_deadline - 1 - self.random.u64(0..quarter)
    }

    pub fn bit(&mut self) -> u32 {
        self.random.u32(0..PAGE_WORDS as u32 * 64)
    }

    pub fn memory(&mut self, replica: usize, pages: Range<u32>) -> Act {
        Act::Memory {
            replica,
            page: self.random.u32(pages),
            bit: self.bit(),
        }
    }

    /// A core held for up to four epochs.
    pub fn hold(&mut self, of: Place) -> Act {
        let time = self.random.u64(1..4 * self.period);
        Act::Hold { of, time }
    }

    /// A time at which an epoch's ballots are due.
    pub fn ballots_due(&mut self) -> u64 {
        let epoch = self.world.epoch() + self.random.u64(0..2);
        epoch * self.period + self.ballot_deadline
    }

    /// A time shortly before a release, at which verdict and input stand in the voter's channel.
    pub fn before_release(&mut self) -> u64 {
        let epoch = self.world.epoch() + self.random.u64(1..3);
        epoch * self.period - 1 - self.random.u64(0..self.period / 8)
    }

    /// A bit of a replica's table of leaves.
    pub fn leaf(&mut self, replica: usize) -> Act {
        let of = Place::Replica(replica);
        let words = self.words(of);
        let words = words.into_iter().filter(|(name, _)| is_leaf(name));
        let words: Vec<_> = words
            .flat_map(|(name, count)| (0..count).map(move |word| (name, word)))
            .collect();
        let (name, word) = words[self.random.usize(0..words.len())];
        let bit = self.random.u32(0..64);
        let poll = self.random.u32(0..8);
        Act::State {
            of,
            name,
            word,
            bit,
            poll,
        }
    }

    /// A bit of a task's state but for leaves, before one of its first `polls` polls from then
    /// on: each part of the state is as likely as any other, so that the many words of one do
    /// not hide the few that decide.
    pub fn state(&mut self, of: Place, polls: u32) -> Act {
        let words = self.words(of);
        let part = |name: &'static str| name.split_once('.').map_or(name, |(part, _)| part);
        let mut parts: Vec<_> = words.iter().map(|(name, _)| part(name)).collect();
        parts.retain(|part| !is_leaf(&format!("{part}.")));
        parts.dedup();
        let drawn = parts[self.random.usize(0..parts.len())];
        let words: Vec<_> = words
            .iter()
            .filter(|(name, _)| part(name) == drawn)
            .collect();
        let (name, count) = *words[self.random.usize(0..words.len())];
        Act::State {
            of,
            name,
            word: self.random.usize(0..count),
            bit: self.random.u32(0..64),
            poll: self.random.u32(0..polls),
        }
    }

    /// The names of a task's words, each with how many there are.
    fn words(&mut self, of: Place) -> Vec<(&'static str, usize)> {
        let mut words: Vec<(&'static str, usize)> = Vec::new();
        self.world.visit(
            of,
            &mut |name, _| match words.iter_mut().find(|(known, _)| *known == name) {
                Some((_, count)) => *count += 1,
                None => words.push((name, 1)),
            },
        );
        words
    }

    /// A bit of the records of a replica's channel that are read in every epoch.
    pub fn channel(&mut self, replica: usize) -> Act {
        let records = self.world.records(Place::Replica(replica));
        let (word, bit) = self.bit_of(records);
        Act::Channel { replica, word, bit }
    }

    /// A bit of the records of the voter's channel that the next release begins with.
    pub fn shown(&mut self) -> Act {
        let records = self.world.shown_records();
        let (word, bit) = self.bit_of(records);
        Act::Shown { word, bit }
    }

    fn bit_of(&mut self, records: Vec<Range<usize>>) -> (usize, u32) {
        let words: Vec<usize> = records.into_iter().flatten().collect();
        let word = words[self.random.usize(0..words.len())];
        (word, self.random.u32(0..64))
    }

    /// A bit of a replica's ballot.
    pub fn ballot_bit(&mut self, replica: usize) -> (usize, u32) {
        let records = self.world.records(Place::Replica(replica));
        let ballot = records.into_iter().next().unwrap_or(0..1);
        (self.random.usize(ballot), self.random.u32(0..64))
    }
}
