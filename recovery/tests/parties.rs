//! What donor, witness and target do, and refuse to do, step by step.
mod bench;

use bench::{Bench, EPOCH, Party, SET, hashing};
use tern_recovery::{Commit, CommitStep, RepairEnd, RepairStep};
use tern_units::{PageNumber, StateWords};
use tern_vote::{ReplicaLayout, SLOTS, VoterLayout, Writer};

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
                .write(Writer::new(&bench.witness.channel), &SET.key, EPOCH, &entry);
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
                    .write(Writer::new(&bench.witness.channel), &SET.key, EPOCH, &entry);
            },
        ),
        (
            "the witness confirms it as another page",
            |bench, layout| {
                let [a, b, c, d] = tern_vote::sha256(&[2; 4096]).0;
                let entry = [EPOCH, 0, 2, a, b, c, d];
                layout
                    .hash(0)
                    .write(Writer::new(&bench.witness.channel), &SET.key, EPOCH, &entry);
            },
        ),
        ("the donor gives it as another page", |bench, layout| {
            let leaf = bench.donor.table.recorded(PageNumber(1)).unwrap().0;
            let head = [EPOCH, 0, 0, leaf];
            layout
                .slot(0)
                .write(Writer::new(&bench.donor.channel), &SET.key, EPOCH, &head);
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
        copies[torn].open(Writer::new(&bench.target.channel), EPOCH);
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
    let mut commit = Commit::default();
    // A flip that no dirty bit shows, in a page the scrub comes to in the third commit.
    party.memory.pages[8][0] ^= 4;
    let mut found = None;
    for epoch in 0..3 {
        party.memory.pages[3][0] = epoch + 1;
        party.memory.dirty[3] = true;
        commit.begin(4);
        let (mut hashed, mut scrubbed) = (Vec::new(), 0);
        loop {
            match commit.step(&hashing(), &mut party.memory, &mut party.table, own) {
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
fn the_summary_is_made_anew_once_a_round_of_the_scrub() {
    let mut party = Party::new(&[0; 4]);
    let own = Writer::new(&party.channel);
    let mut commit = Commit::default();
    let mut rounds = Vec::new();
    for is_hit in [false, true] {
        commit.begin(4);
        loop {
            let step = commit.step(&hashing(), &mut party.memory, &mut party.table, own);
            match step {
                CommitStep::Scrubbed { page, .. } if page.0 == 3 && is_hit => {
                    // A leaf that the scrub has passed.
                    let mut leaves = 0;
                    party.table.visit(&mut |name, word| {
                        leaves += u32::from(name == "table.leaf");
                        *word ^= u64::from(leaves == 1) << 40;
                    });
                }
                CommitStep::Round { sound } => rounds.push(sound),
                CommitStep::Done => break,
                _ => {}
            }
        }
    }
    assert_eq!(rounds, [true, false]);
}

/// What a commit has still to do may be any number once a bit has flipped.
#[test]
fn a_commit_ends_whatever_its_words_are() {
    for bit in 0..64 {
        for word in 0..3 {
            let mut party = Party::new(&[0; 4]);
            let own = Writer::new(&party.channel);
            let mut commit = Commit::default();
            commit.begin(2);
            let mut at = 0;
            commit.visit(&mut |_, value| {
                *value ^= u64::from(at == word) << bit;
                at += 1;
            });
            let (memory, table) = (&mut party.memory, &mut party.table);
            let mut step = || commit.step(&hashing(), memory, table, own);
            let ended = (0..20).any(|_| step() == CommitStep::Done);
            assert!(ended, "bit {bit} of word {word}");
        }
    }
}
