//! The tasks of a replica set under the kernel's scheduler, with faults at any moment: no
//! wrong output is ever released, and every run ends whole, or without a majority.
mod replicated;

use replicated::{
    Case, Fault, MS, PERIOD, Random, a_channel_flip, a_forgery, a_memory_flip, a_time,
    a_timing_fault, a_voter_channel_flip, described, system,
};
use tern_sim::sets::{Place, World};
use tern_vote::{Outcome, Plan, Release, Standing};

/// Runs of one kind. Each is some milliseconds.
const RUNS: u64 = if cfg!(debug_assertions) { 30 } else { 400 };

/// Enough for the scrub to come by, for a server to repay what it was charged while its core
/// was held, for one ballot that asks, and for a repair.
const EPOCHS_TO_MEND: u64 = 6 + 5 + 10 + 6;

fn case(seed: u64) -> (Case, Random) {
    let mut random = Random(seed);
    let pages = random.within(4, 24) as u32;
    (Case::new(&system(3), pages, seed), random)
}

#[test]
fn without_faults_all_agree_in_every_epoch() {
    for seed in 0..20 {
        let (mut case, _) = case(seed);
        if seed % 2 == 1 {
            case.world.be_late(50_000);
        }
        case.run_until(12);
        let seen = case.world.seen();
        assert_eq!(seen.accepted, (2..12).collect::<Vec<_>>(), "seed {seed}");
        assert_eq!((seen.accused.len(), seen.missed), (0, 0), "seed {seed}");
        case.expect_nothing_wrong(&format!("seed {seed}"));
        assert!(case.is_whole(), "seed {seed}");
    }
}

/// The faults that one set meets, from its own random numbers.
type Faults = fn(&mut Random, &World) -> Vec<Fault>;

/// What a set survives: it goes on, and is whole again after the time to detect and repair.
const SURVIVED: [(&str, Faults); 6] = [
    ("a flip in the memory of a replica", |random, world| {
        vec![a_memory_flip(random, world.pages())]
    }),
    ("a flip in the channel of a replica", |random, world| {
        vec![a_channel_flip(random, world)]
    }),
    (
        "a flip in the voter's channel, with something to repair",
        |random, world| {
            let flip = a_voter_channel_flip(random, world);
            vec![flip, a_memory_flip(random, world.pages())]
        },
    ),
    ("a replica held or endless for a while", |random, _| {
        vec![a_timing_fault(random)]
    }),
    ("a forged or replayed ballot", |random, _| {
        vec![a_forgery(random)]
    }),
    ("an arbitrator that starts anew", |random, _| {
        let erases = random.below(2) == 0;
        vec![Fault::RestartVoter { erases }]
    }),
];

#[test]
fn a_set_survives_a_fault_of_any_kind_and_is_whole_again() {
    for (what, faults) in SURVIVED {
        for seed in 0..RUNS {
            let (mut case, mut random) = case(seed);
            let faults = faults(&mut random, &case.world);
            for fault in &faults {
                case.schedule(a_time(&mut random), fault.clone());
            }
            case.run_until(EPOCHS_TO_MEND);
            let what = format!("{what}: seed {seed} {faults:?}: {:?}", case.world.verdict());
            assert_eq!(case.world.seen().stopped, [], "{what}");
            case.expect_nothing_wrong(&what);
            assert!(case.is_whole(), "{what}");
        }
    }
}

#[test]
fn a_flip_in_memory_is_masked_or_repaired_page_for_page() {
    let (mut repaired, mut masked) = (0, 0);
    // One in twelve is masked.
    let runs = 3 * RUNS;
    for seed in 0..runs {
        let (mut case, mut random) = case(seed);
        let fault = a_memory_flip(&mut random, case.world.pages());
        case.schedule(a_time(&mut random), fault.clone());
        case.run_until(EPOCHS_TO_MEND);
        let seen = case.world.seen();
        assert_eq!(seen.repaired, seen.listed, "seed {seed} {fault:?}");
        match seen.listed {
            0 => masked += 1,
            _ => repaired += 1,
        }
    }
    assert!(
        repaired > runs / 3 && masked > 0,
        "{repaired} repaired, {masked} masked"
    );
}

