//! The voter over several epochs: whom it has repaired, by whom, and when it gives up.
use std::sync::atomic::AtomicU64;
use tern_vote::{
    Ballot, Key, Leaf, LeafTable, Members, Outcome, Plan, Reader, ReplicaLayout, Set, Verdict,
    Voter, VoterLayout, VoterStep, Writer, output_digest, replica_channel_bytes,
    voter_channel_bytes,
};

const PAGES: usize = 100;

/// Five replicas whose leaves and ballots the test writes.
struct Bench {
    set: Set,
    voter: Voter,
    own: Vec<AtomicU64>,
    channels: Vec<Vec<AtomicU64>>,
    epoch: u64,
}

fn words(bytes: u64) -> Vec<AtomicU64> {
    (0..bytes / 8).map(|_| AtomicU64::new(0)).collect()
}

/// What a replica does in an epoch.
#[derive(Clone, Copy, PartialEq)]
enum Does {
    /// It agrees with all others that do.
    Agree,
    /// These many of its first pages differ.
    Differ(usize),
    /// It asks for repair of its first page.
    Ask,
    /// Nothing.
    Nothing,
}
use Does::{Agree, Ask, Differ, Nothing};

impl Bench {
    fn new(replicas: u8, most_rounds: u32) -> Self {
        let set = Set {
            number: 0,
            replicas,
            key: Key([4, 3, 2, 1]),
        };
        Self {
            set,
            voter: Voter::new(set, most_rounds),
            own: words(voter_channel_bytes(PAGES as u32)),
            channels: (0..replicas)
                .map(|_| words(replica_channel_bytes(PAGES as u32)))
                .collect(),
            epoch: 0,
        }
    }

    fn layout(&self) -> ReplicaLayout {
        ReplicaLayout::new(self.channels[0].len()).unwrap()
    }

    fn cast(&self, replica: usize, does: Does) {
        let mut leaves = vec![self.epoch; PAGES];
        match does {
            Agree => {}
            Differ(pages) => leaves[..pages].fill(u64::MAX - replica as u64),
            Ask => leaves[0] = u64::MAX,
            Nothing => return,
        }
        let own = Writer::new(&self.channels[replica]);
        for (page, leaf) in (0..).zip(&leaves) {
            own.store(self.layout().leaf(page), *leaf);
        }
        let ballot = Ballot {
            replica: replica as u8,
            epoch: self.epoch,
            recovering: does == Ask,
            pages: PAGES as u32,
            summary: LeafTable::new(self.set.key, leaves).summary(),
            input: Leaf(0),
            count: 0,
            output: [0; 16],
            digest: output_digest(&self.set, self.epoch, &[]),
        };
        ballot.cast(&self.set, &self.layout(), own);
    }

    /// One epoch; `then` may damage channels before the vote.
    fn epoch_with(&mut self, all: &[Does], then: impl FnOnce(&mut Self)) -> Verdict {
        for (replica, does) in all.iter().enumerate() {
            self.cast(replica, *does);
        }
        then(self);
        let readers: Vec<_> = self.channels.iter().map(|it| Reader::new(it)).collect();
        let own = Writer::new(&self.own);
        let layout = VoterLayout::new(self.own.len()).unwrap();
        self.voter.begin(self.epoch, &readers);
        self.epoch += 1;
        for _ in 0..100 {
            match self.voter.step(&readers, &layout, own).unwrap() {
                VoterStep::More(left) => assert!(left as usize <= PAGES),
                VoterStep::Done(verdict) => {
                    assert_eq!(Verdict::read(&self.set, &layout, own.reader()), Ok(verdict));
                    assert_eq!(self.voter.step(&readers, &layout, own), None);
                    return verdict;
                }
            }
        }
        panic!("a verdict takes a bounded number of steps");
    }

    fn epoch(&mut self, all: &[Does]) -> Verdict {
        self.epoch_with(all, |_| ())
    }

    /// A flip in the published leaf of a page.
    fn flip_leaf(&mut self, replica: usize, page: u32) {
        let word = self.layout().leaf(page);
        *self.channels[replica][word].get_mut() ^= 1 << 20;
    }
}

fn plan(target: u8, donor: u8, witness: u8, round: u32, differing: u32) -> Option<Plan> {
    Some(Plan {
        target,
        donor,
        witness,
        round,
        differing,
    })
}

