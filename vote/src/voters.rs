//! What the voters of a set say together: one voter's word, or, where each sandbox of the set has
//! a voter, what more than half of them say.
//!
//! Verdicts agree if they say the same of the epoch and of who repairs whom. Which pages differ is
//! not agreed on: a target finds that out itself, from leaves that anybody may change meanwhile,
//! and its own voter says so.
use crate::MAX_REPLICAS;
use crate::Set;
use crate::layout::VoterLayout;
use crate::release::Release;
use crate::sealed_channel::ChannelReader;
use crate::standing::Members;
use crate::verdict::{Plan, Verdict};
use crate::words::Reader;

/// The channels of a set's voters: the arbitrator's, or one for each replica, by number.
#[derive(Clone, Copy, Debug)]
pub struct Voters<'a>(pub &'a [ChannelReader<'a>]);

impl<'a> Voters<'a> {
    /// Returns the newest verdict that enough voters say, whichever epoch it is on.
    #[must_use]
    pub fn verdict(&self, set: &Set) -> Option<Verdict> {
        let mut said = [None; MAX_REPLICAS];
        for (said, voter) in said.iter_mut().zip(self.0) {
            *said = verdict_of(set, *voter);
        }
        let supporters = |verdict: &Verdict| {
            let same = said.iter().flatten();
            same.filter(|other| agree(other, verdict)).count()
        };
        let agreed = said
            .iter()
            .flatten()
            .find(|it| supporters(it) > self.0.len() / 2)?;
        let Some(plan) = agreed.plan else {
            return Some(*agreed);
        };
        let told = said.get(self.index(plan.target)).copied().flatten();
        let told = told.filter(|told| agree(told, agreed));
        let differing = told
            .and_then(|told| told.plan)
            .map_or(0, |plan| plan.differing);
        Some(Verdict {
            rehash: told.map_or(Members::NONE, |told| told.rehash),
            plan: Some(Plan { differing, ..plan }),
            ..*agreed
        })
    }

    /// Returns the channel with the list of pages in which replica `target` differs. What is read
    /// there says itself which epoch it is of, and that it is whole.
    #[must_use]
    pub fn list(&self, target: u8) -> Option<Reader<'a>> {
        self.0.get(self.index(target)).map(ChannelReader::newest)
    }

    /// Returns the input that the voter at `owner` has frozen for `epoch`, which stands beside its
    /// verdict on the epoch before.
    #[must_use]
    pub fn input(&self, set: &Set, owner: u8, epoch: u64) -> Option<Release> {
        let input = self.shown(set, owner, |input| input.epoch.wrapping_sub(1))?;
        (input.epoch == epoch).then_some(input)
    }

    /// Returns the input of `epoch` that the voter at `place` has taken over from who froze it: it
    /// stands beside its verdict on that epoch.
    #[must_use]
    pub fn known_input(&self, set: &Set, place: u8, epoch: u64) -> Option<Release> {
        let input = self.shown(set, place, |input| input.epoch)?;
        (input.epoch == epoch).then_some(input)
    }

    /// Returns the input that a voter shows, if it belongs to the verdict beside it: `verdict` tells
    /// to which.
    fn shown(&self, set: &Set, place: u8, verdict: fn(&Release) -> u64) -> Option<Release> {
        let voter = self.0.get(self.index(place))?;
        let layout = VoterLayout::new(voter.len())?;
        voter.read(|half| Release::read(set, &layout, half).ok(), verdict)
    }

    /// The voter that speaks for a replica.
    const fn index(&self, replica: u8) -> usize {
        if self.0.len() == 1 {
            0
        } else {
            replica as usize
        }
    }
}

/// Returns the verdict that a voter shows, whichever epoch it is on.
fn verdict_of(set: &Set, voter: ChannelReader<'_>) -> Option<Verdict> {
    let layout = VoterLayout::new(voter.len())?;
    let read = |half| Verdict::read(set, &layout, half).ok();
    voter.read(read, |verdict| verdict.epoch)
}

