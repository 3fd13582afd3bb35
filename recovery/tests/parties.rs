//! What donor, witness and target do, and refuse to do, step by step.
mod bench;

use bench::{Bench, EPOCH, Party, SET, words};
use std::cell::Cell;
use std::rc::Rc;
use tern_recovery::{
    Closing, Commit, CommitStep, Duty, Opening, Published, RepairEnd, RepairStep, Replica,
};
use tern_units::PageNumber;
use tern_vote::{
    LeafKind, MAX_REPLICAS, Members, Outcome, Reader, Release, ReplicaLayout, SLOTS, Standing,
    Summary, Verdict, VoterLayout, Writer, voter_channel_bytes,
};

const ENDED: RepairStep = RepairStep::Ended(RepairEnd::Complete);

fn page(number: u32, left: u32) -> RepairStep {
    RepairStep::Page {
        page: PageNumber(number),
        left,
    }
}

#[test]
fn only_the_pages_that_differ_travel_and_then_all_is_equal() {
    let mut bench = Bench::new(&[1, 2, 3, 4, 5], &[1, 0, 3, 4, 0]);
    assert_eq!(
        bench.take(),
        RepairStep::Waiting { left: 2 },
        "nothing given"
    );
    assert_eq!(bench.give(), page(1, 1));
    assert_eq!(
        bench.take(),
        RepairStep::Waiting { left: 2 },
        "nothing confirmed"
    );
    assert_eq!(bench.confirm(), page(1, 1));
    assert_eq!(bench.take(), page(1, 1));
    assert_eq!((bench.give(), bench.give()), (page(4, 0), ENDED));
    assert_eq!((bench.confirm(), bench.confirm()), (page(4, 0), ENDED));
    assert_eq!((bench.take(), bench.take()), (page(4, 0), ENDED));
    assert_eq!(bench.taking.progress().accepted, 2);
    assert_eq!(bench.target.memory.pages, bench.donor.memory.pages);
    assert_eq!(bench.target.table.summary(), bench.donor.table.summary());
}

#[test]
fn nothing_reaches_the_targets_memory_that_majority_and_witness_do_not_confirm() {
    let layout = |bench: &Bench| ReplicaLayout::new(bench.donor.channel.len()).unwrap();
    type Damage = fn(&Bench, ReplicaLayout);
    let cases: [(&str, Damage); 5] = [
        ("a bit of the page on its way", |bench, layout| {
            bench.donor.flip(layout.slot_page(0) + 17, 40);
        }),
        ("the witness's word is another's", |bench, layout| {
            let other = tern_vote::sha256(&[7; 4096]).0;
            let entry = [EPOCH, 0, 1, other[0], other[1], other[2], other[3]];
            layout
                .hash(0)
                .write(Writer::new(&bench.witness.channel), &SET.key, &entry);
        }),
        (
            "donor and witness agree on a page that the majority does not have",
            |bench, layout| {
                let content = [7; 4096];
                for word in 0..512 {
                    let at = layout.slot_page(0) + word;
                    Writer::new(&bench.donor.channel).store(at, 0x0707_0707_0707_0707);
                }
                let [a, b, c, d] = tern_vote::sha256(&content).0;
                let entry = [EPOCH, 0, 1, a, b, c, d];
                layout
                    .hash(0)
                    .write(Writer::new(&bench.witness.channel), &SET.key, &entry);
            },
        ),
        (
            "the witness confirms it as another page",
            |bench, layout| {
                let [a, b, c, d] = tern_vote::sha256(&[2; 4096]).0;
                let entry = [EPOCH, 0, 2, a, b, c, d];
                layout
                    .hash(0)
                    .write(Writer::new(&bench.witness.channel), &SET.key, &entry);
            },
        ),
        ("the donor gives it as another page", |bench, layout| {
            let leaf = bench.donor.table.recorded(PageNumber(1)).0;
            let head = [EPOCH, 0, 0, leaf];
            layout
                .slot(0)
                .write(Writer::new(&bench.donor.channel), &SET.key, &head);
        }),
    ];
    for (what, damage) in cases {
        let mut bench = Bench::new(&[1, 2, 3], &[1, 0, 3]);
        bench.give();
        bench.confirm();
        damage(&bench, layout(&bench));
        assert_eq!(bench.take(), page(1, 0), "{what}");
        assert_eq!(bench.taking.progress().rejected, 1, "{what}");
        assert_eq!(bench.target.memory.pages[1], [0; 4096], "{what}");
        assert_eq!(
            bench.take(),
            RepairStep::Ended(RepairEnd::Incomplete),
            "{what}"
        );
    }
}