#[test]
fn a_replica_that_is_silent_for_ever_is_left_out_and_the_others_go_on() {
    for seed in 0..20 {
        let (mut case, mut random) = case(seed);
        let held = Fault::Held {
            of: Place::Replica(1),
            time: 1_000 * PERIOD,
        };
        case.schedule(a_time(&mut random), held);
        case.run_until(15);
        let verdict = case.world.verdict().unwrap();
        assert_eq!(verdict.outcome, Outcome::Majority, "seed {seed}");
        assert_eq!(verdict.faulty().0, 0b010, "seed {seed}");
        assert_eq!(case.world.seen().accepted.last(), Some(&14), "seed {seed}");
    }
}

#[test]
fn several_faults_at_once_end_whole_or_without_a_majority_and_never_in_a_wrong_output() {
    let (mut whole, mut stopped) = (0, 0);
    for seed in 0..4 * RUNS {
        let (mut case, mut random) = case(seed);
        let count = random.within(2, 7);
        for _ in 0..count {
            let world = &case.world;
            let fault = match random.below(9) {
                0..3 => a_memory_flip(&mut random, world.pages()),
                3..5 => a_channel_flip(&mut random, world),
                5 => a_timing_fault(&mut random),
                6 => a_forgery(&mut random),
                7 => Fault::Held {
                    of: Place::Voter(0),
                    time: random.within(1, 4 * PERIOD),
                },
                _ => a_voter_channel_flip(&mut random, world),
            };
            case.schedule(a_time(&mut random), fault);
        }
        case.run_until(2 * EPOCHS_TO_MEND);
        case.expect_nothing_wrong(&format!("seed {seed}"));
        let verdict = case.world.verdict().unwrap();
        match verdict.outcome {
            Outcome::Stopped => stopped += 1,
            Outcome::Unanimous => {
                assert!(case.world.memories_are_sound(), "seed {seed}");
                whole += 1;
            }
            other => panic!("seed {seed}: {other:?}, left out without a reason: {verdict:?}"),
        }
    }
    assert!(
        whole > RUNS && stopped > RUNS / 20,
        "{whole} whole, {stopped} stopped"
    );
}

/// A voter that comes late costs outputs and nothing else: all three replicas are sound.
#[test]
fn a_late_voter_is_not_a_wrong_replica() {
    let (mut withheld, mut held) = (0, 0);
    for seed in 0..RUNS {
        let (mut case, mut random) = case(seed);
        let time = match random.below(2) {
            0 => random.within(MS, 2 * PERIOD),
            _ => random.within(MS, 8 * PERIOD),
        };
        let late = Fault::Held {
            of: Place::Voter(0),
            time,
        };
        case.schedule(a_time(&mut random), late);
        case.run_until(60);
        let seen = case.world.seen();
        let what = format!("seed {seed}: held for {time} ns: {seen:?}");
        assert_eq!((seen.stopped.len(), seen.accused.len()), (0, 0), "{what}");
        case.expect_nothing_wrong(&what);
        assert!(case.is_whole(), "{what}");
        // If it was at work when it was held, its server repays that: five times as long.
        let lost = 60 - seen.accepted.len() as u64;
        // And the first outputs answer nothing, nor do the first ones after a pause.
        // And the first two outputs answer nothing.
        assert!(lost <= 5 * time / PERIOD + 3 + 2, "{what}");
        withheld += lost;
        held += u64::from(lost > 0);
    }
    assert!(held > RUNS / 2, "{held} runs withheld {withheld} outputs");
}

