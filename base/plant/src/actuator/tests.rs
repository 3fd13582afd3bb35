//! What a set and an attacker can and cannot get an actuator to do.
//!
//! The attacker has the line: it loses, repeats, delays and invents frames. It has the voter's
//! sandbox and the driver, so it has seen all that the set ever said, and it may have the keys
//! of fewer places than half.
extern crate std;
use super::*;
use crate::frames::Decoder;
use crate::tag::{PlaceTag, Tags};
use std::vec::Vec;

const PERIOD: Duration = Duration::from_nanos(100_000_000);
const PATIENCE: Duration = Duration::from_nanos(300_000_000);
const SAFE: [u64; 2] = [0, 0xdead];
const SENSOR: Key = Key([71, 72]);

fn settings(places: u8) -> Settings {
    Settings {
        set: 3,
        places,
        keys: core::array::from_fn(|place| Key([place as u64 + 1, 99])),
        sensor: SENSOR,
        answers: 2,
        patience: PATIENCE,
        safe: Output::new(&SAFE),
    }
}

/// A set at work with its actuator, in lock-step: output E answers sample E − 1.
#[derive(Clone, Debug)]
struct Line {
    settings: Settings,
    actuator: Actuator,
    numbers: [u32; MAX_PLACES],
    now: Instant,
    epoch: u64,
    /// The challenges of the samples so far, from the one of number zero.
    challenges: Vec<Challenge>,
}

impl Line {
    fn new(places: u8) -> Self {
        let settings = settings(places);
        let now = Instant::from_nanos(1_000_000_000);
        Self {
            settings,
            actuator: Actuator::start(settings, Kept::default(), now).unwrap(),
            numbers: [0; MAX_PLACES],
            now,
            epoch: 0,
            challenges: std::vec![Challenge::default()],
        }
    }

    /// One that has been at work for some epochs.
    fn at_work(places: u8) -> Self {
        let mut line = Self::new(places);
        for _ in 0..10 {
            line.pass();
        }
        line
    }

    /// What sound places compute in an epoch.
    fn output(epoch: u64) -> [u64; 3] {
        [epoch, epoch.wrapping_mul(0x9e37_79b9_7f4a_7c15), 7]
    }

    /// The challenge that the output of this epoch answers.
    fn challenge(&self) -> Challenge {
        let newest = self.challenges.len() - 1;
        self.challenges[newest.saturating_sub(1)]
    }

    /// The tag that a place makes with its key of that number.
    fn tag(&self, place: u8, number: u32, of: &Command) -> PlaceTag {
        let key = self.settings.keys[usize::from(place)].numbered(number);
        key.tag(&Statement {
            set: self.settings.set,
            place,
            epoch: of.epoch,
            challenge: of.challenge,
            output: &of.words[..usize::from(of.count).min(MESSAGE_WORDS)],
        })
    }

    /// The command of this epoch without tags.
    fn untagged(&self) -> Command {
        let mut command = Command {
            epoch: self.epoch,
            challenge: self.challenge(),
            count: 3,
            ..Command::default()
        };
        command.words[..3].copy_from_slice(&Self::output(self.epoch));
        command
    }

    fn tagged_by(&self, places: impl Iterator<Item = u8>, mut command: Command) -> Command {
        command.tags = Tags::NONE;
        for place in places {
            let number = self.numbers[usize::from(place)];
            command.tags.put(place, self.tag(place, number, &command));
        }
        command
    }

    /// The command of this epoch with the tags of all places.
    fn command(&self) -> Command {
        self.tagged_by(0..self.settings.places, self.untagged())
    }

    /// Hands the actuator a command, and takes the sample that answers it.
    fn send(&mut self, command: &Command) -> Outcome {
        let outcome = self.actuator.accept(command, self.now);
        let mut bytes = [0; MAX_FRAME];
        let length = self.actuator.sample(&[1, 2], &mut bytes);
        let mut decoder = Decoder::new();
        let mut frames = bytes[..length]
            .iter()
            .filter_map(|byte| decoder.push(*byte));
        let Some(Frame::Sample(sample)) = frames.next() else {
            panic!("a sample answers");
        };
        assert_eq!(sample.number, command.epoch.wrapping_add(1));
        let is_accepted = matches!(outcome, Outcome::Accepted(_));
        assert_eq!(sample.taken, is_accepted, "{outcome:?}");
        self.challenges.push(sample.challenge);
        outcome
    }

