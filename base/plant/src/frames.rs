//! Frames between the arbitrator's serial driver and the device outside the machine:
//! numbered commands out, numbered samples in.
//!
//! The exchange is in lock-step. The command of epoch E makes the device apply output
//! E, advance by one period and answer with sample E + 1; so a sample is asked for a
//! whole period ahead. The voter of epoch E freezes the newest sample as the input of
//! epoch E + 1: it is fresh if it is sample E, and stale otherwise. A command without
//! words says that no output was agreed: the device advances with what it has.
//!
//! A frame is two synchronizing bytes, a kind, a count of words, one of tags, the body and
//! the CRC-32 of all between. Numbers are little-endian. The decoder holds one frame at
//! most and finds the next one after any garbage. Zeros at the end of the words are not sent:
//! see [`without_zeros_at_end`]. A frame that has some is none, so that each output has one
//! encoding.
//!
//! The CRC says that a frame came as it was sent. That its output is what the replicas cast
//! is said by their tags, which the arbitrator only hands on, and the output's digest: the
//! other end makes them anew and drops an output that does not fit.
use crate::tag::{Challenge, MAX_PLACES, PlaceTag, Places, Tags};
use tern_abi::system_call::MESSAGE_WORDS;
use tern_units::StateWords;

/// The bytes every frame starts with.
pub const SYNC: [u8; 2] = [0x7e, 0xa5];
/// The longest frame, in bytes.
pub const MAX_FRAME: usize = HEAD + IN_COMMAND + TAG * MAX_PLACES + 8 * MESSAGE_WORDS + CRC;

const HEAD: usize = 5;
const STATUS: usize = 24;
const DIGEST: usize = 8;
const CHALLENGE: usize = 8;
/// Whether an output was taken.
const TAKEN: usize = 1;
/// A mask of places.
const PLACES: usize = 1;
/// A tag with its key's number.
const TAG: usize = 4 + 8;
/// The body of a command before its tags.
const IN_COMMAND: usize = 8 + STATUS + DIGEST + CHALLENGE + PLACES;
/// The body of a sample before its words.
const IN_SAMPLE: usize = 8 + CHALLENGE + TAKEN + PLACES + 8;
const CRC: usize = 4;
const COMMAND: u8 = 0xc1;
const SAMPLE: u8 = 0x51;
const NOBODY: u8 = 0xff;

/// Returns the words of an output or a measurement as they are counted, tagged and sent: without
/// the zeros at their end, which say nothing and take time on a line. The first word stays, since
/// a command without words has no output.
#[must_use]
pub fn without_zeros_at_end(words: &[u64]) -> &[u64] {
    let last = words.iter().rposition(|word| *word != 0).unwrap_or(0);
    &words[..words.len().min(last + 1)]
}

/// What the vote of an epoch found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Outcome {
    /// All replicas agreed.
    #[default]
    Unanimous = 0,
    /// A majority agreed; the others are in [`Status::faulty`].
    Majority = 1,
    /// No majority in as many epochs in a row as stop the set: it releases nothing.
    Stopped = 2,
    /// Nobody voted: the set is a single copy.
    Unprotected = 3,
    /// A majority agreed on the state it has, without having run in the epoch: there is no
    /// output, and the set goes on.
    Held = 4,
    /// No majority in the epoch, or no vote: there is no output.
    Lost = 5,
}

/// What the arbitrator tells the outside about the replica set, once an epoch. Masks
/// have bit n for replica n.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// What the vote found.
    pub outcome: Outcome,
    /// Replicas in the set.
    pub replicas: u8,
    /// Replicas that are not part of the majority, for whatever reason.
    pub faulty: u8,
    /// Those of them whose ballot did not come in time.
    pub timeout: u8,
    /// Those of them that are under repair and said so.
    pub recovering: u8,
    /// The replica to be repaired in this epoch, if any.
    pub target: Option<u8>,
    /// The replica that gives the pages.
    pub donor: Option<u8>,
    /// The replica that confirms them.
    pub witness: Option<u8>,
    /// Rounds that the repair has taken so far.
    pub round: u16,
    /// Epochs since the one whose job the agreed state has seen last: none where it has run.
    pub behind: u16,
    /// Pages that the target has taken over in all rounds so far.
    pub repaired: u32,
    /// Pages that differ from the majority's in this epoch.
    pub differing: u32,
    /// Epochs so far whose input was stale.
    pub stale: u32,
}

