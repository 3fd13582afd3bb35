//! Random systems on the host, in environments as bad as their bounds allow for: no response is
//! above its bound. 20 s of the search that `cargo xtask search` goes on with.
use std::time::Duration;
use tern_campaign::Options;
use tern_campaign::host::search;

/// Of this long a search.
const TIME: Duration = Duration::from_secs(20);
/// Far from the seeds that a search begins with.
const SEED: u64 = 1_000_000;

/// What it met at least, or it has become another search: on a busy host of two cores there
/// were ten times as much.
const SYSTEMS: u64 = 10;
const JOBS: u64 = 100_000;
const OVERRUNS: u64 = 1_000;

#[test]
fn random_systems_keep_their_promises_for_twenty_seconds() {
    let outcome = search(&Options::new(SEED, TIME), |line| println!("{line}"));
    let outcome = outcome.unwrap_or_else(|error| panic!("{error}"));
    for finding in &outcome.findings {
        println!("{finding}");
    }
    assert!(outcome.findings.is_empty(), "a promise was broken");
    let met = outcome.met;
    println!("{met}");
    assert_eq!(met.lacks(), [""; 0]);
    assert!(met.systems >= SYSTEMS && met.jobs >= JOBS, "{met}");
    assert!(met.counts.overruns >= OVERRUNS, "{met}");
}

#[test]
fn a_seed_is_the_same_system_and_the_same_runs_each_time() {
    let options = |seed| Options {
        systems: 3,
        ..Options::new(seed, TIME)
    };
    let met = |seed| search(&options(seed), |_| {}).unwrap().met;
    let first = met(2_000_000);
    assert_eq!(first, met(2_000_000));
    assert_ne!(first, met(2_000_003));
}