    /// The next epoch begins.
    fn next_epoch(&mut self) {
        self.epoch += 1;
        self.now = self.now.saturating_add(PERIOD);
    }

    /// An epoch passes in which all is well. Returns the command.
    fn pass(&mut self) -> Command {
        let command = self.command();
        let outcome = self.send(&command);
        let expected = match self.epoch {
            0 | 1 => Outcome::Refused(Refusal::NoSample),
            _ => accepted(self.epoch),
        };
        assert_eq!(outcome, expected, "epoch {}", self.epoch);
        self.next_epoch();
        command
    }

    /// What becomes of a command now, without any trace of it.
    fn judged(&self, command: &Command) -> Outcome {
        self.actuator.clone().accept(command, self.now)
    }
}

fn accepted(epoch: u64) -> Outcome {
    Outcome::Accepted(Output::new(&Line::output(epoch)))
}

#[test]
fn what_a_sound_set_says_is_accepted_from_the_first_answer_on_and_accuses_nobody() {
    for places in 1..=MAX_PLACES as u8 {
        let mut line = Line::new(places);
        for _ in 0..100 {
            line.pass();
            assert_eq!(line.actuator.bad(), Places::NONE);
            assert_eq!(line.actuator.due(line.now), None);
        }
    }
}

#[test]
fn an_output_counts_exactly_if_more_than_half_of_the_places_tagged_it() {
    // Each place's tag is absent, forged, or good.
    for places in 1..=MAX_PLACES as u8 {
        let line = Line::at_work(places);
        for choice in 0..3_u32.pow(u32::from(places)) {
            let of = |place: u8| choice / 3_u32.pow(u32::from(place)) % 3;
            let mut command = line.untagged();
            let (mut good, mut forged) = (Places::NONE, Places::NONE);
            for place in 0..places {
                let tag = line.tag(place, 0, &command);
                match of(place) {
                    0 => {}
                    1 => {
                        forged = forged.with(place);
                        let tag = tag.tag ^ 1 << (choice % 64);
                        command.tags.put(place, PlaceTag { number: 0, tag });
                    }
                    _ => {
                        good = good.with(place);
                        command.tags.put(place, tag);
                    }
                }
            }
            let mut actuator = line.actuator.clone();
            let outcome = actuator.accept(&command, line.now);
            let (expected, bad) = match 2 * good.count() > u32::from(places) {
                true => (accepted(line.epoch), forged),
                false => (Outcome::Refused(Refusal::Tags { good }), Places::NONE),
            };
            assert_eq!(outcome, expected, "{places} places, choice {choice}");
            assert_eq!(actuator.bad(), bad, "{places} places, choice {choice}");
        }
    }
}

#[test]
fn a_replayed_output_is_refused_whenever_it_comes() {
    let mut line = Line::at_work(3);
    let mut seen = Vec::new();
    for _ in 0..20 {
        for old in &seen {
            assert!(matches!(
                line.judged(old),
                Outcome::Refused(Refusal::Answered | Refusal::NotAsked)
            ));
        }
        let command = line.command();
        let mut actuator = line.actuator.clone();
        let again = Outcome::Refused(Refusal::Answered);
        assert_eq!(actuator.accept(&command, line.now), accepted(line.epoch));
        assert_eq!(actuator.accept(&command, line.now), again, "at once");
        seen.push(line.pass());
    }
}