/// What the arbitrator sends: the agreed output of an epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Command {
    /// The epoch the output was computed in.
    pub epoch: u64,
    /// What the vote found.
    pub status: Status,
    /// The digest of epoch and output, as the replicas cast it.
    pub digest: u64,
    /// The challenge of the sample that the output answers.
    pub challenge: Challenge,
    /// The replicas' tags of the output.
    pub tags: Tags,
    /// Words of [`Command::words`] in use; zero if no output was agreed.
    pub count: u8,
    /// The output, meaningless beyond [`Command::count`].
    pub words: [u64; MESSAGE_WORDS],
}

/// What the device answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sample {
    /// One more than the epoch of the command it answers.
    pub number: u64,
    /// What the device asks: the output that is computed from this sample answers it.
    pub challenge: Challenge,
    /// Whether the output of the command that it answers was taken.
    pub taken: bool,
    /// Places whose tags of the last output were bad.
    pub bad: Places,
    /// The sensor's tag; zero of a device that does not tag.
    pub tag: u64,
    /// Words of [`Sample::words`] in use.
    pub count: u8,
    /// The measurement, meaningless beyond [`Sample::count`].
    pub words: [u64; MESSAGE_WORDS],
}

impl Sample {
    /// Whether it is to be held in place of `held`, where sample `asked` is the last that was
    /// asked for. One with a higher number answers nothing: held, it would keep out all that do.
    #[must_use]
    pub const fn replaces(&self, held: &Self, asked: u64) -> bool {
        held.number < self.number && self.number <= asked
    }
}

/// A frame of either direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame {
    /// From the arbitrator.
    Command(Command),
    /// From the device.
    Sample(Sample),
}

impl Frame {
    /// Writes the frame into `out` and returns its length. A count of words beyond
    /// [`MESSAGE_WORDS`] is taken as that, and zeros at the end of the words are left out.
    pub fn encode(&self, out: &mut [u8; MAX_FRAME]) -> usize {
        let mut to = Cursor { bytes: out, at: 0 };
        to.put(&SYNC);
        let (count, words) = match self {
            Self::Command(command) => (command.count, &command.words),
            Self::Sample(sample) => (sample.count, &sample.words),
        };
        let words = &words[..usize::from(count).min(MESSAGE_WORDS)];
        let words = without_zeros_at_end(words);
        let count = words.len() as u8;
        match self {
            Self::Command(command) => {
                let present = command.tags.places();
                to.put(&[COMMAND, count, present.count() as u8]);
                to.put(&command.epoch.to_le_bytes());
                to.put(&command.status.to_bytes());
                to.put(&command.digest.to_le_bytes());
                to.put(&command.challenge.to_word().to_le_bytes());
                to.put(&[present.0]);
                for tag in (0..MAX_PLACES as u8).filter_map(|place| command.tags.get(place)) {
                    to.put(&tag.number.to_le_bytes());
                    to.put(&tag.tag.to_le_bytes());
                }
            }
            Self::Sample(sample) => {
                to.put(&[SAMPLE, count, 0]);
                to.put(&sample.number.to_le_bytes());
                to.put(&sample.challenge.to_word().to_le_bytes());
                to.put(&[u8::from(sample.taken), sample.bad.0]);
                to.put(&sample.tag.to_le_bytes());
            }
        }
        for word in words {
            to.put(&word.to_le_bytes());
        }
        let end = to.at;
        let crc = crc32(&to.bytes[SYNC.len()..end]);
        to.put(&crc.to_le_bytes());
        to.at
    }