/// A run in which each of `samples` comes `after` so many periods, or never.
fn run_with_late_samples(samples: std::ops::Range<u64>, after: Option<u64>, seed: u64) -> Case {
    let (mut case, _) = case(seed);
    let mut held = Vec::new();
    while case.world.epoch() < 30 {
        case.world.run_to_poll();
        case.world.poll();
        for sample in case.world.take_samples() {
            match samples.contains(&sample.number) {
                true => held.push(sample),
                false => case.world.send_sample(sample),
            }
        }
        // Each is asked for before its epoch, and frozen by the vote in it, which begins when
        // ballots are due.
        let is_due = |number: u64| {
            after.is_some_and(|after| case.world.now() >= (number + after - 1) * PERIOD + 6 * MS)
        };
        let (due, later): (Vec<_>, _) = held.into_iter().partition(|it| is_due(it.number));
        held = later;
        due.into_iter().for_each(|it| case.world.send_sample(it));
    }
    case
}

/// A set without its next sample runs with the last one again. Its output answers the last but
/// one of the samples if that came in time, and the actuator takes answers to the last five.
#[test]
fn inputs_that_are_stale_three_times_in_a_row_cost_no_output_however_late_samples_are() {
    for seed in 0..20 {
        for (samples, after, lost) in [
            (10..11, Some(1), None),
            (10..11, Some(2), None),
            (10..11, None, None),
            (10..20, Some(1), None),
            (10..13, None, None),
            (10..20, Some(3), None),
            (10..14, Some(3), None),
            // Four in a row that come for no vote: the fourth output answers the last but five.
            (10..14, None, Some(14)),
            (10..14, Some(4), Some(14)),
        ] {
            let what = format!("samples {samples:?} after {after:?} periods, seed {seed}");
            let count = samples.end - samples.start;
            let case = run_with_late_samples(samples, after, seed);
            let seen = case.world.seen();
            let expected: Vec<u64> = (2..30).filter(|epoch| Some(*epoch) != lost).collect();
            assert_eq!(seen.accepted, expected, "{what}");
            assert_eq!(case.world.input().unwrap().stale, count, "{what}");
            assert_eq!((seen.accused.len(), seen.stopped.len()), (0, 0), "{what}");
            case.expect_nothing_wrong(&what);
            assert!(case.is_whole(), "{what}");
        }
    }
}

/// A voter that is held in the middle of a vote ends it in a later epoch, with a verdict and
/// without the output.
#[test]
fn an_output_is_sent_in_its_epoch_or_not_at_all() {
    const BALLOTS_DUE: u64 = 4 * MS;
    let (mut sent, mut late) = (0, 0);
    for seed in 0..RUNS {
        // Whoever is held while at work has that to repay: here there is budget left.
        let mut roomy = system(3);
        roomy.sandboxes[3].servers[1].budget = 9 * MS;
        let (mut case, mut random) = (Case::new(&roomy, 24, seed), Random(seed));
        // Something to compare makes the vote longer.
        let flip = a_memory_flip(&mut random, case.world.pages());
        case.schedule(2 * PERIOD, flip);
        let into_the_vote = random.below(MS / 50);
        let held = Fault::Held {
            of: Place::Voter(0),
            time: random.within(PERIOD - BALLOTS_DUE, PERIOD),
        };
        case.schedule(
            random.within(2, 8) * PERIOD + BALLOTS_DUE + into_the_vote,
            held,
        );
        case.world.intercept();
        for epoch in 1..15 {
            case.run_until(epoch);
            for command in case.world.take_commands() {
                let is_late = command.epoch + 1 < epoch;
                let what = format!("seed {seed}, before epoch {epoch}: {command:?}");
                assert!(command.count == 0 || !is_late, "{what}");
                sent += u64::from(command.count > 0);
                late += u64::from(is_late);
            }
        }
    }
    assert!(
        sent > 8 * RUNS && late > RUNS / 20,
        "{sent} sent, {late} late"
    );
}

/// Whoever has put it there: it would keep every sample out that comes before its number.
#[test]
fn a_frozen_sample_that_nobody_asked_for_keeps_none_out() {
    for seed in 0..20 {
        let (mut case, mut random) = case(seed);
        case.run_until(5);
        let frozen = case.world.input().unwrap();
        case.world.freeze(&Release {
            sample: frozen.sample + random.within(1, 1 << 40),
            ..frozen
        });
        case.run_until(12);
        let input = case.world.input().unwrap();
        assert!(
            input.fresh && input.sample + 1 == input.epoch,
            "seed {seed}: {input:?}"
        );
        let seen = case.world.seen();
        assert_eq!(
            (seen.stopped.len(), seen.wrong.len()),
            (0, 0),
            "seed {seed}"
        );
        assert!(case.is_whole(), "seed {seed}: {seen:?}");
    }
}

