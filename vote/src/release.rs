//! A release: the input that the voter freezes for an epoch, the same for all replicas.
use crate::Set;
use crate::layout::{RELEASE_WORDS, VoterLayout};
use crate::sealed_record::SealError;
use crate::words::{Reader, Writer};
use tern_abi::system_call::{MESSAGE_WORDS, input};
use tern_plant::frames::Sample;
use tern_plant::tag::{Challenge, Measured, Places};
use tern_units::{Instant, PAGE_SIZE};

/// The input of one epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Release {
    /// The epoch.
    pub epoch: u64,
    /// Its release time.
    pub time: Instant,
    /// Whether the sample is the one asked for.
    pub fresh: bool,
    /// Number of the sample; zero before the first.
    pub sample: u64,
    /// What the device asks with it.
    pub challenge: Challenge,
    /// Whether the output of the command that the sample answers was taken.
    pub taken: bool,
    /// Replicas whose tags of the output before the sample were bad.
    pub bad: Places,
    /// The sensor's tag.
    pub tag: u64,
    /// Epochs so far, this one included, whose sample was not the one asked for.
    pub stale: u64,
    /// Words of the sample.
    pub count: u8,
    /// The sample, zero beyond [`Release::count`].
    pub payload: [u64; MESSAGE_WORDS],
}

impl Release {
    /// Words of the record's payload.
    pub const WORDS: usize = RELEASE_WORDS;

    /// Writes it into the voter's channel.
    pub fn publish(&self, set: &Set, layout: &VoterLayout, own: Writer<'_>) {
        let mut words = [0; Self::WORDS];
        words[..HEAD].copy_from_slice(&[
            u64::from(set.number),
            self.epoch,
            self.time.as_nanos(),
            u64::from(self.fresh),
            self.sample,
            self.stale,
            self.challenge.to_word(),
            u64::from(self.bad.0) | u64::from(self.taken) << TAKEN,
            self.tag,
            u64::from(self.count),
        ]);
        words[HEAD..].copy_from_slice(&self.payload);
        layout.release().write(own, &set.key, self.epoch, &words);
    }

    /// Reads the release in the voter's channel, whichever epoch it is for.
    ///
    /// # Errors
    /// If there is no whole record of this set.
    pub fn read(set: &Set, layout: &VoterLayout, voter: Reader<'_>) -> Result<Self, SealError> {
        let words = layout.release().read(voter, &set.key)?;
        if words[0] != u64::from(set.number) {
            return Err(SealError::Checksum);
        }
        let mut payload = [0; MESSAGE_WORDS];
        payload.copy_from_slice(&words[HEAD..]);
        Ok(Self {
            epoch: words[1],
            time: Instant::from_nanos(words[2]),
            fresh: words[3] != 0,
            sample: words[4],
            stale: words[5],
            challenge: Challenge::from_word(words[6]),
            taken: words[7] >> TAKEN != 0,
            bad: Places(words[7] as u8),
            tag: words[8],
            count: words[9].min(MESSAGE_WORDS as u64) as u8,
            payload,
        })
    }

    /// Returns what the sensor has said in it, if there is a sample.
    #[must_use]
    pub fn measured(&self, set: &Set) -> Option<Measured<'_>> {
        (self.sample > 0).then_some(Measured {
            set: set.number,
            number: self.sample,
            challenge: self.challenge,
            taken: self.taken,
            bad: self.bad,
            words: self.payload.get(..usize::from(self.count))?,
        })
    }

    /// Returns the sample that it holds, as it came.
    #[must_use]
    pub const fn sample(&self) -> Sample {
        Sample {
            number: self.sample,
            challenge: self.challenge,
            taken: self.taken,
            bad: self.bad,
            tag: self.tag,
            count: self.count,
            words: self.payload,
        }
    }

    /// Makes the input page of it: see [`tern_abi::system_call::input`].
    pub fn fill(&self, page: &mut [u64; PAGE_SIZE / 8]) {
        *page = [0; PAGE_SIZE / 8];
        page[input::EPOCH] = self.epoch;
        page[input::RELEASE_TIME] = self.time.as_nanos();
        page[input::FRESH] = u64::from(self.fresh);
        page[input::SAMPLE] = self.sample;
        page[input::BAD_TAGS] = u64::from(self.bad.0);
        page[input::CHALLENGE] = self.challenge.to_word();
        page[input::TAKEN] = u64::from(self.taken);
        page[input::PAYLOAD..input::PAYLOAD + MESSAGE_WORDS].copy_from_slice(&self.payload);
    }
}

/// Words of the payload before the sample.
const HEAD: usize = RELEASE_WORDS - MESSAGE_WORDS;

/// The bit of whether an output was taken, above a bit for each place.
const TAKEN: u32 = u8::BITS;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ballot::tests::SET;
    use core::sync::atomic::AtomicU64;
    use std::vec::Vec;

    #[test]
    fn a_release_comes_back_as_it_was_published_and_fills_the_input_page() {
        let words: Vec<AtomicU64> = (0..512).map(|_| AtomicU64::new(0)).collect();
        let layout = VoterLayout::new(words.len()).unwrap();
        assert_eq!(
            Release::read(&SET, &layout, Reader::new(&words)),
            Err(SealError::Empty)
        );
        let mut release = Release {
            epoch: 8,
            time: Instant::from_nanos(320_000_000),
            fresh: true,
            sample: 7,
            challenge: Challenge::from_word(0x0bad_cafe),
            taken: true,
            bad: Places(0b101),
            tag: 0x7a67_7a67,
            count: 16,
            stale: 3,
            payload: [0; MESSAGE_WORDS],
        };
        release.payload[15] = 0x0123_4567_89ab_cdef;
        release.publish(&SET, &layout, Writer::new(&words));
        assert_eq!(
            Release::read(&SET, &layout, Reader::new(&words)),
            Ok(release)
        );
        let other = Set { number: 5, ..SET };
        assert!(Release::read(&other, &layout, Reader::new(&words)).is_err());

        let mut page = [u64::MAX; PAGE_SIZE / 8];
        release.fill(&mut page);
        assert_eq!(page[..7], [8, 320_000_000, 1, 7, 0b101, 0x0bad_cafe, 1]);
        assert_eq!(page[23], 0x0123_4567_89ab_cdef);
        assert!(page[24..].iter().all(|word| *word == 0));
    }
}
