//! Every fault of one bit that the vote on digests can meet, in the machine code of the kernel's
//! own ELF: each bit of each general register, of the flags and of the instruction pointer before
//! each instruction of the vote, and each bit of each word of memory that it has; and two bits of
//! each word of memory. In code words no digest is accepted that no majority cast; in plain words
//! some are.
//!
//! The vote is stepped through once without a fault. For each fault, a process that has all of the
//! kernel's code, constants and data gets registers and memory as they were before the
//! instruction, with the fault, and runs on at full speed to the return, an exception, or a bound.
//! What comes out goes to the check that takes it in the kernel. A change of a word of memory
//! between two accesses is decided by the next one, so there is one run for each access that reads,
//! and bit; words that are written over next are changed in vain.
//!
//! `cargo test` tries all faults of a vote of three, and of plain words, and some of more replicas.
//! Votes of three to seven replicas, by every majority that there is, are all tried by `cargo
//! nextest run --release -p tern-tests --test coded_vote --run-ignored only --no-capture`, in
//! shards with `SHARD=K/N`. Nothing is random but which points are compared with their class.
mod faults;
mod golden;
mod image;
mod tracee;

use faults::{Fault, Outcome, Tally};
use golden::{Golden, Question};
use image::KernelImage;
use std::time::Instant;
use tern_vote::Code;
use tracee::{Stop, Tracee};

const RIGHT: u64 = 0x1234_5678_9abc_def0;
/// It differs in a bit, which is a bit of one word.
const NEAR: u64 = RIGHT ^ 1 << 22;
/// It differs in all words.
const FAR: u64 = 0xfedc_ba98_7654_3210;

/// Processes that meet faults at the same time.
const PROCESSES: usize = 2;

/// The vote of `replicas`, of which those of `majority` cast the right digest, and the others
/// another.
fn question(code: Code, replicas: u8, majority: u32, other: u64) -> Question {
    let digest = |replica: u8| {
        if majority >> replica & 1 == 1 {
            RIGHT
        } else {
            other
        }
    };
    Question {
        code,
        digests: (0..replicas).map(digest).collect(),
        leader: majority.trailing_zeros(),
        followers: majority & (majority - 1),
        right: RIGHT,
    }
}

/// The vote of three of which the first is to lead, though the others have cast another digest:
/// who decided has erred, or met a fault, before.
fn misled(other: u64) -> Question {
    Question {
        leader: 0,
        followers: 0b110,
        ..question(Code::Arithmetic, 3, 0b110, other)
    }
}

fn singles() -> Vec<u64> {
    (0..64).map(|bit| 1 << bit).collect()
}

fn pairs() -> Vec<u64> {
    let pairs = (0..64).flat_map(|first| (0..first).map(move |second| 1 << first | 1 << second));
    pairs.collect()
}

/// All faults of one bit, those in memory by class.
fn single_faults(golden: &Golden) -> Vec<(usize, Fault)> {
    let mut faults = golden.register_faults();
    faults.extend(golden.memory_faults(&singles()));
    faults
}

fn record(image: &KernelImage, question: &Question) -> Golden {
    Golden::record(image, &mut Tracee::start(image), question)
}

/// Lets the vote meet all of these faults, and says what they came to.
fn meet(image: &KernelImage, golden: &Golden, faults: &[(usize, Fault)]) -> Tally {
    let start = Instant::now();
    let mut tally = Tally::default();
    std::thread::scope(|scope| {
        let parts = faults.chunks(faults.len().div_ceil(PROCESSES).max(1));
        let workers: Vec<_> = parts
            .map(|part| scope.spawn(|| golden.meet_all(&mut Tracee::start(image), part)))
            .collect();
        for worker in workers {
            tally.merge(worker.join().expect("a worker that ends"));
        }
    });
    let question = &golden.question;
    println!(
        "{:?}, {} replicas, {} leads {:#b}: {} instructions, {} faults in {:.1} s; each bit \
         at each instruction is {} points",
        question.code,
        question.digests.len(),
        question.leader,
        question.followers,
        golden.steps.len(),
        tally.total(),
        start.elapsed().as_secs_f64(),
        golden.points()
    );
    tally.print();
    tally
}

fn assert_none_wrong(tally: &Tally) {
    let wrong = tally.wrong();
    assert_eq!(tally.of(Outcome::Wrong), 0, "such as {wrong:?}");
}

#[test]
fn no_fault_of_one_bit_makes_a_coded_vote_of_three_let_a_wrong_digest_be_accepted() {
    let image = KernelImage::load();
    for (majority, other) in [(0b110, NEAR), (0b111, FAR)] {
        let golden = record(&image, &question(Code::Arithmetic, 3, majority, other));
        assert_eq!(golden.outcome(), Outcome::Right);
        let tally = meet(&image, &golden, &single_faults(&golden));
        assert_none_wrong(&tally);
        // Most faults hit what is not used any more, and thousands cost the output.
        assert!(tally.of(Outcome::Right) > tally.total() / 4);
        assert!(tally.of(Outcome::Withheld) > tally.total() / 10);
    }
}