#[test]
fn a_late_voter_and_a_silent_replica_at_once_do_not_stop_the_set() {
    for seed in 0..RUNS {
        let (mut case, mut random) = case(seed);
        let at = a_time(&mut random);
        let late = Fault::Held {
            of: Place::Voter(0),
            time: random.within(MS, 3 * PERIOD),
        };
        case.schedule(at, late);
        case.schedule(at, a_timing_fault(&mut random));
        case.run_until(2 * EPOCHS_TO_MEND);
        let what = format!("seed {seed}: {:?}", case.world.seen());
        assert_eq!(case.world.seen().stopped, [], "{what}");
        case.expect_nothing_wrong(&what);
        assert!(case.is_whole(), "{what}");
    }
}

/// Whoever has started anew is equal to others that have, and is not right.
#[test]
fn two_replicas_that_start_anew_outvote_nobody() {
    for seed in 0..RUNS {
        for (erases, voter_too) in [(false, false), (true, false), (false, true), (true, true)] {
            let (mut case, mut random) = case(seed);
            let at = a_time(&mut random);
            for replica in [1, 2] {
                case.schedule(at, Fault::Restart { replica, erases });
            }
            if voter_too {
                case.schedule(at, Fault::RestartVoter { erases });
            }
            case.run_until(15);
            let what = format!("seed {seed}, erased {erases}, voter too {voter_too}");
            case.expect_nothing_wrong(&what);
            let verdict = case.world.verdict().unwrap();
            assert_eq!(verdict.outcome, Outcome::Stopped, "{what}");
        }
    }
}

#[test]
fn a_replica_that_starts_anew_gets_the_others_state() {
    for seed in 0..RUNS {
        let (mut case, mut random) = case(seed);
        let (replica, erases) = (random.below(3) as usize, random.below(2) == 0);
        case.schedule(a_time(&mut random), Fault::Restart { replica, erases });
        case.run_until(EPOCHS_TO_MEND);
        case.expect_nothing_wrong(&format!("seed {seed}"));
        assert!(case.is_whole(), "seed {seed}: {:?}", case.world.verdict());
    }
}

/// A fault in the words of a ballot that is long healed is nothing to a voter that starts anew.
#[test]
fn a_voter_that_starts_anew_after_healed_flips_accuses_nobody() {
    for seed in 0..RUNS {
        let (mut case, mut random) = case(seed);
        for (epoch, replica) in [(2, 1), (22, 2)] {
            let flip = Fault::Channel {
                of: Place::Replica(replica),
                word: 0,
                bit: random.below(64) as u32,
            };
            case.schedule(epoch * PERIOD + random.below(PERIOD), flip);
        }
        let erases = random.below(2) == 0;
        case.schedule(40 * PERIOD, Fault::RestartVoter { erases });
        case.run_until(45);
        let seen = case.world.seen();
        let late = seen.accused.iter().any(|(epoch, _)| *epoch >= 30);
        assert!(!late && seen.stopped.is_empty(), "seed {seed}: {seen:?}");
        assert!(case.is_whole(), "seed {seed}");
    }
}

/// An arbitrator may say anything once: what is so is said by the next verdict.
#[test]
fn a_stop_that_was_only_said_is_over_with_the_next_verdict() {
    for seed in 0..20 {
        let (mut case, _) = case(seed);
        case.run_until(5);
        let said = tern_vote::Verdict {
            outcome: Outcome::Stopped,
            lost: 3,
            plan: None,
            newest: None,
            ..case.world.verdict().unwrap()
        };
        case.world.publish(&said);
        case.run_until(9);
        let seen = case.world.seen();
        assert!(case.is_whole(), "seed {seed}: {seen:?}");
        // Who has read it before the others did not run with them.
        assert!(seen.accused.len() <= 1, "seed {seed}: {seen:?}");
        case.expect_nothing_wrong(&format!("seed {seed}"));
    }
}

