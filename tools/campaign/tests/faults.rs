//! Seeded faults in simulated replica sets: where outputs are voted on, none is wrong. A minute
//! of the campaign that `cargo xtask campaign` goes on with, by the number of its runs.
use tern_campaign::faults::{Class, Options, Placement, Report, Row, campaign, merge, replay};
use tern_fault::outcome::OutcomeClass;
use xtask::workspace;

/// Runs of each placement and class.
const RUNS: u64 = 100;
/// Far from the seeds that one begins with.
const SEED: u64 = 1_000_000;

fn run(options: &Options) -> Report {
    campaign(options, |line| println!("{line}")).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn faults_of_every_class_break_no_promise() {
    let options = Options {
        seed: SEED,
        runs: RUNS,
        ..Options::default()
    };
    let report = run(&options);
    println!("{report}");
    assert_eq!(report.broken(), [""; 0]);
    assert_eq!(report.lacks(), [""; 0]);
    let runs: Vec<u64> = report
        .rows
        .iter()
        .map(|(_, counts)| counts.runs())
        .collect();
    assert_eq!(runs, vec![RUNS; Row::all().count()]);
}

#[test]
fn parts_have_the_runs_of_the_whole() {
    let options = |shard| Options {
        seed: SEED + 1,
        runs: 300,
        placement: Some(Placement::Arbitrator),
        class: Some(Class::Voter),
        shard,
        ..Options::default()
    };
    let whole = run(&options((0, 1)));
    assert_eq!(whole.rows[0].1.runs(), 300);
    let folder = workspace::target().join("campaign");
    let ledgers = [0, 1].map(|part| {
        run(&options((part, 2)));
        folder.join(format!("seed-{}-{}of2.csv", SEED + 1, part + 1))
    });
    assert_eq!(merge(&ledgers).unwrap(), whole);
    let resumed = Options {
        resume: true,
        ..options((0, 2))
    };
    let again = run(&resumed);
    assert!(again.rows[0].1.runs() < 300, "it does nothing again");
}

#[test]
fn a_run_is_the_same_each_time_and_another_number_is_another_run() {
    let row = Row {
        placement: Placement::Arbitrator,
        class: Class::Two,
    };
    let of = |number| replay(row, SEED, number).unwrap();
    assert_eq!(of(7), of(7));
    assert_ne!(of(7), of(8));
}

/// The campaign's eye for wrong outputs: one copy without a vote has some.
#[test]
fn without_a_vote_wrong_outputs_are_seen() {
    let options = Options {
        seed: SEED + 2,
        runs: 100,
        placement: Some(Placement::Unprotected),
        class: Some(Class::Register),
        ..Options::default()
    };
    let report = run(&options);
    let wrong = report.rows[0].1.of(OutcomeClass::WrongOutput);
    assert!(wrong > 50, "{wrong} of 100");
}