    /// Decodes a whole frame whose sum has been checked.
    fn decode(frame: &[u8]) -> Option<Self> {
        let count = frame[3];
        let number = u64_at(frame, HEAD);
        let mut words = [0; MESSAGE_WORDS];
        let start = frame.len() - CRC - 8 * usize::from(count);
        for (index, word) in words[..usize::from(count)].iter_mut().enumerate() {
            *word = u64_at(frame, start + 8 * index);
        }
        if without_zeros_at_end(&words[..usize::from(count)]).len() != usize::from(count) {
            return None;
        }
        if frame[2] == SAMPLE {
            let challenge = HEAD + 8;
            let taken = challenge + CHALLENGE;
            let bad = taken + TAKEN;
            return Some(Self::Sample(Sample {
                number,
                challenge: Challenge::from_word(u64_at(frame, challenge)),
                taken: match frame[taken] {
                    0 => false,
                    1 => true,
                    _ => return None,
                },
                bad: Places(frame[bad]),
                tag: u64_at(frame, bad + PLACES),
                count,
                words,
            }));
        }
        let status = Status::from_bytes(&frame[HEAD + 8..HEAD + 8 + STATUS])?;
        let challenge = HEAD + 8 + STATUS + DIGEST;
        let present = Places(frame[challenge + CHALLENGE]);
        let tags = &frame[HEAD + IN_COMMAND..start];
        Some(Self::Command(Command {
            epoch: number,
            status,
            digest: u64_at(frame, HEAD + 8 + STATUS),
            challenge: Challenge::from_word(u64_at(frame, challenge)),
            tags: decode_tags(present, tags)?,
            count,
            words,
        }))
    }
}

/// Decodes the tags of the places that are `present`; `None` if they are not as many.
fn decode_tags(present: Places, bytes: &[u8]) -> Option<Tags> {
    let mut tags = Tags::NONE;
    let mut pieces = bytes.chunks_exact(TAG);
    for place in (0..MAX_PLACES as u8).filter(|place| present.contains(*place)) {
        let (number, tag) = pieces.next()?.split_first_chunk::<4>()?;
        let number = u32::from_le_bytes(*number);
        let tag = u64_at(tag, 0);
        tags.put(place, PlaceTag { number, tag });
    }
    pieces.next().is_none().then_some(tags)
}

impl Status {
    fn to_bytes(self) -> [u8; STATUS] {
        let mut bytes = [0; STATUS];
        bytes[0] = self.outcome as u8;
        bytes[1] = self.replicas;
        bytes[2] = self.faulty;
        bytes[3] = self.timeout;
        bytes[4] = self.recovering;
        bytes[5] = self.target.unwrap_or(NOBODY);
        bytes[6] = self.donor.unwrap_or(NOBODY);
        bytes[7] = self.witness.unwrap_or(NOBODY);
        bytes[8..10].copy_from_slice(&self.round.to_le_bytes());
        bytes[10..12].copy_from_slice(&self.behind.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.repaired.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.differing.to_le_bytes());
        bytes[20..24].copy_from_slice(&self.stale.to_le_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let somebody = |byte: u8| (byte != NOBODY).then_some(byte);
        let u32_at = |at: usize| {
            u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
        };
        Some(Self {
            outcome: match bytes[0] {
                0 => Outcome::Unanimous,
                1 => Outcome::Majority,
                2 => Outcome::Stopped,
                3 => Outcome::Unprotected,
                4 => Outcome::Held,
                5 => Outcome::Lost,
                _ => return None,
            },
            replicas: bytes[1],
            faulty: bytes[2],
            timeout: bytes[3],
            recovering: bytes[4],
            target: somebody(bytes[5]),
            donor: somebody(bytes[6]),
            witness: somebody(bytes[7]),
            round: u16::from_le_bytes([bytes[8], bytes[9]]),
            behind: u16::from_le_bytes([bytes[10], bytes[11]]),
            repaired: u32_at(12),
            differing: u32_at(16),
            stale: u32_at(20),
        })
    }
}

/// Finds frames in a stream of bytes.
#[derive(Clone, Debug)]
pub struct Decoder {
    bytes: [u8; MAX_FRAME],
    held: u64,
    garbage: u64,
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Decoder {
    /// A decoder that has seen nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            bytes: [0; MAX_FRAME],
            held: 0,
            garbage: 0,
        }
    }