#[test]
fn who_differs_is_repaired_by_two_others_in_turns_until_it_agrees() {
    let mut bench = Bench::new(3, 10);
    assert_eq!(bench.epoch(&[Agree, Agree, Agree]).plan, None);
    let verdict = bench.epoch(&[Agree, Differ(7), Agree]);
    assert_eq!(verdict.plan, plan(1, 0, 2, 0, 7));
    assert_eq!(bench.epoch(&[Agree, Ask, Agree]).plan, plan(1, 2, 0, 1, 1));
    assert_eq!(bench.epoch(&[Agree, Ask, Agree]).plan, plan(1, 0, 2, 2, 1));
    assert_eq!(bench.epoch(&[Agree, Agree, Agree]).plan, None);
    let verdict = bench.epoch(&[Agree, Differ(1), Agree]);
    assert_eq!(
        verdict.plan,
        plan(1, 0, 2, 0, 1),
        "a new repair begins with round 0"
    );
}

#[test]
fn who_is_silent_must_hash_anew_and_cannot_be_repaired_yet() {
    let mut bench = Bench::new(3, 10);
    let verdict = bench.epoch(&[Nothing, Agree, Agree]);
    assert_eq!(verdict.outcome, Outcome::Majority);
    assert_eq!((verdict.rehash, verdict.plan), (Members(0b001), None));
    assert_eq!(bench.epoch(&[Ask, Agree, Agree]).plan, plan(0, 1, 2, 0, 1));
}

#[test]
fn one_is_repaired_at_a_time_and_the_one_begun_with_first() {
    let mut bench = Bench::new(5, 10);
    let verdict = bench.epoch(&[Agree, Agree, Agree, Differ(2), Agree]);
    assert_eq!(verdict.plan, plan(3, 0, 1, 0, 2));
    let verdict = bench.epoch(&[Agree, Differ(1), Agree, Ask, Agree]);
    assert_eq!(
        verdict.plan,
        plan(3, 2, 4, 1, 1),
        "not replica 1, though it comes first"
    );
    let verdict = bench.epoch(&[Agree, Ask, Agree, Agree, Agree]);
    assert_eq!(verdict.plan, plan(1, 0, 2, 0, 1));
}

#[test]
fn a_flip_in_a_majority_members_leaves_only_changes_who_gives() {
    let mut bench = Bench::new(3, 10);
    let verdict = bench.epoch_with(&[Agree, Agree, Differ(3)], |bench| bench.flip_leaf(0, 80));
    assert_eq!(verdict.plan, plan(2, 1, 0, 0, 3));
    let verdict = bench.epoch_with(&[Agree, Agree, Ask], |bench| {
        bench.flip_leaf(0, 80);
        bench.flip_leaf(1, 3);
    });
    assert_eq!(verdict.plan, None, "nobody's leaves add up");
    assert_eq!(verdict.outcome, Outcome::Majority, "but the vote stands");
}

#[test]
fn a_target_whose_leaves_do_not_add_up_must_hash_anew() {
    let mut bench = Bench::new(3, 10);
    let verdict = bench.epoch_with(&[Agree, Agree, Differ(3)], |bench| bench.flip_leaf(2, 99));
    assert_eq!((verdict.plan, verdict.rehash), (None, Members(0b100)));
}

#[test]
fn who_cannot_be_repaired_is_abandoned_until_it_agrees_by_itself() {
    let mut bench = Bench::new(3, 4);
    for round in 0..4 {
        let verdict = bench.epoch(&[Agree, Agree, Ask]);
        assert_eq!(verdict.plan.unwrap().round, round);
        assert_eq!(verdict.abandoned, Members::NONE);
    }
    let verdict = bench.epoch(&[Agree, Agree, Ask]);
    assert_eq!((verdict.plan, verdict.abandoned), (None, Members(0b100)));
    assert_eq!(bench.epoch(&[Agree, Agree, Agree]).abandoned, Members::NONE);
    assert!(bench.epoch(&[Agree, Agree, Ask]).plan.is_some());
}

#[test]
fn a_stop_is_for_good() {
    let mut bench = Bench::new(3, 10);
    assert_eq!(
        bench.epoch(&[Agree, Differ(1), Nothing]).outcome,
        Outcome::NoMajority
    );
    assert!(bench.voter.is_stopped());
    for _ in 0..3 {
        let verdict = bench.epoch(&[Agree, Agree, Agree]);
        assert_eq!(verdict.outcome, Outcome::Stopped);
        assert!(!verdict.releases());
        assert_eq!(verdict.plan, None);
    }
}

#[test]
fn a_single_copy_is_its_own_majority() {
    let mut bench = Bench::new(1, 10);
    assert_eq!(bench.epoch(&[Agree]).outcome, Outcome::Unanimous);
    assert_eq!(bench.epoch(&[Differ(1)]).outcome, Outcome::Unanimous);
    assert_eq!(bench.epoch(&[Nothing]).outcome, Outcome::NoMajority);
}
