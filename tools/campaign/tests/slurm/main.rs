//! A campaign whose parts a real Slurm starts adds up to the one that is run whole.
mod cluster;

use cluster::Cluster;
use tern_campaign::faults::{Options, campaign, merge};
use xtask::workspace;

/// Far from the seeds that one begins with.
const SEED: u64 = 2_000_000;
const RUNS: u64 = 100;
const PARTS: u64 = 3;

#[test]
#[ignore = "needs Slurm, and starts one of its own"]
fn parts_that_slurm_starts_add_up_to_the_whole() {
    let build = ["build", "--release", "--package", "tern-campaign"];
    let built = workspace::cargo().args(build).status().unwrap();
    assert!(built.success());
    let ledgers: Vec<_> = (1..=PARTS)
        .map(|part| workspace::target().join(format!("campaign/seed-{SEED}-{part}of{PARTS}.csv")))
        .collect();
    for ledger in ledgers.iter().filter(|it| it.exists()) {
        std::fs::remove_file(ledger).unwrap();
    }

    let cluster = Cluster::start();
    let (array, parts) = (format!("1-{PARTS}"), PARTS.to_string());
    let (seed, runs) = (SEED.to_string(), RUNS.to_string());
    let tasks = cluster.run_array(&array, &[&parts, "--seed", &seed, "--runs", &runs]);
    for (task, said) in (1..).zip(&tasks) {
        println!("task {task}:\n{said}");
        let ledger = format!("seed-{SEED}-{task}of{PARTS}.csv");
        assert!(said.contains(&ledger), "a task is a part of its own");
    }
    assert_eq!(tasks.len() as u64, PARTS);
    drop(cluster);

    let options = Options {
        seed: SEED,
        runs: RUNS,
        ..Options::default()
    };
    let whole = campaign(&options, |line| println!("{line}")).unwrap();
    assert_eq!(merge(&ledgers).unwrap(), whole);
}
