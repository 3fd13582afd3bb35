//! Three replicas and a voter through real channel words, in random interleavings,
//! with random faults at random moments: no wrong output is ever released, and every run
//! ends whole or in a safe stop.
mod world;

use world::{Fault, World};

fn seeds(count: u64) -> impl Iterator<Item = u64> {
    (0..count).map(|seed| seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x7e57)
}

#[test]
fn without_faults_all_agree_in_every_epoch() {
    for seed in seeds(100) {
        let mut world = World::new(seed);
        for _ in 0..8 {
            world.epoch();
            assert!(
                world.is_unanimous(),
                "seed {seed:#x}: {:?}",
                world.verdict()
            );
        }
        assert!(world.memories_are_equal(), "seed {seed:#x}");
    }
}

/// The faults that one world meets, from its own random numbers.
type Faults = fn(&mut World) -> Vec<Fault>;

/// What a set survives: it goes on, and is whole again after the time to detect and repair.
const SURVIVED: [(&str, u64, Faults); 5] = [
    ("a flip in the memory of a replica", 1500, |world| {
        vec![world.random_memory_flip()]
    }),
    ("a flip in the channel of a replica", 1000, |world| {
        vec![world.random_channel_flip()]
    }),
    (
        "a flip in the voter's channel, with something to repair",
        1000,
        |world| vec![world.random_voter_flip(), world.random_memory_flip()],
    ),
    ("a replica silent or endless for a while", 600, |world| {
        vec![world.random_timing_fault()]
    }),
    ("a forged or replayed ballot", 600, |world| {
        vec![world.random_forgery()]
    }),
];

#[test]
fn a_set_survives_a_fault_of_any_kind_and_is_whole_again() {
    for (what, count, faults) in SURVIVED {
        for seed in seeds(count) {
            let mut world = World::new(seed);
            let faults = faults(&mut world);
            for fault in &faults {
                world.schedule(*fault);
            }
            world.run(world.epochs_to_detect_and_repair());
            let case = format!("{what}: seed {seed:#x} {faults:?}: {:?}", world.verdict());
            assert!(!world.has_stopped(), "{case}");
            assert!(world.is_unanimous(), "{case}");
            assert!(world.memories_are_equal(), "{case}");
        }
    }
}

#[test]
fn a_flip_in_memory_is_masked_or_repaired_page_for_page() {
    let (mut repaired, mut masked) = (0, 0);
    for seed in seeds(1500) {
        let mut world = World::new(seed);
        let fault = world.random_memory_flip();
        world.schedule(fault);
        world.run(world.epochs_to_detect_and_repair());
        match world.listed() {
            0 => masked += 1,
            listed => {
                repaired += 1;
                assert_eq!(world.copied(), listed, "seed {seed:#x} {fault:?}");
                assert_eq!(world.rejected(), 0, "seed {seed:#x} {fault:?}");
            }
        }
    }
    assert!(
        repaired > 500 && masked > 20,
        "{repaired} repaired, {masked} masked"
    );
}

#[test]
fn a_replica_that_is_silent_for_ever_is_left_out_and_the_others_go_on() {
    for seed in seeds(100) {
        let mut world = World::new(seed);
        world.schedule(Fault::Silent {
            replica: 1,
            epochs: u32::MAX,
            epoch: 2,
            moment: 3,
        });
        world.run(12);
        assert!(!world.has_stopped(), "seed {seed:#x}");
        assert_eq!(world.verdict().faulty().0, 0b010, "seed {seed:#x}");
    }
}

#[test]
fn several_faults_at_once_end_whole_or_stopped_and_never_in_a_wrong_output() {
    let (mut whole, mut stopped, mut reduced) = (0, 0, 0);
    for seed in seeds(3000) {
        let mut world = World::new(seed);
        for _ in 0..world.random(2..7) {
            let fault = world.random_fault();
            world.schedule(fault);
        }
        world.run(2 * world.epochs_to_detect_and_repair());
        if world.has_stopped() {
            stopped += 1;
        } else if world.is_unanimous() {
            assert!(world.memories_are_equal(), "seed {seed:#x}");
            whole += 1;
        } else {
            reduced += 1;
        }
    }
    assert!(
        whole > 500 && stopped > 300,
        "{whole} whole, {stopped} stopped"
    );
    assert_eq!(
        reduced, 0,
        "no replica is left out for ever without a reason"
    );
}

#[test]
fn a_second_fault_in_the_donor_during_the_copy_stops_the_set() {
    let mut stopped = 0;
    for seed in seeds(300) {
        let mut world = World::new(seed);
        world.corrupt_a_target_and_then_its_donor();
        stopped += u32::from(world.has_stopped());
        if !world.has_stopped() {
            assert!(
                world.is_unanimous() && world.memories_are_equal(),
                "seed {seed:#x}"
            );
        }
    }
    assert!(stopped > 100, "{stopped} stopped");
}

#[test]
fn a_repair_that_does_not_fit_one_epoch_goes_on_in_the_next() {
    for seed in seeds(300) {
        let mut world = World::with_pages(seed, 40);
        world.limit_repair_steps(60);
        let pages = world.pages();
        for page in 0..pages {
            world.schedule(Fault::Memory {
                replica: 2,
                page,
                bit: 77,
                epoch: 2,
                moment: 0,
            });
        }
        world.run(60);
        assert!(!world.has_stopped(), "seed {seed:#x}");
        assert!(
            world.is_unanimous(),
            "seed {seed:#x}: {:?}",
            world.verdict()
        );
        assert!(world.memories_are_equal(), "seed {seed:#x}");
        assert!(
            world.rounds() > 1,
            "seed {seed:#x}: {} pages in one round",
            pages
        );
    }
}
