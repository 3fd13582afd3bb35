//! Where things are in the channels of a replica set, in words of 64 bits.
//!
//! A voter's channel holds the release, the verdict and the list of differing
//! pages. Each replica's channel holds its ballot, its tag, its progress as a target, its leaves,
//! the SHA-256 of pages it confirms as a witness, and slots for pages it gives as a
//! donor. Both sides derive the layout from the channel's size alone. Where ballots are sealed,
//! ballot and tag stand at the same places of a channel of their own.
use crate::sealed_record::{SealedRecord, Twice};
use tern_abi::ownership::OWNER_WORD;
use tern_abi::system_call::MESSAGE_WORDS;
use tern_units::PAGE_SIZE;

/// Words of the payloads of records.
pub(crate) const BALLOT_WORDS: usize = 13 + MESSAGE_WORDS;
pub(crate) const RELEASE_WORDS: usize = 10 + MESSAGE_WORDS;
pub(crate) const TAGGED_WORDS: usize = 5;
pub(crate) const VERDICT_WORDS: usize = 13;

/// Pages that a donor can give ahead of the target.
pub const SLOTS: usize = 32;

const PAGE_WORDS: usize = PAGE_SIZE / 8;
/// Words of a slot: its head, rounded up, and the page.
const SLOT_WORDS: usize = 16 + PAGE_WORDS;
/// Words of a page's SHA-256 with its seal.
const HASH_WORDS: usize = SealedRecord::<7>::WORDS;
/// Payload of a target's progress.
const PROGRESS_WORDS: usize = 6;
/// Words of a listed difference.
const DIFFERENCE_WORDS: usize = 3;
/// Words before the first array, in both kinds of channel.
const HEAD_WORDS: usize = 128;
/// Word offset of a replica's tag.
const TAGGED_AT: usize = 48;
/// Words of ballot and tag.
pub(crate) const CAST_WORDS: usize = SECOND;
/// Word offset of the second record, in both kinds of channel.
const SECOND: usize = 64;

const _: () = assert!(SealedRecord::<BALLOT_WORDS>::WORDS <= TAGGED_AT);
const _: () = assert!(TAGGED_AT + SealedRecord::<TAGGED_WORDS>::WORDS <= SECOND);
const _: () = assert!(Twice::<RELEASE_WORDS>::WORDS <= SECOND);
const _: () = assert!(SECOND + Twice::<PROGRESS_WORDS>::WORDS <= HEAD_WORDS);
const _: () = assert!(SECOND + Twice::<VERDICT_WORDS>::WORDS <= HEAD_WORDS);
const _: () =
    assert!(SECOND + Twice::<VERDICT_WORDS>::WORDS <= OWNER_WORD && OWNER_WORD < HEAD_WORDS);
const _: () = assert!(SealedRecord::<4>::WORDS <= SLOT_WORDS - PAGE_WORDS);

/// Purposes of records and digests, one each.
pub(crate) mod purpose {
    pub const BALLOT: u64 = 1;
    pub const OUTPUT: u64 = 2;
    pub const RELEASE: u64 = 3;
    pub const VERDICT: u64 = 4;
    pub const DIFFERENCE: u64 = 5;
    pub const PROGRESS: u64 = 6;
    pub const HASH: u64 = 7;
    pub const SLOT: u64 = 8;
    pub const ORIGIN: u64 = 9;
    pub const TAGGED: u64 = 10;
}

/// The ballot, in the channel in which a replica casts it.
pub const BALLOT: SealedRecord<BALLOT_WORDS> = SealedRecord::new(0, purpose::BALLOT);

/// The tag of a replica's output, in the same channel.
pub const TAGGED: SealedRecord<TAGGED_WORDS> = SealedRecord::new(TAGGED_AT, purpose::TAGGED);

/// Bytes of a channel that holds ballot and tag alone.
#[must_use]
pub const fn ballot_channel_bytes() -> u64 {
    PAGE_SIZE as u64
}

/// Bytes of a replica's channel for programs of at most `pages` pages.
#[must_use]
pub const fn replica_channel_bytes(pages: u32) -> u64 {
    let words = HEAD_WORDS + pages as usize * (1 + HASH_WORDS) + SLOTS * SLOT_WORDS;
    (words as u64 * 8).next_multiple_of(PAGE_SIZE as u64)
}

/// Bytes of the voter's channel for programs of at most `pages` pages.
#[must_use]
pub const fn voter_channel_bytes(pages: u32) -> u64 {
    let words = HEAD_WORDS + pages as usize * DIFFERENCE_WORDS;
    (words as u64 * 8).next_multiple_of(PAGE_SIZE as u64)
}

/// The layout of a replica's channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplicaLayout {
    pages: usize,
}

impl ReplicaLayout {
    /// The layout of a channel of `words` words; `None` if it has no room for one page.
    #[must_use]
    pub const fn new(words: usize) -> Option<Self> {
        match words.checked_sub(HEAD_WORDS + SLOTS * SLOT_WORDS) {
            Some(rest) if rest > HASH_WORDS => Some(Self {
                pages: rest / (1 + HASH_WORDS),
            }),
            _ => None,
        }
    }

