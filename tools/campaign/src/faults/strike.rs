//! What a fault does to a simulated set, and when.
use super::lie::{InputField, Lie, VerdictField};
use std::ops::Range;
use tern_abi::system_call::MESSAGE_WORDS;
use tern_plant::frames::Command;
use tern_sim::sets::{PAGE_WORDS, Place, RegisterFlip, World};
use tern_vote::{Set, output_digest};

/// Epochs for which who has the device forges, where each sandbox votes.
pub(super) const FORGED: u64 = 8;

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
    /// A core executes nothing any more.
    Stop { of: Place },
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
    /// A bit flips of what the readers of a ballot's or a voter's channel read in it now.
    Shown { of: Place, word: usize, bit: u32 },
    /// The ballot of an earlier epoch stands in the channel.
    Stale { replica: usize, age: u64 },
    /// A second ballot is cast whose summary differs in this bit.
    Twice { replica: usize, bit: u32 },
    /// A second ballot is cast before each poll, for this many epochs.
    Flood { replica: usize, epochs: u64 },
    /// A ballot or a verdict is sealed this many nanoseconds later than it could be.
    SealLate { of: Place, late: u64 },
    /// Whoever has the line to the device now hands on something else, for this many epochs, or
    /// until another has it.
    Forge {
        by: usize,
        forgery: Forgery,
        epochs: u64,
    },
    /// The sandbox of a replica or a voter says something else than that, for this many epochs.
    Lie { of: Place, lie: Lie, epochs: u64 },
}

/// What is handed on to the device in the place of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Forgery {
    /// The output with this bit changed, and a digest that fits.
    Change { bit: u32 },
    /// An output that nobody computed, with the tags as they came.
    Invent { word: u64 },
    /// The output of the command before, with the tags as they came.
    Repeat,
    /// All of the command before, as it was.
    Replay,
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
    /// The last command that was intercepted.
    last: Option<Command>,
    /// Whether it is over.
    pub is_over: bool,
}

impl Act {
    /// Whether what it changes is read for certain, even if nothing comes of it: words that are
    /// kept three times, and records that the next release begins with.
    pub fn is_read(&self) -> bool {
        match self {
            Self::State { name, .. } => *name == "copies",
            Self::Shown { of, .. } => matches!(of, Place::Voter(_)),
            // All voters read what is sealed.
            Self::Lie { lie, .. } => match lie {
                Lie::Verdict(..) | Lie::Input(..) => true,
                Lie::Stale { .. } | Lie::Twice { .. } | Lie::Malformed { .. } => false,
            },
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
            | Self::SealLate { .. }
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
            | Self::Restart { replica, .. }
            | Self::Channel { replica, .. }
            | Self::Stale { replica, .. }
            | Self::Twice { replica, .. }
            | Self::Flood { replica, .. } => Place::Replica(replica),
            Self::RestartVoter { .. } => Place::Voter(0),
            Self::Forge { by, .. } => Place::Voter(by),
            Self::Hold { of, .. }
            | Self::Stop { of }
            | Self::State { of, .. }
            | Self::Shown { of, .. }
            | Self::SealLate { of, .. }
            | Self::Lie { of, .. } => of,
        }
    }