#[test]
fn a_repair_that_does_not_fit_one_epoch_goes_on_in_the_next() {
    // No budget beside the job for more than some pages.
    let mut scarce = system(3);
    for sandbox in &mut scarce.sandboxes {
        for server in sandbox.servers.iter_mut().filter(|it| it.name == "control") {
            server.budget = 2 * MS;
        }
    }
    for seed in 0..20 {
        let mut case = Case::new(&scarce, 60, seed);
        for page in 0..60 {
            let flip = Fault::Memory {
                replica: 2,
                page,
                bit: 77,
            };
            case.schedule(2 * PERIOD, flip);
        }
        case.run_until(60);
        case.expect_nothing_wrong(&format!("seed {seed}"));
        let seen = case.world.seen();
        assert!(case.is_whole(), "seed {seed}: {:?}", case.world.verdict());
        assert!(seen.accused.len() > 2, "seed {seed}: {seen:?}");
    }
}

/// The server of one replica is used up by another of its threads, again and again.
#[test]
fn a_replica_without_budget_is_late_and_nobody_else_is() {
    let mut greedy = system(3);
    let mut other = greedy.sandboxes[0].servers[0].threads[0].clone();
    (other.period, other.wcet) = (30 * MS, 4 * MS);
    greedy.sandboxes[1].servers[1].threads.insert(0, other);
    greedy.replica_sets[0].replicas[1].thread = 1;
    let mut accused = 0;
    for seed in 0..40 {
        let mut case = Case::new(&greedy, 20, seed);
        case.run_until(40);
        let seen = case.world.seen();
        case.expect_nothing_wrong(&format!("seed {seed}"));
        assert!(seen.stopped.is_empty(), "seed {seed}: {seen:?}");
        assert_eq!(seen.accepted.len(), 40 - 2, "seed {seed}: {seen:?}");
        assert!(
            seen.accused.iter().all(|(_, faulty)| *faulty == 0b010),
            "seed {seed}"
        );
        accused += seen.accused.len();
    }
    assert!(accused > 40, "{accused} accusations");
}

#[test]
fn five_replicas_survive_two_faults_at_once() {
    for seed in 0..RUNS / 4 {
        let mut random = Random(seed);
        let mut case = Case::new(&system(5), 12, seed);
        let at = a_time(&mut random);
        for replica in [1, 3] {
            let flip = Fault::Memory {
                replica,
                page: random.below(12) as u32,
                bit: random.below(1000) as u32,
            };
            case.schedule(at, flip);
        }
        case.run_until(2 * EPOCHS_TO_MEND);
        case.expect_nothing_wrong(&format!("seed {seed}"));
        assert_eq!(case.world.seen().stopped, [], "seed {seed}");
        assert!(case.is_whole(), "seed {seed}: {:?}", case.world.verdict());
    }
}

#[test]
fn a_set_that_only_stops_repairs_nobody_and_stops_when_it_is_told_to() {
    let stops = described(3, "recovery = { kind = \"safe-stop\", lost_epochs = 2 }");
    let mut case = Case::new(&stops, 12, 1);
    let flip = |replica, bit| Fault::Memory {
        replica,
        page: 0,
        bit,
    };
    case.schedule(2 * PERIOD, flip(1, 9));
    case.run_until(12);
    let seen = case.world.seen();
    assert!(seen.accused.len() > 3 && seen.repaired == 0, "{seen:?}");
    case.schedule(12 * PERIOD, flip(2, 5));
    case.run_until(22);
    let seen = case.world.seen();
    case.expect_nothing_wrong("a set that only stops");
    let last = *seen.accepted.last().unwrap();
    assert_eq!(seen.stopped.first(), Some(&(last + 2)), "{seen:?}");
}