#[test]
fn a_delayed_output_is_refused_after_as_many_samples_or_as_much_time_as_it_may_take() {
    for answers in 1..=MOST_ANSWERS {
        for held in 0..12 {
            let mut line = Line::at_work(3);
            line.settings.answers = answers as u8;
            let kept = line.actuator.kept();
            line.actuator = Actuator::start(line.settings, kept, line.now).unwrap();
            line.send(&Command::default());
            let command = line.tagged_by(
                0..3,
                Command {
                    challenge: *line.challenges.last().unwrap(),
                    ..line.untagged()
                },
            );
            for _ in 0..held {
                line.send(&Command::default());
            }
            let expected = match held < answers {
                true => accepted(line.epoch),
                false => Outcome::Refused(Refusal::NotAsked),
            };
            assert_eq!(line.send(&command), expected, "{answers}, held {held}");
        }
    }
    // Where no other sample is asked for, time alone decides.
    let mut line = Line::at_work(3);
    let command = line.command();
    line.now = line.now.saturating_add(PATIENCE - PERIOD - PERIOD);
    assert_eq!(line.judged(&command), accepted(line.epoch));
    line.now = line.now.saturating_add(Duration::from_nanos(1));
    let late = Outcome::Refused(Refusal::TooLate);
    assert_eq!(line.judged(&command), late);
}

#[test]
fn an_output_that_was_held_back_does_not_count_after_a_later_one() {
    let mut line = Line::at_work(3);
    line.settings.answers = 4;
    line.actuator = Actuator::start(line.settings, Kept::default(), line.now).unwrap();
    line.send(&Command::default());
    line.send(&Command::default());
    let held = line.command();
    let later = Command {
        challenge: *line.challenges.last().unwrap(),
        ..line.untagged()
    };
    let later = line.tagged_by(0..3, later);
    assert_eq!(line.judged(&held), accepted(line.epoch));
    assert_eq!(line.send(&later), accepted(line.epoch));
    let answered = Outcome::Refused(Refusal::Answered);
    assert_eq!(line.judged(&held), answered);
}

#[test]
fn outputs_of_later_epochs_answer_a_sample_again_as_long_as_it_is_one_of_the_last() {
    // The samples after `held` came too late to be frozen: the set runs with that one again.
    for answers in 1..=MOST_ANSWERS as u64 {
        let mut line = Line::at_work(3);
        line.settings.answers = answers as u8;
        line.settings.patience = Duration::MAX;
        line.actuator = Actuator::start(line.settings, Kept::default(), line.now).unwrap();
        line.send(&Command::default());
        let held = *line.challenges.last().unwrap();
        for newer in 0..12 {
            let again = Command {
                challenge: held,
                ..line.untagged()
            };
            let again = line.tagged_by(0..3, again);
            let expected = match newer < answers {
                true => accepted(line.epoch),
                false => Outcome::Refused(Refusal::NotAsked),
            };
            assert_eq!(
                line.send(&again),
                expected,
                "{answers} answers, {newer} newer"
            );
            // The same output counts once, and so does any of an earlier epoch.
            let refused = line.judged(&again);
            let (answered, not_asked) = (Refusal::Answered, Refusal::NotAsked);
            assert!(
                [answered, not_asked]
                    .map(Outcome::Refused)
                    .contains(&refused)
            );
            line.next_epoch();
        }
    }
}

#[test]
fn an_output_of_an_earlier_epoch_does_not_answer_a_sample_after_one_of_a_later() {
    let mut line = Line::at_work(3);
    line.settings.answers = 3;
    line.actuator = Actuator::start(line.settings, Kept::default(), line.now).unwrap();
    line.send(&Command::default());
    line.send(&Command::default());
    let held_back = line.command();
    line.next_epoch();
    let again = Command {
        challenge: held_back.challenge,
        ..line.untagged()
    };
    let again = line.tagged_by(0..3, again);
    assert_eq!(line.send(&again), accepted(line.epoch));
    assert_eq!(line.judged(&held_back), Outcome::Refused(Refusal::Answered));
}

#[test]
fn a_machine_that_has_started_anew_counts_its_epochs_from_zero_and_is_listened_to() {
    let mut line = Line::at_work(3);
    line.epoch = 0;
    let nothing = Outcome::Refused(Refusal::NoSample);
    for _ in 0..2 {
        let command = Command {
            challenge: Challenge::default(),
            ..line.untagged()
        };
        let command = line.tagged_by(0..3, command);
        assert_eq!(line.send(&command), nothing);
        line.next_epoch();
    }
    for _ in 0..10 {
        line.pass();
    }
}