    /// One ballot, or one verdict, that is not what the task has written.
    pub const fn lie(of: Place, lie: Lie) -> Self {
        Self::Lie { of, lie, epochs: 1 }
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
            Self::Stop { of } => world.hold(of, u64::MAX / 2),
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
            Self::Shown { of, word, bit } => world.flip_shown(of, word, bit),
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
                // Where it is sealed it calls the hypervisor as often, for this epoch and the next.
                if world.is_ballot_sealed() {
                    for number in [world.epoch(), world.epoch() + 1] {
                        world.seal_in(Place::Ballot(replica), number);
                        world.close_all(number);
                    }
                }
                let until = begun.saturating_add(epochs * world.description().period);
                if world.now() < until {
                    return Effect::Again;
                }
            }
            Self::SealLate { of, late } => {
                let (Place::Replica(own) | Place::Ballot(own) | Place::Voter(own)) = of;
                world.withhold_seals(Some(own));
                if world.now() < begun.saturating_add(late) {
                    return Effect::Again;
                }
                world.seal_in(of, begun / world.description().period);
                // Who is late with a ballot does not say what it has counted.
                let verdicts = match of {
                    Place::Ballot(_) => world.description().ballot_deadline,
                    Place::Replica(_) | Place::Voter(_) => 0,
                };
                if world.now() < begun.saturating_add(late + verdicts) {
                    return Effect::Again;
                }
                world.withhold_seals(None);
            }
            Self::Forge {
                by,
                forgery,
                epochs,
            } => {
                world.intercept();
                let until = begun.saturating_add(epochs * world.description().period);
                let forges = world.now() < until && world.device_owner() == by;
                for command in world.take_commands() {
                    let before = so_far.last.replace(command).unwrap_or(command);
                    let sent = match forges {
                        true => forgery.forge(world.set(), command, before),
                        false => command,
                    };
                    world.send_command(&sent);
                }
                // What comes later has to be handed on.
                return Effect::Again;
            }
            Self::Lie {
                of,
                ref lie,
                epochs,
            } => {
                let until = begun.saturating_add(epochs * world.description().period);
                if world.now() >= until {
                    world.lie_in(of, |_, _| ());
                    return Effect::Once;
                }
                let (Place::Replica(own) | Place::Ballot(own) | Place::Voter(own)) = of;
                let stale = match *lie {
                    Lie::Stale { age } => {
                        let epoch = world.epoch().saturating_sub(age) as usize;
                        ballots.get(epoch).map(|ballots| ballots[own].clone())
                    }
                    Lie::Twice { .. }
                    | Lie::Malformed { .. }
                    | Lie::Verdict(..)
                    | Lie::Input(..) => None,
                };
                let (lie, stale) = (lie.clone(), stale.unwrap_or_default());
                world.lie_in(of, move |set, open| lie.tell(set, own, &stale, open));
                return Effect::Again;
            }
        }
        Effect::Once
    }
}

impl Forgery {
    /// What is handed on in the place of `command`, `before` being the one before that.
    fn forge(self, set: &Set, command: Command, before: Command) -> Command {
        let mut forged = command;
        match self {
            Self::Change { bit } => forged.words[0] ^= 1 << bit,
            Self::Invent { word } => forged.words = [word; MESSAGE_WORDS],
            Self::Repeat => (forged.count, forged.words) = (before.count, before.words),
            Self::Replay => return before,
        }
        forged.count = forged.count.max(1);
        let output = &forged.words[..usize::from(forged.count)];
        forged.digest = output_digest(set, forged.epoch, output);
        forged
    }
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

    /// A time about that at which an epoch's ballots are counted.
    pub fn about_vote(&mut self) -> u64 {
        let quarter = self.ballot_deadline / 4;
        self.between_ballot_and_vote() + self.random.u64(0..quarter)
    }

    /// Whether a ballot is read in a half of a channel that its writer cannot change.
    pub fn is_sealed(&self) -> bool {
        self.world.is_ballot_sealed()
    }

    /// A voter: the arbitrator, where there is one.
    pub fn voter(&mut self) -> Place {
        let voters = self.world.description().voters.len();
        Place::Voter(self.random.usize(0..voters))
    }

    /// The sandbox that has the device.
    pub fn owner(&self) -> Place {
        Place::Voter(self.world.device_owner())
    }

    /// That of a voter starts anew.
    pub fn restart_of(&mut self, voter: Place) -> Act {
        match (self.is_sealed(), voter) {
            (true, Place::Voter(replica)) => Act::Restart {
                replica,
                erases: true,
            },
            (true | false, _) => Act::RestartVoter { erases: true },
        }
    }

    /// A bit of a voter's state before one of the polls of an epoch without a repair.
    pub fn voter_state(&mut self, voter: Place) -> Act {
        let polls = if self.is_sealed() { 6 } else { 4 };
        self.state(voter, polls)
    }