    /// Bytes so far that were part of no frame.
    #[must_use]
    pub const fn garbage(&self) -> u64 {
        self.garbage
    }

    /// Takes the next byte of the stream; returns the frame that it completes.
    pub fn push(&mut self, byte: u8) -> Option<Frame> {
        // More than there can be: a fault has changed the count, and with it what is held.
        if self.held >= MAX_FRAME as u64 {
            self.held = 0;
        }
        self.bytes[self.held as usize] = byte;
        self.held += 1;
        loop {
            match self.whole_frame() {
                Candidate::Incomplete => return None,
                Candidate::Whole(length) => {
                    let body = &self.bytes[..length];
                    let (checked, sum) = body.split_at(length - CRC);
                    let frame = if crc32(&checked[SYNC.len()..]).to_le_bytes() == *sum {
                        Frame::decode(body)
                    } else {
                        None
                    };
                    if frame.is_some() {
                        self.drop_front(length);
                        return frame;
                    }
                }
                Candidate::Garbage => {}
            }
            self.garbage = self.garbage.wrapping_add(1);
            self.drop_front(1);
        }
    }

    /// What the bytes held so far can still become.
    fn whole_frame(&self) -> Candidate {
        let held = &self.bytes[..self.held as usize];
        if held.iter().zip(&SYNC).any(|(byte, sync)| byte != sync) {
            return Candidate::Garbage;
        }
        let [_, _, kind, count, tags, ..] = *held else {
            return Candidate::Incomplete;
        };
        let (body, most_tags) = match kind {
            COMMAND => (IN_COMMAND, MAX_PLACES),
            SAMPLE => (IN_SAMPLE, 0),
            _ => return Candidate::Garbage,
        };
        if usize::from(count) > MESSAGE_WORDS || usize::from(tags) > most_tags {
            return Candidate::Garbage;
        }
        let length = HEAD + body + TAG * usize::from(tags) + 8 * usize::from(count) + CRC;
        if held.len() < length {
            Candidate::Incomplete
        } else {
            Candidate::Whole(length)
        }
    }

    fn drop_front(&mut self, count: usize) {
        self.bytes.copy_within(count..self.held as usize, 0);
        self.held -= count as u64;
    }
}

impl StateWords for Decoder {
    fn visit(&mut self, visitor: &mut dyn FnMut(&'static str, &mut u64)) {
        visitor("decoder.held", &mut self.held);
        visitor("decoder.garbage", &mut self.garbage);
        for bytes in self.bytes.chunks_mut(8) {
            let mut word = [0; 8];
            word[..bytes.len()].copy_from_slice(bytes);
            let mut value = u64::from_le_bytes(word);
            visitor("decoder.bytes", &mut value);
            bytes.copy_from_slice(&value.to_le_bytes()[..bytes.len()]);
        }
    }
}

enum Candidate {
    Incomplete,
    Whole(usize),
    Garbage,
}

struct Cursor<'a> {
    bytes: &'a mut [u8; MAX_FRAME],
    at: usize,
}

impl Cursor<'_> {
    fn put(&mut self, bytes: &[u8]) {
        self.bytes[self.at..self.at + bytes.len()].copy_from_slice(bytes);
        self.at += bytes.len();
    }
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(word)
}