#[test]
fn what_a_place_tagged_in_advance_answers_nothing() {
    // A faulty place tags for every count that is to come, under every reading of the challenge
    // that does not need the actuator's own key.
    let mut line = Line::at_work(3);
    let mut prepared = Vec::new();
    for count in 0..200_u64 {
        for word in [count, 1 << 40 | count, count + line.challenges.len() as u64] {
            prepared.push(Challenge::from_word(word));
        }
        for place in 1..3 {
            prepared.push(line.settings.keys[place].challenge(1, count));
        }
        prepared.push(SENSOR.challenge(1, count));
    }
    for _ in 0..100 {
        for challenge in &prepared {
            let command = Command {
                challenge: *challenge,
                ..line.untagged()
            };
            let command = line.tagged_by(0..3, command);
            assert!(matches!(
                line.judged(&command),
                Outcome::Refused(Refusal::NotAsked | Refusal::NoSample)
            ));
        }
        line.pass();
    }
}

#[test]
fn a_changed_bit_anywhere_in_what_was_tagged_is_refused() {
    let line = Line::at_work(3);
    let sound = line.command();
    for bit in 0..64 {
        let mut changed = Vec::new();
        for word in 0..3 {
            let mut command = sound;
            command.words[word] ^= 1 << bit;
            changed.push(command);
        }
        changed.push(Command {
            epoch: sound.epoch ^ 1 << bit,
            ..sound
        });
        changed.push(Command {
            challenge: Challenge::from_word(sound.challenge.to_word() ^ 1 << bit),
            ..sound
        });
        for command in changed {
            assert!(matches!(line.judged(&command), Outcome::Refused(_)));
        }
    }
    for count in (1..=u8::MAX).filter(|count| *count != sound.count) {
        let command = Command { count, ..sound };
        assert!(matches!(line.judged(&command), Outcome::Refused(_)));
    }
    let nothing = Command { count: 0, ..sound };
    assert_eq!(line.judged(&nothing), Outcome::Nothing);
}

#[test]
fn tags_count_for_the_place_that_made_them_and_no_other() {
    // Every way to put the tags of three places at three places, or none.
    let line = Line::at_work(3);
    let sound = line.command();
    for choice in 0..4_u32.pow(3) {
        let mut command = sound;
        command.tags = Tags::NONE;
        let mut good = Places::NONE;
        for place in 0..3 {
            let from = (choice / 4_u32.pow(u32::from(place)) % 4) as u8;
            if let Some(tag) = sound.tags.get(from) {
                command.tags.put(place, tag);
            }
            if from == place {
                good = good.with(place);
            }
        }
        let expected = match good.count() >= 2 {
            true => accepted(line.epoch),
            false => Outcome::Refused(Refusal::Tags { good }),
        };
        assert_eq!(line.judged(&command), expected, "{choice}");
    }
}

#[test]
fn keys_of_half_of_the_places_or_fewer_are_not_enough_whatever_they_tag() {
    for places in 2..=MAX_PLACES as u8 {
        let line = Line::at_work(places);
        for stolen in 0..1_u32 << places {
            if 2 * stolen.count_ones() > u32::from(places) {
                continue;
            }
            let wrong = Command {
                words: [666; MESSAGE_WORDS],
                ..line.untagged()
            };
            let held: Vec<u8> = (0..places)
                .filter(|place| stolen >> place & 1 == 1)
                .collect();
            let honest = line.tagged_by(held.iter().copied(), wrong);
            // With each key they have they tag for each place that they lack.
            for forger in &held {
                let mut command = honest;
                for place in (0..places).filter(|place| !held.contains(place)) {
                    let key = line.settings.keys[usize::from(*forger)].numbered(0);
                    let tag = key.tag(&Statement {
                        set: line.settings.set,
                        place,
                        epoch: wrong.epoch,
                        challenge: wrong.challenge,
                        output: &wrong.words[..3],
                    });
                    command.tags.put(place, tag);
                }
                let outcome = line.judged(&command);
                assert!(matches!(outcome, Outcome::Refused(Refusal::Tags { .. })));
            }
        }
    }
}