    /// A ballot that is sealed as ballots are counted, of replica `replica`; or a verdict, with the
    /// next input, as replicas look for it, of who has the device.
    pub fn late_seal(&mut self, replica: usize) -> Vec<Strike> {
        let (of, from, until) = match self.random.bool() {
            true => (Place::Ballot(replica), 0, self.ballot_deadline),
            // Its ballot is sealed by then.
            false => (self.owner(), self.ballot_deadline * 9 / 10, self.period),
        };
        let at = (self.world.epoch() + self.random.u64(0..2)) * self.period + from;
        // Others are kept from looking by what is above them for up to 400 us.
        let late = until - from + self.random.u64(0..500_000);
        vec![Strike {
            at,
            act: Act::SealLate { of, late },
        }]
    }

    /// Outputs that who has the line changes; for longer, where it can be taken from it.
    pub fn forge(&mut self) -> Act {
        let forgery = match self.random.u32(0..4) {
            0 => Forgery::Change {
                bit: self.random.u32(0..64),
            },
            1 => Forgery::Invent {
                word: self.random.u64(..),
            },
            2 => Forgery::Repeat,
            _ => Forgery::Replay,
        };
        Act::Forge {
            by: self.world.device_owner(),
            forgery,
            epochs: if self.is_sealed() { FORGED } else { 2 },
        }
    }

    /// A verdict that is not the one that a voter has come to, once or for some epochs.
    pub fn verdict_lie(&mut self, of: Place) -> Act {
        let field = VerdictField::ALL[self.random.usize(0..VerdictField::ALL.len())];
        let lie = Lie::Verdict(field, self.value());
        Act::Lie {
            of,
            lie,
            epochs: [1, 8][self.random.usize(0..2)],
        }
    }

    /// An input that is not the one that came, once or for some epochs.
    pub fn input_lie(&mut self) -> Act {
        let field = InputField::ALL[self.random.usize(0..InputField::ALL.len())];
        let lie = Lie::Input(field, self.value());
        Act::Lie {
            of: self.owner(),
            lie,
            epochs: [1, 8][self.random.usize(0..2)],
        }
    }

    /// What a field may be made: little, about the epoch, or anything.
    fn value(&mut self) -> u64 {
        match self.random.u32(0..3) {
            0 => self.random.u64(0..8),
            1 => self.world.epoch() - 2 + self.random.u64(0..6),
            _ => self.random.u64(..),
        }
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

    /// A core held for up to four epochs; for one, where nobody goes on without it: who has the core
    /// then uses up the budgets of so many periods that a run is not longer.
    pub fn hold(&mut self, of: Place) -> Act {
        let epochs = if self.replicas == 2 { 1 } else { 4 };
        let time = self.random.u64(1..epochs * self.period);
        Act::Hold { of, time }
    }

    /// A time at which an epoch's ballots are due.
    pub fn ballots_due(&mut self) -> u64 {
        let epoch = self.world.epoch() + self.random.u64(0..2);
        epoch * self.period + self.ballot_deadline
    }

    /// A time before a release, at which verdict and input stand in a voter's channel: shortly
    /// before, or, where voters read each other's, from the vote on.
    pub fn while_shown(&mut self) -> u64 {
        let epoch = self.world.epoch() + self.random.u64(1..3);
        let time = match self.is_sealed() {
            true => self.period - self.ballot_deadline,
            false => self.period / 8,
        };
        epoch * self.period - 1 - self.random.u64(0..time)
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

    /// A bit of the records of a ballot's or a voter's channel that are read now.
    pub fn shown(&mut self, of: Place) -> Act {
        let records = self.world.shown_records(of);
        let (word, bit) = self.bit_of(records);
        Act::Shown { of, word, bit }
    }

    fn bit_of(&mut self, records: Vec<Range<usize>>) -> (usize, u32) {
        let words: Vec<usize> = records.into_iter().flatten().collect();
        let word = words[self.random.usize(0..words.len())];
        (word, self.random.u32(0..64))
    }

    /// A bit of a replica's ballot.
    pub fn ballot_bit(&mut self, replica: usize) -> (usize, u32) {
        let of = match self.is_sealed() {
            true => Place::Ballot(replica),
            false => Place::Replica(replica),
        };
        let records = self.world.records(of);
        let ballot = records.into_iter().next().unwrap_or(0..1);
        (self.random.usize(ballot), self.random.u32(0..64))
    }
}
