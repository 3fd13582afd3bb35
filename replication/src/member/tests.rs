//! When a replica runs, what it says, and what it makes of verdicts.
use super::*;
use core::sync::atomic::AtomicU64;
use std::vec;
use std::vec::Vec;
use tern_units::PAGE_SIZE;
use tern_vote::{
    Answer, ChannelReader, ChannelWriter, Code, Key, LeafKind, MAX_REPLICAS, Members, Reader, Set,
    Standing, VoterLayout, Writer, replica_channel_bytes, voter_channel_bytes,
};

const PAGES: u32 = 4;
const NUMBER: u8 = 1;
const SET: Set = Set {
    number: 1,
    replicas: 3,
    key: Key([9, 8, 7, 6]),
    code: Code::Arithmetic,
};

struct Pages(Vec<Page>);

impl PageMemory for Pages {
    fn page(&self, page: PageNumber) -> &Page {
        &self.0[page.0 as usize]
    }

    fn replace(&mut self, page: PageNumber, content: &Page) {
        self.0[page.0 as usize] = *content;
    }

    fn take_dirty(&mut self, _: PageNumber) -> bool {
        true
    }
}

struct Bench {
    hashing: Hashing,
    member: Member<Vec<u64>>,
    memory: Pages,
    own: Vec<AtomicU64>,
    voter: Vec<AtomicU64>,
}

fn words(bytes: u64) -> Vec<AtomicU64> {
    (0..bytes / 8).map(|_| AtomicU64::new(0)).collect()
}

/// The channels of a replica that no other is seen from.
fn channels<'a>(own: &'a [AtomicU64], voter: &'a [ChannelReader<'a>]) -> ReplicaChannels<'a> {
    ReplicaChannels {
        own: Writer::new(own),
        ballot: ChannelWriter::Plain(Writer::new(own)),
        voters: Voters(voter),
        replicas: &[],
    }
}

impl Bench {
    fn new(starts_with_set: bool) -> Self {
        let hashing = Hashing {
            set: SET,
            hasher: LeafKind::ahash(&SET.key),
        };
        let mut bench = Self {
            member: Member::new(&hashing, vec![0; PAGES as usize], vec![], starts_with_set),
            hashing,
            memory: Pages(vec![[0; PAGE_SIZE]; PAGES as usize]),
            own: words(replica_channel_bytes(PAGES)),
            voter: words(voter_channel_bytes(PAGES)),
        };
        assert_eq!(bench.hash_all(), PAGES, "at the start");
        bench
    }

    fn layout(&self) -> VoterLayout {
        VoterLayout::new(self.voter.len()).unwrap()
    }

    fn hash_all(&mut self) -> u32 {
        let own = Writer::new(&self.own);
        let mut hashed = 0;
        while !self.member.is_settled() {
            let step = self.member.hash_step(&self.hashing, &mut self.memory, own);
            hashed += u32::from(step.is_some());
        }
        hashed
    }

    /// The job of an epoch, which writes to a page, and its commit.
    fn job(&mut self, epoch: u64) {
        self.member.begin_job(epoch);
        self.memory.0[2][0] = epoch as u8 + 1;
        self.member.end_job(0);
        let own = Writer::new(&self.own);
        while self
            .member
            .commit_step(&self.hashing, &mut self.memory, own)
            != CommitStep::Done
        {}
    }

    fn open(&mut self, epoch: u64) -> Opening {
        let voter = [ChannelReader::Plain(Reader::new(&self.voter))];
        self.member
            .open(&self.hashing, NUMBER, epoch, &Voters(&voter))
    }

    fn close(&mut self, epoch: u64) -> Option<(Option<Duty>, bool)> {
        let voter = [ChannelReader::Plain(Reader::new(&self.voter))];
        let channels = channels(&self.own, &voter);
        match self.member.close(&self.hashing, NUMBER, epoch, &channels) {
            Closing::NotYet | Closing::Unagreed { .. } => None,
            Closing::Closed {
                duty, is_member, ..
            } => Some((duty, is_member)),
        }
    }