    /// The most pages that a replica with this channel has.
    #[must_use]
    pub const fn capacity(&self) -> u32 {
        self.pages as u32
    }

    /// How far the replica is as a target, twice.
    #[must_use]
    pub const fn progress(&self) -> Twice<PROGRESS_WORDS> {
        Twice::new(SECOND, purpose::PROGRESS)
    }

    /// The word of a page's leaf.
    #[must_use]
    pub const fn leaf(&self, page: u32) -> usize {
        HEAD_WORDS + page as usize
    }

    /// The SHA-256 of a differing page: `index` counts within the list.
    #[must_use]
    pub const fn hash(&self, index: u32) -> SealedRecord<7> {
        SealedRecord::new(
            HEAD_WORDS + self.pages + index as usize * HASH_WORDS,
            purpose::HASH,
        )
    }

    /// The head of the slot that a differing page travels in.
    #[must_use]
    pub const fn slot(&self, index: u32) -> SealedRecord<4> {
        SealedRecord::new(self.slot_at(index), purpose::SLOT)
    }

    /// The first of the [`PAGE_SIZE`]` / 8` words of the page in that slot.
    #[must_use]
    pub const fn slot_page(&self, index: u32) -> usize {
        self.slot_at(index) + SLOT_WORDS - PAGE_WORDS
    }

    const fn slot_at(&self, index: u32) -> usize {
        HEAD_WORDS + self.pages * (1 + HASH_WORDS) + (index as usize % SLOTS) * SLOT_WORDS
    }
}

/// The layout of the voter's channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VoterLayout {
    pages: usize,
}

impl VoterLayout {
    /// The layout of a channel of `words` words; `None` if it has no room for one page.
    #[must_use]
    pub const fn new(words: usize) -> Option<Self> {
        match words.checked_sub(HEAD_WORDS) {
            Some(rest) if rest >= DIFFERENCE_WORDS => Some(Self {
                pages: rest / DIFFERENCE_WORDS,
            }),
            _ => None,
        }
    }

    /// The most differing pages that fit the list.
    #[must_use]
    pub const fn capacity(&self) -> u32 {
        self.pages as u32
    }

    /// The input of the next epoch, twice.
    #[must_use]
    pub const fn release(&self) -> Twice<RELEASE_WORDS> {
        Twice::new(0, purpose::RELEASE)
    }

    /// The verdict on the last epoch, twice.
    #[must_use]
    pub const fn verdict(&self) -> Twice<VERDICT_WORDS> {
        Twice::new(SECOND, purpose::VERDICT)
    }

    /// The first of the three words of a differing page.
    #[must_use]
    pub const fn difference(&self, index: u32) -> usize {
        HEAD_WORDS + index as usize * DIFFERENCE_WORDS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_sized_for_some_pages_has_room_for_them_and_nothing_overlaps() {
        for pages in [1, 2, 31, 32, 33, 100, 1000, 100_000] {
            let words = (replica_channel_bytes(pages) / 8) as usize;
            let layout = ReplicaLayout::new(words).unwrap();
            assert!(layout.capacity() >= pages);
            let last = layout.capacity() - 1;
            assert!(layout.hash(0).at > layout.leaf(last));
            assert!(layout.slot(0).at >= layout.hash(last).at + SealedRecord::<7>::WORDS);
            assert!(layout.slot_page(SLOTS as u32 - 1) + PAGE_WORDS <= words);
            assert_eq!(layout.slot(3).at, layout.slot(3 + SLOTS as u32).at);

            let words = (voter_channel_bytes(pages) / 8) as usize;
            let layout = VoterLayout::new(words).unwrap();
            assert!(layout.capacity() >= pages);
            assert!(layout.difference(layout.capacity() - 1) + DIFFERENCE_WORDS <= words);
        }
    }

    #[test]
    fn the_description_sizes_channels_by_the_same_formula() {
        use tern_config::layout;
        assert_eq!(layout::REPAIR_SLOTS, SLOTS as u64);
        for pages in [1_u32, 45, 46, 47, 100, 356, 4096, 1 << 20] {
            let replica = layout::replica_channel_bytes(u64::from(pages));
            assert_eq!(replica, replica_channel_bytes(pages));
            let voter = layout::voter_channel_bytes(u64::from(pages));
            assert_eq!(voter, voter_channel_bytes(pages));
        }
        assert_eq!(layout::ballot_channel_bytes(), ballot_channel_bytes());
        assert!(CAST_WORDS as u64 * 8 <= ballot_channel_bytes());
    }

    #[test]
    fn a_channel_without_room_for_a_page_has_no_layout() {
        assert_eq!(ReplicaLayout::new(0), None);
        assert_eq!(
            ReplicaLayout::new(HEAD_WORDS + SLOTS * SLOT_WORDS + HASH_WORDS),
            None
        );
        assert_eq!(VoterLayout::new(HEAD_WORDS + 2), None);
    }
}
