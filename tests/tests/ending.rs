//! The end of a run: every core stands still, wherever the request to do so meets it.
use tern_tests::{BOCHS_AMD, BOCHS_INTEL, Built, Platform, Running, text};

/// Cores: the first ends the run.
const CORES: usize = 5;
/// When it asks for that, in the ticks of `guest-instant`.
const END: u64 = 1_000;
/// Between the instants at which the other cores go to the hypervisor, in ticks. One visit
/// takes some 150.
const STEP: u64 = 10;

/// A system whose other cores go to the hypervisor once, from `first` on, one after another.
fn system(first: u64) -> Built {
    let mut description = String::from("[system]\nname = \"ending\"\n");
    for core in 0..CORES {
        let instant = match core {
            0 => END,
            _ => first + core as u64 * STEP,
        };
        let name = format!("s{core}");
        description += &text::guest(&name, core, "guest-instant", &instant.to_string());
        if core == 0 {
            description += "may_shut_down = true\n";
        }
    }
    Built::parse(&description)
}

/// What each core's guest says of its time, after another 20 us of the machine's.
fn times(machine: &mut Running) -> Vec<u64> {
    machine.run_for(std::time::Duration::from_micros(20));
    (1..CORES)
        .map(|core| machine.first_trace_word(core))
        .collect()
}

/// The requests meet cores that are back from the hypervisor, on their way, and not yet
/// there: from one run to the next by a core less.
fn every_core_stands_still(platform: Platform, firsts: &[u64]) {
    let (mut back, mut not_back) = (0, 0);
    for &first in firsts {
        let mut machine = Running::start(&system(first), platform);
        machine.run_to_the_end();
        let (before, after) = (times(&mut machine), times(&mut machine));
        assert_eq!(before, after, "{platform}: from {first}, a core goes on");
        back += after.iter().filter(|time| **time != 0).count();
        not_back += after.iter().filter(|time| **time == 0).count();
    }
    println!("{platform}: {back} cores were back in their guests, {not_back} were not");
    assert!(back > 1 && not_back > 1, "the instants miss the end");
}

#[test]
fn every_core_stands_still_under_vt_x() {
    every_core_stands_still(BOCHS_INTEL, &[1000, 1025]);
}

#[test]
fn every_core_stands_still_under_amd_v() {
    every_core_stands_still(BOCHS_AMD, &[1030, 1045]);
}