    fn cast(&mut self, epoch: u64, ran: Option<Ran<'_>>) -> Option<Ballot> {
        let voter = [ChannelReader::Plain(Reader::new(&self.voter))];
        let channels = channels(&self.own, &voter);
        let cast = self
            .member
            .cast(&self.hashing, NUMBER, epoch, ran, &channels);
        let read = || Ballot::read(&SET, 1, Reader::new(&self.own)).unwrap();
        cast.then(read)
    }

    /// A verdict that finds this replica's state agreed, whatever it says of the replica.
    fn agree(&self, epoch: u64, standing: Standing) -> Verdict {
        let mut standings = [Standing::Absent; MAX_REPLICAS];
        standings[..3].copy_from_slice(&[Standing::Agreed, standing, Standing::Agreed]);
        Verdict {
            epoch,
            outcome: Outcome::Majority,
            standings,
            rehash: Members::NONE,
            plan: None,
            lost: 0,
            newest: None,
            state: State {
                pages: PAGES,
                summary: self.member.table.summary(),
                jobs_until: epoch + 1,
            },
            owner: None,
        }
    }

    fn publish(&self, verdict: &Verdict) {
        verdict.publish(&SET, &self.layout(), Writer::new(&self.voter));
    }
}

#[test]
fn a_replica_runs_only_with_the_last_verdict_at_hand() {
    let mut bench = Bench::new(true);
    assert_eq!(bench.open(0), Opening::First);
    bench.job(0);
    assert_eq!(bench.open(0), Opening::Hold, "nothing runs twice");
    assert_eq!(bench.open(1), Opening::NotYet, "no verdict");
    let verdict = bench.agree(0, Standing::Agreed);
    bench.publish(&verdict);
    assert_eq!(bench.open(1), Opening::Run(verdict));
    bench.job(1);
    assert_eq!(
        bench.open(2),
        Opening::NotYet,
        "the verdict is the last one's"
    );
    let verdict = bench.agree(1, Standing::Agreed);
    bench.publish(&verdict);
    assert_eq!(bench.open(2), Opening::Run(verdict));
    let lost = Verdict {
        outcome: Outcome::Lost,
        lost: 1,
        ..bench.agree(1, Standing::Agreed)
    };
    bench.publish(&lost);
    assert_eq!(bench.open(2), Opening::Hold, "nothing was agreed");
}

#[test]
fn a_replica_is_a_member_because_of_its_state_and_not_because_it_is_told_so() {
    for standing in [Standing::Minority, Standing::Timeout, Standing::Malformed] {
        let mut bench = Bench::new(true);
        bench.job(0);
        let verdict = Verdict {
            rehash: Members(0b010),
            ..bench.agree(0, standing)
        };
        bench.publish(&verdict);
        assert_eq!(bench.close(0), Some((None, true)), "{standing:?}");
        assert_eq!(bench.open(1), Opening::Run(verdict), "{standing:?}");
    }
    let mut bench = Bench::new(true);
    bench.job(0);
    let mut other = bench.agree(0, Standing::Agreed);
    other.state.summary.0 ^= 1;
    bench.publish(&other);
    assert_eq!(bench.open(1), Opening::Doubt);
    bench.member.doubt();
    assert_eq!(bench.hash_all(), PAGES);
    assert_eq!(bench.close(0), Some((Some(Duty::Rehash), false)));
}

#[test]
fn a_flip_in_the_kept_summary_alone_keeps_nobody_out() {
    let mut bench = Bench::new(true);
    bench.job(0);
    let verdict = bench.agree(0, Standing::Agreed);
    bench.publish(&verdict);
    bench.member.visit(&mut |name, word| {
        *word ^= u64::from(name == "table.summary") << 50;
    });
    assert_eq!(bench.open(1), Opening::Run(verdict));
}

/// What only grows is checked against what it can be: its ballot would be malformed for ever.
#[test]
fn a_replica_that_has_not_run_claims_no_job_and_no_verdict_that_are_to_come() {
    let mut bench = Bench::new(true);
    let beyond = Ancestry {
        origin: Some(Origin {
            after: 6,
            ..Origin::START
        }),
        jobs_until: 1 << 40,
    };
    bench.member.ancestry.write(beyond.to_words());
    let held = bench.cast(5, None).unwrap();
    assert_eq!((held.origin, held.jobs_until), (None, 5));
}