#[test]
fn nor_where_another_fault_has_made_the_wrong_replica_lead() {
    let image = KernelImage::load();
    for other in [NEAR, FAR] {
        let golden = record(&image, &misled(other));
        assert_eq!(golden.outcome(), Outcome::Withheld);
        let tally = meet(&image, &golden, &single_faults(&golden));
        assert_none_wrong(&tally);
    }
}

#[test]
fn nor_do_two_bits_of_a_word_of_memory() {
    let image = KernelImage::load();
    let golden = record(&image, &question(Code::Arithmetic, 3, 0b110, NEAR));
    let tally = meet(&image, &golden, &golden.memory_faults(&pairs()));
    assert_none_wrong(&tally);
    assert!(tally.of(Outcome::Withheld) > tally.total() / 10);
}

/// One of about forty.
#[test]
fn nor_do_some_of_the_faults_of_more_replicas() {
    let image = KernelImage::load();
    for (replicas, majority) in [(4, 0b1110), (5, 0b11100), (6, 0b111100), (7, 0b1111000)] {
        let golden = record(&image, &question(Code::Arithmetic, replicas, majority, FAR));
        assert_eq!(golden.outcome(), Outcome::Right);
        let some: Vec<_> = single_faults(&golden).into_iter().step_by(41).collect();
        assert_none_wrong(&meet(&image, &golden, &some));
    }
}

#[test]
fn single_bits_make_a_plain_vote_let_a_wrong_digest_be_accepted() {
    let image = KernelImage::load();
    let golden = record(&image, &question(Code::Plain, 3, 0b110, NEAR));
    assert_eq!(golden.outcome(), Outcome::Right);
    let tally = meet(&image, &golden, &single_faults(&golden));
    assert!(
        tally.of(Outcome::Wrong) > 100,
        "the check of plain words checks"
    );
}

#[test]
fn faults_of_memory_come_to_what_their_class_comes_to() {
    let image = KernelImage::load();
    let golden = record(&image, &question(Code::Arithmetic, 3, 0b110, NEAR));
    let (words, mut tracee) = (golden.words(), Tracee::start(&image));
    let mut random = fastrand::Rng::with_seed(1);
    for _ in 0..1_000 {
        let step = random.usize(0..=golden.steps.len());
        let word = words[random.usize(0..words.len())];
        let fault = Fault::Word(word, 1 << random.u32(0..64));
        let expected = match golden.class(step, word) {
            Some(class) => golden.meet(&mut tracee, class, fault),
            None => golden.outcome(),
        };
        let outcome = golden.meet(&mut tracee, step, fault);
        assert_eq!(outcome, expected, "step {step}, {fault:x?}");
    }
}

/// The kernel has a jump to itself, in which a core is held when a fault asks for it.
#[test]
fn a_vote_that_does_not_end_is_ended() {
    let image = KernelImage::load();
    let golden = record(&image, &question(Code::Arithmetic, 3, 0b110, NEAR));
    let mut registers = golden.steps[0].registers;
    let code = image.at(image::BASE, (image.parts[0].end - image::BASE) as usize);
    let endless = code.windows(2).position(|bytes| bytes == [0xeb, 0xfe]);
    registers.rip = image::BASE + endless.expect("a jump to itself") as u64;
    assert_eq!(Tracee::start(&image).run(&registers), Stop::Hung);
}

/// This shard's of so many faults.
fn sharded(faults: Vec<(usize, Fault)>) -> Vec<(usize, Fault)> {
    let shard = std::env::var("SHARD").unwrap_or_else(|_| "1/1".into());
    let numbers: Vec<usize> = shard.split('/').filter_map(|it| it.parse().ok()).collect();
    let [number, shards] = numbers[..] else {
        panic!("SHARD=K/N, not {shard}")
    };
    let faults = faults.into_iter().enumerate();
    let own = faults.filter(|(index, _)| index % shards == number % shards);
    own.map(|(_, fault)| fault).collect()
}

#[test]
#[ignore = "eight minutes"]
fn no_fault_of_any_vote() {
    let image = KernelImage::load();
    let mut all = Tally::default();
    for replicas in 3..=7_u8 {
        for majority in 0..1_u32 << replicas {
            if majority.count_ones() <= u32::from(replicas) / 2 {
                continue;
            }
            let other = if majority & 1 == 0 { NEAR } else { FAR };
            let golden = record(
                &image,
                &question(Code::Arithmetic, replicas, majority, other),
            );
            assert_eq!(golden.outcome(), Outcome::Right);
            let tally = meet(&image, &golden, &sharded(single_faults(&golden)));
            assert_none_wrong(&tally);
            all.merge(tally);
        }
    }
    println!("all: {} faults", all.total());
    all.print();
}

#[test]
#[ignore = "minutes"]
fn no_two_bits_of_a_word_of_any_vote() {
    let image = KernelImage::load();
    let mut all = Tally::default();
    for replicas in 3..=7_u8 {
        let majority = (1 << replicas) - (1 << (replicas / 2));
        let golden = record(
            &image,
            &question(Code::Arithmetic, replicas, majority, NEAR),
        );
        let tally = meet(&image, &golden, &sharded(golden.memory_faults(&pairs())));
        assert_none_wrong(&tally);
        all.merge(tally);
    }
    println!("all: {} faults", all.total());
    all.print();
}