#[test]
fn every_bit_of_a_slots_head_and_of_a_confirmation_is_needed() {
    let mut bench = Bench::new(&[1, 2, 3], &[1, 0, 3]);
    bench.give();
    bench.confirm();
    let layout = ReplicaLayout::new(bench.donor.channel.len()).unwrap();
    let donor: fn(&Bench) -> &Party = |bench| &bench.donor;
    let witness: fn(&Bench) -> &Party = |bench| &bench.witness;
    for (party, first, words, what) in [
        (donor, layout.slot(0).at, 7, "head"),
        (witness, layout.hash(0).at, 10, "confirmation"),
    ] {
        for bit in 0..64 * words {
            let (word, place) = (first + bit / 64, bit as u32 % 64);
            party(&bench).flip(word, place);
            let step = bench.take();
            assert_eq!(step, RepairStep::Waiting { left: 1 }, "{what}, bit {bit}");
            party(&bench).flip(word, place);
        }
    }
    assert_eq!(bench.take(), page(1, 0));
}

#[test]
fn a_frame_with_a_stuck_bit_does_not_count_as_repaired() {
    let mut bench = Bench::new(&[2, 2, 2], &[2, 0, 2]);
    bench.target.memory.stuck = Some((1, 99));
    bench.give();
    bench.confirm();
    assert_eq!(bench.take(), page(1, 0));
    assert_eq!(bench.taking.progress().rejected, 1);
    assert_eq!(bench.take(), RepairStep::Ended(RepairEnd::Incomplete));
}

#[test]
fn who_finds_its_own_page_damaged_says_so_in_its_table_and_gives_nothing() {
    let fault = RepairStep::Ended(RepairEnd::OwnFault(PageNumber(1)));
    let mut bench = Bench::new(&[1, 2, 3], &[1, 0, 3]);
    let before = bench.donor.table.summary();
    bench.donor.memory.pages[1][5] ^= 1;
    bench.witness.memory.pages[1][5] ^= 2;
    assert_eq!(bench.give(), fault);
    assert_eq!(bench.confirm(), fault);
    assert_ne!(bench.donor.table.summary(), before);
    assert_ne!(bench.witness.table.summary(), before);
    assert_eq!(bench.take(), RepairStep::Waiting { left: 1 });
}

#[test]
fn a_donor_stays_within_its_slots_of_the_target() {
    let pages = 3 * SLOTS;
    let mut bench = Bench::new(&vec![1; pages], &vec![0; pages]);
    let mut given = 0;
    for taken in 0..pages {
        while let RepairStep::Page { .. } = bench.give() {
            given += 1;
        }
        assert_eq!(given, (taken + SLOTS).min(pages), "with {taken} taken");
        bench.confirm();
        assert!(matches!(bench.take(), RepairStep::Page { .. }));
    }
    assert_eq!(bench.take(), ENDED);
}

/// It is said twice, one copy after the other: what a donor finds while the target writes is
/// what was said before, or after, and no reason to wait.
#[test]
fn a_donor_does_not_wait_because_the_target_is_at_its_progress() {
    let pages = SLOTS + 2;
    for torn in 0..2 {
        let mut bench = Bench::new(&vec![1; pages], &vec![0; pages]);
        while let RepairStep::Page { .. } = bench.give() {}
        bench.confirm();
        assert!(matches!(bench.take(), RepairStep::Page { .. }));
        let layout = ReplicaLayout::new(bench.target.channel.len()).unwrap();
        let copies = layout.progress().copies();
        copies[torn].open(Writer::new(&bench.target.channel));
        assert!(matches!(bench.give(), RepairStep::Page { .. }), "{torn}");
        assert!(matches!(bench.give(), RepairStep::Waiting { .. }));
    }
}

