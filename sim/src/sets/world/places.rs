//! Which words of a channel are for what.
use std::ops::Range;

use tern_units::PAGE_SIZE;
use tern_vote::{
    BALLOT, Ballot, Release, ReplicaLayout, SLOTS, SealedRecord, TAGGED, Tagged, Twice, Verdict,
    VoterLayout,
};

use super::{Place, World};

/// The words of a ballot, where it is cast.
const BALLOT_WORDS: Range<usize> = BALLOT.at..BALLOT.at + SealedRecord::<{ Ballot::WORDS }>::WORDS;

impl World {
    /// Number of words of a channel.
    #[must_use]
    pub fn channel_words(&self, of: Place) -> usize {
        self.channel(of).len()
    }

    /// The words of a replica's channel that come before the slots in which pages travel.
    #[must_use]
    pub fn words_before_slots(&self) -> usize {
        let layout = ReplicaLayout::new(self.channels[0].len());
        layout.map_or(0, |layout| layout.slot(0).at)
    }

    /// The words that a replica's tag is in, where it casts its ballot.
    #[must_use]
    pub fn tagged_words(&self) -> Range<usize> {
        let at = TAGGED.at;
        at..at + SealedRecord::<{ Tagged::WORDS }>::WORDS
    }

    /// The words of a channel that are read in every epoch: records, and leaves.
    #[must_use]
    pub fn records(&self, of: Place) -> Vec<Range<usize>> {
        let words = self.channel(of).len();
        match of {
            Place::Replica(_) => ReplicaLayout::new(words).map_or_else(Vec::new, |layout| {
                let leaves = layout.leaf(0);
                let ballot = self.ballot_channels.is_empty().then_some(BALLOT_WORDS);
                let leaves = leaves..leaves + self.pages as usize;
                ballot.into_iter().chain([leaves]).collect()
            }),
            Place::Ballot(_) => {
                let half = words / 2;
                vec![
                    BALLOT_WORDS,
                    half + BALLOT_WORDS.start..half + BALLOT_WORDS.end,
                ]
            }
            Place::Voter(_) => self.in_halves(|layout| {
                let release = layout.release().copies()[0].at;
                let verdict = layout.verdict().copies()[0].at;
                [
                    release..release + Twice::<{ Release::WORDS }>::WORDS,
                    verdict..verdict + Twice::<{ Verdict::WORDS }>::WORDS,
                ]
            }),
        }
    }

    /// The words of what the readers of a voter's channel read at each release: of each record,
    /// which is there twice, the first copy. In a ballot's own channel: ballot and tag.
    #[must_use]
    pub fn shown_records(&self, of: Place) -> Vec<Range<usize>> {
        let voter = match of {
            Place::Replica(_) => return Vec::new(),
            Place::Ballot(_) => return vec![BALLOT_WORDS, self.tagged_words()],
            Place::Voter(voter) => voter,
        };
        let layout = VoterLayout::new(self.voter_channels[voter].half_words());
        layout.map_or_else(Vec::new, |layout| {
            let [first, second] = layout.release().copies().map(|copy| copy.at);
            let [verdict, again] = layout.verdict().copies().map(|copy| copy.at);
            vec![first..second, verdict..again]
        })
    }

    /// The words of a channel that are read beside that where so many pages are repaired: list,
    /// progress, confirmations and slots.
    #[must_use]
    pub fn repair_words(&self, of: Place, pages: u32) -> Vec<Range<usize>> {
        let words = self.channel(of).len();
        match of {
            Place::Replica(_) => ReplicaLayout::new(words).map_or_else(Vec::new, |layout| {
                let progress = layout.progress().copies();
                vec![
                    progress[0].at..progress[1].at + progress[1].at - progress[0].at,
                    layout.hash(0).at..layout.hash(pages).at,
                    layout.slot(0).at..layout.slot(pages).at,
                ]
            }),
            Place::Ballot(_) => Vec::new(),
            Place::Voter(_) => {
                self.in_halves(|layout| Some(layout.difference(0)..layout.difference(pages)))
            }
        }
    }

    /// The same words of each half of a voter's channel.
    fn in_halves<R>(&self, of: impl Fn(VoterLayout) -> R) -> Vec<Range<usize>>
    where
        R: IntoIterator<Item = Range<usize>>,
    {
        let voter = &self.voter_channels[0];
        let half = voter.half_words();
        let halves = (0..voter.words().len()).step_by(half);
        let of_half = VoterLayout::new(half).into_iter().flat_map(of);
        let of_half: Vec<Range<usize>> = of_half.collect();
        let shifted = |begin: usize| {
            let ranges = of_half.iter();
            ranges.map(move |range| begin + range.start..begin + range.end)
        };
        halves.flat_map(shifted).collect()
    }

    /// Whether a word of a channel is one of a page's content in a slot.
    #[must_use]
    pub fn is_page_on_its_way(&self, of: Place, word: usize) -> bool {
        let layout = match of {
            Place::Replica(_) => ReplicaLayout::new(self.channel(of).len()),
            Place::Ballot(_) | Place::Voter(_) => None,
        };
        let is_in = |layout: ReplicaLayout| {
            (0..SLOTS as u32).any(|slot| {
                let page = layout.slot_page(slot);
                (page..page + PAGE_SIZE / 8).contains(&word)
            })
        };
        layout.is_some_and(is_in)
    }
}