#[test]
fn the_key_from_before_a_restart_is_good_until_the_new_one_has_been_used_and_never_after() {
    let mut line = Line::at_work(3);
    // The sandbox at place 0 has left its key in its channel, and is started anew.
    let stolen = 0;
    line.numbers[0] = 1;
    line.pass();
    assert_eq!(line.actuator.kept().numbers[..3], [1, 0, 0]);
    // Later the one at place 1 is faulty, and uses both.
    let mut wrong = Command {
        words: [666; MESSAGE_WORDS],
        ..line.untagged()
    };
    wrong.tags.put(0, line.tag(0, stolen, &wrong));
    wrong.tags.put(1, line.tag(1, 0, &wrong));
    let good = Places::NONE.with(1);
    let refused = Outcome::Refused(Refusal::Tags { good });
    assert_eq!(line.judged(&wrong), refused);
    // To say that the stolen key is a newer one does not make it one.
    for number in [1, 2, u32::MAX] {
        let tag = line.tag(0, stolen, &wrong).tag;
        wrong.tags.put(0, PlaceTag { number, tag });
        let mut attacked = line.clone();
        assert_eq!(attacked.send(&wrong), refused);
        assert_eq!(attacked.actuator.kept().numbers[0], 1);
        attacked.next_epoch();
        attacked.pass();
    }
}

#[test]
fn an_output_of_another_set_is_refused_though_the_keys_are_the_same() {
    let line = Line::at_work(3);
    let mut other = line.clone();
    other.settings.set = 4;
    let good = Places::NONE;
    let refused = Outcome::Refused(Refusal::Tags { good });
    assert_eq!(line.judged(&other.command()), refused);
}

#[test]
fn no_piece_of_frames_is_accepted_however_they_are_cut() {
    let mut line = Line::at_work(3);
    let old = line.pass();
    let sound = line.command();
    let bytes = |command: Command| {
        let mut bytes = [0; MAX_FRAME];
        let length = Frame::Command(command).encode(&mut bytes);
        bytes[..length].to_vec()
    };
    let (old, whole) = (bytes(old), bytes(sound));
    let outcomes = |stream: &[u8]| {
        let mut decoder = Decoder::new();
        let frames = stream.iter().filter_map(|byte| decoder.push(*byte));
        let commands = frames.filter_map(|frame| match frame {
            Frame::Command(command) => Some(command),
            Frame::Sample(_) => None,
        });
        commands
            .map(|command| line.judged(&command))
            .collect::<Vec<_>>()
    };
    assert_eq!(outcomes(&whole), [accepted(line.epoch)]);
    for cut in 0..whole.len() {
        assert!(outcomes(&whole[..cut]).is_empty(), "the first {cut} bytes");
        assert!(outcomes(&whole[cut + 1..]).is_empty(), "without {cut}");
        for other in 0..old.len() {
            let spliced = [&whole[..cut], &old[other..]].concat();
            let outcomes = outcomes(&spliced);
            assert!(!outcomes.contains(&accepted(line.epoch)), "{cut}, {other}");
        }
    }
}

#[test]
fn after_a_power_cycle_of_the_actuator_nothing_from_before_is_accepted() {
    let mut line = Line::at_work(3);
    line.numbers[2] = 5;
    let before: Vec<Command> = (0..10).map(|_| line.pass()).collect();
    let (waiting, challenges) = (line.command(), line.challenges.clone());
    // It may lose its power at any time, and several times in a row.
    for _ in 0..3 {
        let kept = line.actuator.kept();
        line.actuator = Actuator::start(line.settings, kept, line.now).unwrap();
        for command in before.iter().chain([&waiting]) {
            let refused = Outcome::Refused(Refusal::NotAsked);
            assert_eq!(line.judged(command), refused);
        }
        // Not even if all that the set tagged before is said of an epoch of now.
        for challenge in &challenges {
            let command = Command {
                challenge: *challenge,
                ..line.untagged()
            };
            let command = line.tagged_by(0..3, command);
            assert!(matches!(line.judged(&command), Outcome::Refused(_)));
        }
    }
    assert_eq!(line.actuator.kept().numbers[2], 5, "keys given up stay so");
    assert_eq!(line.actuator.kept().boot, 4);
    // It is asked for a sample or two, and all is well again.
    line.send(&Command::default());
    line.send(&Command::default());
    assert_eq!(line.send(&line.command()), accepted(line.epoch));
    let none = Kept {
        boot: u32::MAX,
        ..Kept::default()
    };
    assert!(Actuator::start(line.settings, none, line.now).is_none());
}

