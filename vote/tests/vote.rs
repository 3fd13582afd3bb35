//! Votes over several epochs: who is repaired, by whom, and when the set has stopped.
use std::sync::atomic::AtomicU64;
use tern_vote::{
    Answer, Ballot, BallotKind, Code, Key, Leaf, LeafTable, MOST_ROUNDS, Members, Origin, Outcome,
    Plan, Reader, ReplicaLayout, Rules, Seat, Set, Verdict, Vote, VoteStep, VoterLayout, Writer,
    output_words, replica_channel_bytes, voter_channel_bytes,
};

const PAGES: usize = 100;

/// Replicas whose leaves and ballots the test writes. The voter has nothing but its channel.
struct Bench {
    set: Set,
    rules: Rules,
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
    /// It has not run, and its first page differs.
    Ask,
    /// It has not run, and holds what all others that do hold.
    Hold,
    /// Nothing.
    Nothing,
}
use Does::{Agree, Ask, Differ, Hold, Nothing};

impl Bench {
    fn new(replicas: u8) -> Self {
        let set = Set {
            number: 0,
            replicas,
            key: Key([4, 3, 2, 1]),
            code: Code::Arithmetic,
        };
        Self {
            set,
            rules: Rules {
                repairs: true,
                lost_epochs: 3,
            },
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
            Agree | Hold => {}
            Differ(pages) => leaves[..pages].fill(u64::MAX - replica as u64),
            Ask => leaves[0] = u64::MAX,
            Nothing => return,
        }
        let own = Writer::new(&self.channels[replica]);
        for (page, leaf) in (0..).zip(&leaves) {
            own.store(self.layout().leaf(page), *leaf);
        }
        let has_run = !matches!(does, Ask | Hold);
        let origin = Origin {
            after: self.epoch,
            digest: 5,
        };
        let ballot = Ballot {
            replica: replica as u8,
            epoch: self.epoch,
            kind: match has_run {
                true => BallotKind::Ran,
                false => BallotKind::Held,
            },
            answer: Answer::None,
            origin: (does != Ask).then_some(origin),
            jobs_until: self.epoch + u64::from(has_run),
            pages: PAGES as u32,
            summary: LeafTable::new(&self.set.key, leaves).summary(),
            input: Leaf(0),
            count: 0,
            output: [0; 16],
            words: output_words(&self.set, replica, self.epoch, &[]),
        };
        ballot.cast(&self.set, own);
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
        let (set, rules, epoch) = (&self.set, &self.rules, self.epoch);
        let before = Verdict::read(set, &layout, own.reader()).ok();
        let mut vote = Vote::on(set, rules, Seat::Arbitrator, epoch, &readers, before);
        self.epoch += 1;
        for _ in 0..100 {
            match vote.step(set, epoch, &readers, &layout, own) {
                VoteStep::More(left) => assert!(left as usize <= PAGES),
                VoteStep::Done(verdict) => {
                    assert_eq!(Verdict::read(set, &layout, own.reader()), Ok(verdict));
                    return verdict;
                }
                VoteStep::Void => panic!("nothing has changed the verdict"),
            }
        }
        panic!("a verdict takes a bounded number of steps");
    }

    fn epoch(&mut self, all: &[Does]) -> Verdict {
        self.epoch_with(all, |_| ())
    }