#[test]
fn a_ballot_names_the_verdict_that_the_state_comes_from() {
    let mut bench = Bench::new(true);
    bench.job(0);
    let ran = Ran {
        input: Leaf(5),
        answer: Answer::Taken,
        output: &[7, 8],
    };
    let ran = bench.cast(0, Some(ran)).unwrap();
    assert_eq!(
        (ran.kind, ran.origin),
        (BallotKind::Ran, Some(Origin::START))
    );
    assert_eq!((ran.jobs_until, ran.count, ran.output[1]), (1, 2, 8));

    // No verdict comes: it holds what the job has left it.
    let held = bench.cast(1, None).unwrap();
    assert_eq!((held.kind, held.origin), (BallotKind::Held, ran.origin));
    assert_eq!((held.jobs_until, held.count), (1, 0));
    assert_eq!((ran.answer, held.answer), (Answer::Taken, Answer::None));
    // The verdict comes late: it names that.
    let verdict = bench.agree(0, Standing::Agreed);
    bench.publish(&verdict);
    let (origin, _) = verdict.agreed(&SET).unwrap();
    assert_eq!(bench.cast(2, None).unwrap().origin, Some(origin));
    // One that only hands on what was agreed before is as good.
    let lost = Verdict {
        outcome: Outcome::Lost,
        lost: 1,
        newest: Some(origin),
        ..bench.agree(2, Standing::Recovering)
    };
    bench.publish(&lost);
    assert_eq!(bench.cast(3, None).unwrap().origin, Some(origin));
}

#[test]
fn what_has_started_anew_comes_from_nowhere_until_it_has_the_agreed_state() {
    let mut bench = Bench::new(false);
    assert_eq!(bench.open(0), Opening::Hold);
    assert_eq!(bench.cast(7, None).unwrap().origin, None);
    let mut other = bench.agree(7, Standing::Recovering);
    other.state.summary.0 ^= 1;
    bench.publish(&other);
    assert_eq!(bench.open(8), Opening::Hold);
    assert_eq!(bench.cast(8, None).unwrap().origin, None);
    let verdict = bench.agree(8, Standing::Recovering);
    bench.publish(&verdict);
    assert_eq!(bench.open(9), Opening::Run(verdict));
}

#[test]
fn who_was_cut_off_hashes_all_of_its_pages_and_asks() {
    let mut bench = Bench::new(true);
    bench.member.begin_job(0);
    bench.memory.0[2][0] = 99;
    bench.member.cut_off();
    assert_eq!(bench.cast(0, None), None, "its leaves say nothing yet");
    // Even a verdict on what its leaves say does not let it run before they are true.
    bench.publish(&bench.agree(0, Standing::Agreed));
    assert_eq!(bench.close(0), Some((Some(Duty::Rehash), false)));
    assert_eq!(bench.hash_all(), PAGES);
    let ballot = bench.cast(1, None).unwrap();
    assert_eq!((ballot.kind, ballot.origin), (BallotKind::Held, None));
}

#[test]
fn a_commit_that_is_late_is_finished_and_the_state_whole() {
    let mut bench = Bench::new(true);
    bench.job(0);
    let verdict = bench.agree(0, Standing::Timeout);
    bench.member.end_job(0);
    assert_eq!(bench.cast(0, None), None);
    bench.publish(&verdict);
    assert_eq!(bench.close(0), Some((Some(Duty::Commit), false)));
    let mut scratch = [0; PAGE_SIZE];
    let voter = [ChannelReader::Plain(Reader::new(&bench.voter))];
    let channels = channels(&bench.own, &voter);
    let (hashing, memory) = (&bench.hashing, &mut bench.memory);
    let mut step = || {
        bench
            .member
            .repair_step(hashing, memory, &mut scratch, &channels)
    };
    let ended = (0..20).any(|_| step() == RepairStep::Ended(RepairEnd::Complete));
    assert!(ended);
    assert_eq!(bench.open(1), Opening::Run(verdict));
}