/// Whether two verdicts say the same but for what a target alone finds out.
fn agree(one: &Verdict, other: &Verdict) -> bool {
    let agreed = |verdict: &Verdict| Verdict {
        rehash: Members::NONE,
        plan: verdict.plan.map(|plan| Plan {
            differing: 0,
            ..plan
        }),
        ..*verdict
    };
    agreed(one) == agreed(other)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ballot::tests::SET;
    use crate::owner::Owner;
    use crate::standing::{Outcome, Standing};
    use crate::state::State;
    use crate::summary::Summary;
    use crate::words::Writer;
    use core::sync::atomic::AtomicU64;
    use std::vec::Vec;
    use tern_units::Instant;

    fn verdict(epoch: u64) -> Verdict {
        let mut standings = [Standing::Absent; MAX_REPLICAS];
        standings[..3].copy_from_slice(&[Standing::Agreed, Standing::Minority, Standing::Agreed]);
        Verdict {
            epoch,
            outcome: Outcome::Majority,
            standings,
            rehash: Members::NONE,
            plan: Some(Plan {
                target: 1,
                donor: 0,
                witness: 2,
                round: 0,
                differing: 0,
            }),
            lost: 0,
            newest: None,
            state: State {
                pages: 9,
                summary: Summary(7),
                jobs_until: epoch + 1,
            },
            owner: Some(Owner {
                place: 2,
                before: 2,
                since: 1,
                moves: 0,
                awaited: 0b11,
            }),
        }
    }

    fn channel() -> Vec<AtomicU64> {
        (0..512).map(|_| AtomicU64::new(0)).collect()
    }

    fn layout() -> VoterLayout {
        VoterLayout::new(512).unwrap()
    }

    /// What voters with these verdicts say together; one without any has said nothing.
    fn together(said: &[Option<Verdict>]) -> Option<Verdict> {
        let channels: Vec<_> = said.iter().map(|_| channel()).collect();
        for (verdict, words) in said.iter().zip(&channels) {
            if let Some(verdict) = verdict {
                verdict.publish(&SET, &layout(), Writer::new(words));
            }
        }
        let plain = |words| ChannelReader::Plain(Reader::new(words));
        let readers: Vec<_> = channels.iter().map(|words| plain(words)).collect();
        Voters(&readers).verdict(&SET)
    }

    #[test]
    fn more_than_half_of_all_voters_make_a_verdict() {
        let (it, other) = (verdict(5), verdict(6));
        assert_eq!(together(&[Some(it)]), Some(it), "an arbitrator's is one");
        assert_eq!(together(&[None]), None);
        for (said, agreed) in [
            ([Some(it), Some(it), Some(it)], Some(it)),
            ([Some(it), None, Some(it)], Some(it)),
            ([Some(other), Some(it), Some(it)], Some(it)),
            ([Some(other), Some(it), None], None),
            ([None, Some(it), None], None),
        ] {
            assert_eq!(together(&said), agreed, "{said:?}");
        }
        let four = [Some(it), Some(it), Some(other), Some(other)];
        assert_eq!(together(&four), None, "half is not enough");
    }

    #[test]
    fn how_many_pages_differ_says_the_voter_of_who_is_repaired_alone() {
        let plan = verdict(5).plan.unwrap();
        let listed = Verdict {
            rehash: Members(0b010),
            plan: Some(Plan {
                differing: 4,
                ..plan
            }),
            ..verdict(5)
        };
        let plain = Some(verdict(5));
        assert_eq!(together(&[plain, Some(listed), plain]), Some(listed));
        assert_eq!(together(&[Some(listed), plain, plain]), plain);
        assert_eq!(together(&[plain, None, plain]), plain, "it lists nothing");
        let lie = Verdict {
            plan: Some(Plan {
                donor: 2,
                witness: 0,
                ..listed.plan.unwrap()
            }),
            ..listed
        };
        assert_eq!(together(&[plain, Some(lie), plain]), plain);
    }

    #[test]
    fn an_input_counts_beside_the_verdict_that_it_belongs_to() {
        use tern_abi::seal::Seal;
        let halves = [channel(), channel()];
        let seal = AtomicU64::new(Seal::NONE.next(4).unwrap().to_word());
        let input = |epoch| Release {
            epoch,
            time: Instant::from_nanos(epoch),
            ..Release::default()
        };
        let reader = ChannelReader::Sealed {
            seal: &seal,
            halves: [Reader::new(&halves[0]), Reader::new(&halves[1])],
        };
        let nobody = ChannelReader::Plain(Reader::new(&halves[1]));
        let voters = [nobody, reader, nobody];
        let voters = Voters(&voters);
        for (frozen, as_owner, as_known) in
            [(4, None, Some(4)), (5, Some(5), None), (6, None, None)]
        {
            input(frozen).publish(&SET, &layout(), Writer::new(&halves[0]));
            let found = (4..8).find_map(|epoch| voters.input(&SET, 1, epoch));
            assert_eq!(found.map(|it| it.epoch), as_owner, "{frozen} beside 4");
            let known = (4..8).find_map(|epoch| voters.known_input(&SET, 1, epoch));
            assert_eq!(known.map(|it| it.epoch), as_known, "{frozen} beside 4");
            assert_eq!(voters.input(&SET, 0, frozen), None, "another's");
        }
    }
}