    /// The voter's sandbox starts anew, its channel erased.
    fn forget(&mut self) {
        self.own.iter_mut().for_each(|word| *word.get_mut() = 0);
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
    let mut bench = Bench::new(3);
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
fn who_is_silent_cannot_be_repaired_until_it_says_what_it_is() {
    let mut bench = Bench::new(3);
    let verdict = bench.epoch(&[Nothing, Agree, Agree]);
    assert_eq!(verdict.outcome, Outcome::Majority);
    assert_eq!((verdict.rehash, verdict.plan), (Members::NONE, None));
    assert_eq!(bench.epoch(&[Ask, Agree, Agree]).plan, plan(0, 1, 2, 0, 1));
}

#[test]
fn one_is_repaired_at_a_time_and_the_one_begun_with_first() {
    let mut bench = Bench::new(5);
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
fn one_that_cannot_be_repaired_does_not_keep_the_others_waiting_for_ever() {
    let mut bench = Bench::new(5);
    let all = [Agree, Ask, Agree, Ask, Agree];
    for turn in [1, 3, 1] {
        for round in 0..MOST_ROUNDS {
            let plan = bench.epoch(&all).plan.unwrap();
            assert_eq!((plan.target, plan.round), (turn, round));
        }
    }
    let alone = [Agree, Agree, Agree, Ask, Agree];
    for round in (0..MOST_ROUNDS).chain(0..2) {
        assert_eq!(bench.epoch(&alone).plan.unwrap().round, round);
    }
}

#[test]
fn a_set_without_that_policy_repairs_nobody() {
    let mut bench = Bench::new(3);
    bench.rules.repairs = false;
    let verdict = bench.epoch(&[Agree, Differ(7), Agree]);
    assert_eq!((verdict.outcome, verdict.plan), (Outcome::Majority, None));
}

#[test]
fn a_flip_in_a_majority_members_leaves_only_changes_who_gives() {
    let mut bench = Bench::new(3);
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
    let mut bench = Bench::new(3);
    let verdict = bench.epoch_with(&[Agree, Agree, Differ(3)], |bench| bench.flip_leaf(2, 99));
    assert_eq!((verdict.plan, verdict.rehash), (None, Members(0b100)));
}

/// A voter that was late, or absent: the replicas hold what they have, and that is agreement.
#[test]
fn replicas_that_hold_are_repaired_as_those_that_run() {
    let mut bench = Bench::new(3);
    bench.epoch(&[Agree, Agree, Agree]);
    bench.epoch += 7;
    let verdict = bench.epoch(&[Hold, Ask, Hold]);
    assert_eq!(verdict.outcome, Outcome::Held);
    assert_eq!(verdict.plan, plan(1, 0, 2, 0, 1));
    assert_eq!(
        bench.epoch(&[Agree, Agree, Agree]).outcome,
        Outcome::Unanimous
    );
}

#[test]
fn lost_epochs_in_a_row_stop_the_set_and_an_agreement_begins_anew() {
    let mut bench = Bench::new(3);
    let agreed = bench.epoch(&[Agree, Agree, Agree]);
    let origin = agreed.agreed(&bench.set);
    let lost = [Hold, Ask, Nothing];
    for (votes, outcome) in [
        (1, Outcome::Lost),
        (2, Outcome::Lost),
        (3, Outcome::Stopped),
        (4, Outcome::Stopped),
    ] {
        let verdict = bench.epoch(&lost);
        assert_eq!((verdict.outcome, verdict.lost), (outcome, votes));
        assert_eq!(verdict.plan, None);
        assert_eq!(verdict.agreed(&bench.set), origin, "what was agreed stands");
    }
    // What is stopped is said by the newest verdict alone.
    let verdict = bench.epoch(&[Hold, Hold, Hold]);
    assert_eq!((verdict.outcome, verdict.lost), (Outcome::Held, 0));
    assert_eq!(bench.epoch(&lost).lost, 1);
}

#[test]
fn a_voter_that_starts_anew_decides_what_it_would_have_decided() {
    let turns = [
        [Agree, Agree, Agree],
        [Agree, Differ(2), Agree],
        [Hold, Ask, Hold],
        [Hold, Hold, Hold],
        [Agree, Nothing, Agree],
        [Nothing, Differ(1), Agree],
    ];
    let (mut steady, mut anew) = (Bench::new(3), Bench::new(3));
    for turn in turns {
        anew.forget();
        let (one, other) = (steady.epoch(&turn), anew.epoch(&turn));
        assert_eq!(
            (one.outcome, one.standings),
            (other.outcome, other.standings)
        );
        let lost = one.outcome == Outcome::Lost;
        assert!(lost || one.state == other.state);
    }
}

#[test]
fn a_single_copy_is_its_own_majority() {
    let mut bench = Bench::new(1);
    assert_eq!(bench.epoch(&[Agree]).outcome, Outcome::Unanimous);
    assert_eq!(bench.epoch(&[Differ(1)]).outcome, Outcome::Unanimous);
    assert_eq!(bench.epoch(&[Nothing]).outcome, Outcome::Lost);
}