#[test]
fn a_list_of_another_epoch_is_nobodys_work() {
    let mut bench = Bench::new(&[1, 2, 3], &[1, 0, 3]);
    let layout = VoterLayout::new(bench.voter.len()).unwrap();
    // The voter writes the next list over this one.
    *bench.voter[layout.difference(0) + 2].get_mut() ^= 1;
    let incomplete = RepairStep::Ended(RepairEnd::Incomplete);
    assert_eq!(bench.give(), incomplete);
    assert_eq!(bench.confirm(), incomplete);
    assert_eq!(bench.take(), incomplete);
}

#[test]
fn a_commit_hashes_what_was_written_and_its_scrub_comes_round() {
    let mut party = Party::new(&[0; 10]);
    let own = Writer::new(&party.channel);
    let mut commit = Commit::new(4);
    // A flip that no dirty bit shows, in a page the scrub comes to in the third commit.
    party.memory.pages[8][0] ^= 4;
    let mut found = None;
    for epoch in 0..3 {
        party.memory.pages[3][0] = epoch + 1;
        party.memory.dirty[3] = true;
        commit.begin();
        let (mut hashed, mut scrubbed) = (Vec::new(), 0);
        loop {
            match commit.step(&mut party.memory, &mut party.table, own) {
                CommitStep::Hashed(page) => hashed.push(page.0),
                CommitStep::Scrubbed { page, sound } => {
                    scrubbed += 1;
                    if !sound {
                        found = Some((epoch, page.0));
                    }
                }
                CommitStep::Skipped | CommitStep::Round { sound: true } => {}
                CommitStep::Round { sound: false } => panic!("the summary was as kept"),
                CommitStep::Done => break,
            }
        }
        assert_eq!((hashed, scrubbed), (vec![3], 4));
    }
    assert_eq!(found, Some((2, 8)));
    assert_eq!(commit.scrub_position(), PageNumber(2), "round once, and on");
}

#[test]
fn a_replica_runs_only_with_the_last_verdict_and_the_input_at_hand() {
    let voter = words(voter_channel_bytes(4));
    let layout = VoterLayout::new(voter.len()).unwrap();
    let (reader, writer) = (Reader::new(&voter), Writer::new(&voter));
    let hasher = LeafKind::ahash(&SET.key);
    let mut replica = Replica::new(SET, 1, hasher, vec![0; 4], 1);
    let mut party = Party::new(&[0; 4]);
    let own = Writer::new(&party.channel);
    while replica.hash_step(&mut party.memory, own).is_some() {}

    assert_eq!(
        replica.open(0, reader, false),
        Opening::Run(Release::default())
    );
    assert_eq!(
        replica.open(1, reader, false),
        Opening::NotYet,
        "no verdict"
    );
    let mut standings = [Standing::Absent; MAX_REPLICAS];
    standings[..3].fill(Standing::Agreed);
    let verdict = Verdict {
        epoch: 0,
        outcome: Outcome::Unanimous,
        standings,
        rehash: Members::NONE,
        abandoned: Members::NONE,
        plan: None,
        pages: 4,
        summary: Summary(0),
    };
    verdict.publish(&SET, &layout, writer);
    assert_eq!(replica.open(1, reader, false), Opening::NotYet, "no input");
    let release = Release {
        epoch: 1,
        ..Release::default()
    };
    release.publish(&SET, &layout, writer);
    assert_eq!(replica.open(1, reader, false), Opening::Run(release));
    let next_release = Release {
        epoch: 2,
        ..Release::default()
    };
    next_release.publish(&SET, &layout, writer);
    assert_eq!(
        replica.open(2, reader, false),
        Opening::NotYet,
        "the verdict is the last one's"
    );
    release.publish(&SET, &layout, writer);
    let next_verdict = Verdict {
        epoch: 1,
        ..verdict
    };
    next_verdict.publish(&SET, &layout, writer);
    assert_eq!(
        replica.open(2, reader, false),
        Opening::NotYet,
        "the input is the last one's"
    );
    assert!(replica.is_member());
    assert_eq!(
        replica.open(2, reader, true),
        Opening::Recover,
        "and no time is left"
    );
    assert!(!replica.is_member());

    let stopped = Verdict {
        epoch: 2,
        outcome: Outcome::NoMajority,
        ..verdict
    };
    stopped.publish(&SET, &layout, writer);
    assert_eq!(replica.open(3, reader, true), Opening::Stopped);
}