#[test]
fn after_a_power_cycle_of_the_machine_nothing_from_before_is_accepted() {
    let mut line = Line::new(3);
    let before: Vec<Command> = (0..30).map(|_| line.pass()).collect();
    // Its epochs begin again at zero, where the frames of before are of the same epochs.
    line.epoch = 0;
    line.challenges = std::vec![Challenge::default(), Challenge::default()];
    for _ in 0..30 {
        for old in &before {
            assert!(matches!(line.judged(old), Outcome::Refused(_)));
        }
        line.pass();
    }
}

#[test]
fn the_next_sample_says_that_an_output_was_taken_and_whose_tags_were_bad_and_old_frames_accuse_nobody()
 {
    let mut line = Line::at_work(5);
    let old = line.pass();
    let mut command = line.command();
    command.tags.put(1, line.tag(1, 0, &line.untagged()));
    command.tags.put(3, line.tag(2, 0, &line.untagged()));
    let bad = Places::NONE.with(3);
    assert_eq!(line.actuator.accept(&command, line.now), accepted(11));
    let mut bytes = [0; MAX_FRAME];
    let length = line.actuator.sample(&[4, 5], &mut bytes);
    let mut decoder = Decoder::new();
    let frame = bytes[..length].iter().find_map(|byte| decoder.push(*byte));
    let Some(Frame::Sample(sample)) = frame else {
        panic!("{frame:?}");
    };
    assert_eq!((sample.number, sample.taken, sample.bad), (12, true, bad));
    // What it says is the sensor's word.
    let measured = Measured {
        set: 3,
        number: 12,
        challenge: sample.challenge,
        taken: true,
        bad,
        words: &[4, 5],
    };
    assert_eq!(sample.tag, SENSOR.tag_sample(&measured));
    assert!(matches!(
        line.actuator.accept(&old, line.now),
        Outcome::Refused(_)
    ));
    assert_eq!(line.actuator.bad(), Places::NONE);
}

#[test]
fn without_an_output_for_longer_than_its_patience_it_goes_safe_until_one_comes() {
    let mut line = Line::new(3);
    let start = line.now;
    let just = start.saturating_add(PATIENCE);
    let later = just.saturating_add(Duration::from_nanos(1));
    assert_eq!(line.actuator.clone().due(just), None);
    let safe = Some(Output::new(&SAFE));
    assert_eq!(line.actuator.due(later), safe, "from its start on");
    // Time that runs backwards does not undo that.
    assert_eq!(line.actuator.due(start), safe);

    let mut line = Line::at_work(3);
    // What asks for samples, and what is refused, is no output.
    let mut wrong = line.command();
    wrong.words[0] ^= 1;
    for _ in 0..2 {
        assert_eq!(line.actuator.due(line.now), None);
        assert!(matches!(line.send(&wrong), Outcome::Refused(_)));
        line.next_epoch();
    }
    // Three periods after the newest output.
    assert_eq!(line.actuator.due(line.now), None);
    line.next_epoch();
    assert_eq!(line.actuator.due(line.now), safe);
    assert_eq!(line.send(&line.command()), accepted(line.epoch));
    assert_eq!(line.actuator.due(line.now), None);
}

/// Marsaglia's xorshift64*.
struct Luck(u64);

impl Luck {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let word = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d);
        (word >> 33) as usize % limit
    }

    fn one_of<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }
}

/// An attacker that has the line, and the keys of some places.
struct Attacker {
    luck: Luck,
    stolen: Vec<u8>,
    seen: Vec<Command>,
}