/// CRC-32 of IEEE 802.3 (reflected polynomial 0xEDB88320), by a table of 256 entries.
fn crc32(bytes: &[u8]) -> u32 {
    const TABLE: [u32; 256] = {
        let mut table = [0; 256];
        let mut index = 0;
        while index < 256 {
            let mut entry = index as u32;
            let mut bit = 0;
            while bit < 8 {
                entry = if entry & 1 == 0 {
                    entry >> 1
                } else {
                    (entry >> 1) ^ 0xedb8_8320
                };
                bit += 1;
            }
            table[index] = entry;
            index += 1;
        }
        table
    };
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        TABLE[usize::from(crc as u8 ^ byte)] ^ (crc >> 8)
    })
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::vec::Vec;

    #[test]
    fn only_a_newer_sample_that_was_asked_for_is_taken() {
        let numbered = |number| Sample {
            number,
            ..Sample::default()
        };
        for (number, held, asked, taken) in [
            (5, 4, 5, true),
            (4, 2, 5, true),
            (5, 5, 5, false),
            (4, 5, 5, false),
            (6, 5, 5, false),
            (u64::MAX, 5, 6, false),
            (0, 0, 0, false),
        ] {
            let replaces = numbered(number).replaces(&numbered(held), asked);
            assert_eq!(replaces, taken, "{number} for {held}, asked for {asked}");
        }
    }

    fn tags(places: &[u8]) -> Tags {
        let mut tags = Tags::NONE;
        for place in places {
            let tag = PlaceTag {
                number: 0x8000_0001 + u32::from(*place),
                tag: 0x7ea5_7ea5_7ea5_7ea5,
            };
            tags.put(*place, tag);
        }
        tags
    }

    fn command() -> Frame {
        let mut words = [0; MESSAGE_WORDS];
        words[..3].copy_from_slice(&[1, u64::MAX, 0x7ea5_7ea5_7ea5_7ea5]);
        Frame::Command(Command {
            epoch: 0x0102_0304_0506_0708,
            status: Status {
                outcome: Outcome::Majority,
                replicas: 3,
                faulty: 0b010,
                timeout: 0b010,
                recovering: 0,
                target: Some(1),
                donor: Some(0),
                witness: Some(2),
                round: 4,
                behind: 3,
                repaired: 17,
                differing: 64,
                stale: 9,
            },
            digest: 0xfedc_ba98_7654_3210,
            challenge: Challenge::from_word(0x0a0b_0c0d_0e0f_1011),
            tags: tags(&[1, 6]),
            count: 3,
            words,
        })
    }

    fn sample(number: u64, count: u8) -> Frame {
        let mut words = [0; MESSAGE_WORDS];
        for index in 0..count {
            words[usize::from(index)] = number.wrapping_mul(u64::from(index) + 3);
        }
        Frame::Sample(Sample {
            number,
            challenge: Challenge::from_word(number ^ 0x55),
            taken: number % 2 == 1,
            bad: Places(0b101),
            tag: !number,
            count,
            words,
        })
    }

    fn bytes_of(frame: Frame) -> Vec<u8> {
        let mut out = [0; MAX_FRAME];
        let length = frame.encode(&mut out);
        out[..length].to_vec()
    }

    fn decode_all(bytes: &[u8]) -> Vec<Frame> {
        let mut decoder = Decoder::new();
        bytes
            .iter()
            .filter_map(|byte| decoder.push(*byte))
            .collect()
    }

    #[test]
    fn the_sum_is_the_crc_of_ieee_802_3() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    }

    #[test]
    fn every_frame_comes_back_as_it_was() {
        let longest = Frame::Command(Command {
            tags: tags(&[0, 1, 2, 3, 4, 5, 6, 7]),
            count: MESSAGE_WORDS as u8,
            words: [5; MESSAGE_WORDS],
            ..Command::default()
        });
        assert_eq!(bytes_of(longest).len(), MAX_FRAME);
        let samples = [
            sample(0, 0),
            sample(u64::MAX, 16),
            sample(7, 4),
            sample(0, 1),
        ];
        let empty = Frame::Command(Command::default());
        for frame in [command(), longest, empty].into_iter().chain(samples) {
            assert_eq!(decode_all(&bytes_of(frame)), [frame]);
        }
    }

    #[test]
    fn zeros_at_the_end_are_neither_sent_nor_taken() {
        for (words, sent) in [
            (&[][..], &[][..]),
            (&[0], &[0]),
            (&[0, 0, 0], &[0]),
            (&[7, 0, 9, 0], &[7, 0, 9]),
            (&[0, 8], &[0, 8]),
        ] {
            assert_eq!(without_zeros_at_end(words), sent);
            for of in [command_of as fn(&[u64]) -> Frame, sample_of] {
                assert_eq!(decode_all(&bytes_of(of(words))), [of(sent)], "{words:?}");
                // Put at the end of a frame, with a count and a sum that fit.
                let mut bytes = bytes_of(of(sent));
                bytes[3] += 1;
                let end = bytes.len() - CRC;
                bytes.truncate(end);
                bytes.extend([0; 8]);
                let crc = crc32(&bytes[SYNC.len()..]);
                bytes.extend(crc.to_le_bytes());
                let expected = match sent {
                    [] => std::vec![of(&[0])],
                    _ => Vec::new(),
                };
                assert_eq!(decode_all(&bytes), expected, "{words:?}");
            }
        }
    }

    fn command_of(words: &[u64]) -> Frame {
        let mut command = Command {
            count: words.len() as u8,
            ..Command::default()
        };
        command.words[..words.len()].copy_from_slice(words);
        Frame::Command(command)
    }

    fn sample_of(words: &[u64]) -> Frame {
        let mut sample = Sample {
            count: words.len() as u8,
            ..Sample::default()
        };
        sample.words[..words.len()].copy_from_slice(words);
        Frame::Sample(sample)
    }

    #[test]
    fn a_frame_whose_tags_are_not_those_of_its_places_is_none() {
        for (places, mask) in [(2, 0b1), (0, 0b1), (1, 0), (1, 0b11), (7, 0xff)] {
            let mut bytes = bytes_of(Frame::Command(Command {
                tags: tags(&[0, 1, 2, 3, 4, 5, 6][..places]),
                ..Command::default()
            }));
            bytes[HEAD + IN_COMMAND - PLACES] = mask;
            let end = bytes.len() - CRC;
            let crc = crc32(&bytes[SYNC.len()..end]);
            bytes[end..].copy_from_slice(&crc.to_le_bytes());
            assert!(decode_all(&bytes).is_empty(), "{places} tags, {mask:#b}");
        }
    }

    #[test]
    fn garbage_before_between_and_inside_frames_costs_no_later_frame() {
        let whole = bytes_of(command());
        for cut in 0..whole.len() {
            let mut stream = [0x7e, 0x7e, 0xa5, 0xc1, 0x11].to_vec();
            stream.extend(&whole[..cut]); // a frame that ends early
            let wanted: Vec<Frame> = (1..6).map(|number| sample(number, 16)).collect();
            wanted
                .iter()
                .for_each(|frame| stream.extend(bytes_of(*frame)));
            assert_eq!(
                decode_all(&stream),
                wanted,
                "after {cut} bytes of a lost frame"
            );
        }
    }

    #[test]
    fn no_single_bit_error_passes_as_another_frame() {
        let whole = bytes_of(command());
        for bit in 0..8 * whole.len() {
            let mut damaged = whole.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(decode_all(&damaged).is_empty(), "bit {bit}");
        }
    }

    #[test]
    fn endless_synchronizing_bytes_keep_the_decoder_bounded() {
        let mut decoder = Decoder::new();
        for _ in 0..10_000 {
            assert_eq!(decoder.push(SYNC[0]), None);
        }
        assert!(decoder.garbage() > 9_000);
    }
}