/// A replica that writes anything at any time into its own channel.
#[test]
fn a_babbling_replica_hurts_nobody_else() {
    for seed in 0..RUNS / 4 {
        let (mut case, mut random) = case(seed);
        case.run_until(2);
        while case.world.epoch() < 8 {
            case.world.run_to_poll();
            for _ in 0..random.below(40) {
                let words = case.world.channel_words(Place::Replica(1)) as u64;
                let end = if random.below(2) == 0 { 128 } else { words };
                let word = random.below(end) as usize;
                case.world
                    .flip_channel(Place::Replica(1), word, random.below(64) as u32);
            }
            case.world.poll();
        }
        case.run_until(8 + EPOCHS_TO_MEND);
        let seen = case.world.seen();
        case.expect_nothing_wrong(&format!("seed {seed}"));
        assert!(seen.stopped.is_empty(), "seed {seed}: {seen:?}");
        let others = seen.accused.iter().any(|(_, faulty)| faulty & !0b010 != 0);
        assert!(!others, "seed {seed}: {seen:?}");
        assert_eq!(
            seen.accepted.len() as u64,
            8 + EPOCHS_TO_MEND - 2,
            "seed {seed}"
        );
        assert!(case.is_whole(), "seed {seed}: {:?}", case.world.verdict());
    }
}

/// A verdict that is whole and says anything, once: replicas that follow it hurt themselves for
/// an epoch at most, and no output is wrong.
#[test]
fn an_invented_verdict_is_over_with_the_next() {
    for seed in 0..RUNS {
        let (mut case, mut random) = case(seed);
        case.run_until(4);
        for _ in 0..random.below(60) {
            case.world.run_to_poll();
            case.world.poll();
        }
        let mut verdict = case.world.verdict().unwrap();
        for _ in 0..random.within(1, 4) {
            let any = random.below(u64::MAX);
            match random.below(7) {
                0 => verdict.epoch = verdict.epoch.wrapping_add(any % 5).wrapping_sub(2),
                1 => verdict.outcome = [Outcome::Majority, Outcome::Held][any as usize % 2],
                2 => verdict.standings[any as usize % 3] = Standing::Timeout,
                3 => verdict.rehash.0 = any as u8,
                4 => {
                    let target = (any % 3) as u8;
                    verdict.plan = Some(Plan {
                        target,
                        donor: (target + 1) % 3,
                        witness: (target + 2) % 3,
                        round: any as u32 % 64,
                        differing: any as u32 % 4,
                    });
                }
                5 => verdict.state.summary.0 ^= any,
                _ => verdict.state.jobs_until = any % (verdict.epoch + 2),
            }
        }
        let at = case.world.epoch();
        case.world.publish(&verdict);
        case.run_until(at + EPOCHS_TO_MEND);
        let seen = case.world.seen();
        let what = format!("seed {seed}: {verdict:?}: {seen:?}");
        case.expect_nothing_wrong(&what);
        assert!(seen.stopped.is_empty(), "{what}");
        assert!(case.is_whole(), "{what}");
    }
}

#[test]
fn a_single_copy_survives_a_late_voter_and_loses_what_was_cut_off() {
    let alone = described(1, "voting = \"unprotected\"");
    for seed in 0..20 {
        let mut case = Case::new(&alone, 12, seed);
        let late = Fault::Held {
            of: Place::Voter(0),
            time: (seed + 1) * PERIOD / 4,
        };
        case.schedule(2 * PERIOD + seed * MS, late);
        case.run_until(50);
        let seen = case.world.seen();
        case.expect_nothing_wrong(&format!("seed {seed}"));
        assert!(seen.stopped.is_empty(), "seed {seed}: {seen:?}");
        assert_eq!(seen.accepted.last(), Some(&49), "seed {seed}: {seen:?}");
    }
    let mut case = Case::new(&alone, 12, 1);
    case.schedule(2 * PERIOD, Fault::Endless { replica: 0 });
    case.run_until(12);
    let seen = case.world.seen();
    assert_eq!(
        seen.stopped.first(),
        Some(&(seen.accepted.len() as u64 + 2 + 2)),
        "{seen:?}"
    );
}