impl Attacker {
    /// A frame with each field from something seen, something made up, or something tagged
    /// with a stolen key.
    fn frame(&mut self, line: &Line) -> Command {
        let luck = &mut self.luck;
        let mut command = luck.one_of(&self.seen);
        if luck.below(2) == 0 {
            command.epoch = [line.epoch, luck.one_of(&self.seen).epoch][luck.below(2)];
        }
        if luck.below(2) == 0 {
            command.challenge = luck.one_of(&line.challenges);
        }
        if luck.below(2) == 0 {
            let other = luck.one_of(&self.seen);
            (command.count, command.words) = (other.count, other.words);
        }
        if luck.below(2) == 0 {
            command.words[luck.below(3)] ^= 1 << luck.below(64);
        }
        if luck.below(8) == 0 {
            command.count = luck.below(usize::from(u8::MAX)) as u8;
        }
        for place in 0..line.settings.places {
            let donor = luck.one_of(&self.seen);
            let from = luck.below(usize::from(line.settings.places)) as u8;
            let forger = luck.one_of(&self.stolen);
            let tag = match luck.below(6) {
                0 => donor.tags.get(place),
                1 => donor.tags.get(from),
                2 => {
                    let key = line.settings.keys[usize::from(forger)].numbered(0);
                    Some(key.tag(&Statement {
                        set: line.settings.set,
                        place,
                        epoch: command.epoch,
                        challenge: command.challenge,
                        output: &command.words[..usize::from(command.count).min(MESSAGE_WORDS)],
                    }))
                }
                _ => None,
            };
            if let Some(tag) = tag {
                command.tags.put(place, tag);
            }
        }
        command
    }
}

#[test]
fn an_attacker_at_will_gets_only_what_a_sound_place_said_in_time_and_only_once() {
    for places in [3, 5, 7_u8] {
        let mut line = Line::at_work(places);
        let stolen: Vec<u8> = (0..places / 2).collect();
        let mut attacker = Attacker {
            luck: Luck(0x5eed + u64::from(places)),
            stolen,
            seen: std::vec![line.command()],
        };
        let mut genuine = std::vec![line.command()];
        let mut taken = Vec::new();
        for round in 0..60_000 {
            // The sound places say something of their epoch; it may reach the actuator, or not.
            if round % 6 == 0 {
                line.next_epoch();
                attacker.seen.push(line.command());
                genuine.push(line.command());
                if attacker.seen.len() > 12 {
                    attacker.seen.remove(0);
                }
            }
            if line.challenges.len() > 12 {
                line.challenges.remove(0);
            }
            let frame = match attacker.luck.below(8) {
                0 => {
                    genuine.push(line.command());
                    line.command()
                }
                _ => attacker.frame(&line),
            };
            let outcome = line.send(&frame);
            let Outcome::Accepted(output) = outcome else {
                continue;
            };
            let said = genuine.iter().any(|said| {
                (said.epoch, said.challenge) == (frame.epoch, frame.challenge)
                    && output.words() == Line::output(said.epoch)
            });
            assert!(said, "{places} places, round {round}: {frame:?}");
            assert!(!taken.contains(&frame.challenge), "twice");
            taken.push(frame.challenge);
        }
        assert!(taken.len() > 100, "the attacker does not only lose frames");
    }
}

#[test]
fn with_the_keys_of_a_majority_an_attacker_gets_anything() {
    // The attack of the test before is one: a place more, and it succeeds.
    let mut line = Line::at_work(3);
    let mut attacker = Attacker {
        luck: Luck(0x5eed),
        stolen: std::vec![0, 1],
        seen: std::vec![line.command()],
    };
    let mut wrong = 0;
    for _ in 0..20_000 {
        if line.challenges.len() > 12 {
            line.challenges.remove(0);
        }
        let mut frame = attacker.frame(&line);
        frame = line.tagged_by([0, 1].into_iter(), frame);
        if let Outcome::Accepted(output) = line.send(&frame) {
            wrong += u32::from(output.words() != Line::output(frame.epoch));
        }
    }
    assert!(wrong > 100, "{wrong}");
}