/// The verdict that a set of three gives on an epoch in which replica 1 stood so.
fn verdict_on(epoch: u64, standing: Standing) -> Verdict {
    let mut standings = [Standing::Absent; MAX_REPLICAS];
    standings[..3].copy_from_slice(&[Standing::Agreed, standing, Standing::Agreed]);
    Verdict {
        epoch,
        outcome: Outcome::Majority,
        standings,
        rehash: if standing.has_ballot() {
            Members::NONE
        } else {
            Members(0b010)
        },
        abandoned: Members::NONE,
        plan: None,
        pages: 4,
        summary: Summary(0),
    }
}

#[test]
fn who_was_cancelled_hashes_all_of_its_pages_once_and_then_asks() {
    let voter = words(voter_channel_bytes(4));
    let layout = VoterLayout::new(voter.len()).unwrap();
    let (reader, writer) = (Reader::new(&voter), Writer::new(&voter));
    let hasher = LeafKind::ahash(&SET.key);
    let mut replica = Replica::new(SET, 1, hasher, vec![0; 4], 1);
    let mut party = Party::new(&[0; 4]);
    let own = Writer::new(&party.channel);
    let mut hash_all = |replica: &mut Replica<Vec<u64>>| {
        let mut hashed = 0;
        while replica.hash_step(&mut party.memory, own).is_some() {
            hashed += 1;
        }
        hashed
    };
    assert_eq!(hash_all(&mut replica), 4, "at the start");

    assert_eq!(
        replica.open(0, reader, true),
        Opening::Run(Release::default())
    );
    replica.cancel();
    assert_eq!(
        replica.cast_recovering(own),
        None,
        "its leaves say nothing yet"
    );
    // Even a verdict that counts it in does not let it run before its leaves are true.
    verdict_on(0, Standing::Agreed).publish(&SET, &layout, writer);
    assert_eq!(replica.close(0, reader), Closing::Work(Duty::Rehash));
    assert!(!replica.is_member());

    assert_eq!(replica.open(1, reader, true), Opening::Recover);
    assert_eq!(hash_all(&mut replica), 4);
    // The ballot deadline came first. The verdict asks for what has just been done.
    verdict_on(1, Standing::Timeout).publish(&SET, &layout, writer);
    assert_eq!(replica.close(1, reader), Closing::Idle);
    assert_eq!(replica.open(2, reader, true), Opening::Recover);
    assert!(replica.cast_recovering(own).is_some());

    // A verdict that asks for it later, such as for a damaged ballot, is followed.
    verdict_on(2, Standing::Malformed).publish(&SET, &layout, writer);
    assert_eq!(replica.close(2, reader), Closing::Work(Duty::Rehash));
    assert_eq!(hash_all(&mut replica), 4);
}

/// Leaves that a fault changes behind the table's back.
struct Faulty {
    leaves: Vec<u64>,
    damaged: Vec<u64>,
    hit: Rc<Cell<bool>>,
}

impl AsRef<[u64]> for Faulty {
    fn as_ref(&self) -> &[u64] {
        if self.hit.get() {
            &self.damaged
        } else {
            &self.leaves
        }
    }
}

impl AsMut<[u64]> for Faulty {
    fn as_mut(&mut self) -> &mut [u64] {
        &mut self.leaves
    }
}

#[test]
fn the_summary_is_made_anew_once_a_round_of_the_scrub() {
    let hit = Rc::new(Cell::new(false));
    let storage = Faulty {
        leaves: vec![0; 4],
        damaged: vec![9; 4],
        hit: hit.clone(),
    };
    let mut table = Published::new(SET, LeafKind::ahash(&SET.key), storage);
    let mut party = Party::new(&[0; 4]);
    let own = Writer::new(&party.channel);
    let mut commit = Commit::new(4);
    let mut rounds = Vec::new();
    for is_hit in [false, true] {
        commit.begin();
        loop {
            match commit.step(&mut party.memory, &mut table, own) {
                CommitStep::Scrubbed { page, .. } if page.0 == 3 => hit.set(is_hit),
                CommitStep::Round { sound } => rounds.push(sound),
                CommitStep::Done => break,
                _ => {}
            }
        }
    }
    assert_eq!(rounds, [true, false]);
}
