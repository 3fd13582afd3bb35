//! Time on the machines of Bochs depends on nothing but executed instructions: two runs
//! of the same image leave the same trace, to the last byte, on four cores; and under an
//! adversarial load no response is above its bound.
use std::time::Duration;
use xtask::emulator::bochs::Model;
use xtask::timing::measure::{Plan, measure};
use xtask::timing::soak::Soak;
use xtask::{build, workspace};

/// Time of a run after the time epoch: several jobs of every thread.
const MILLIS: u64 = 50;

fn two_runs_leave_the_same_trace(model: Model) {
    let run = || {
        let plan = Plan {
            name: "load",
            millis: MILLIS,
            ..Plan::default()
        };
        let measured = measure(&plan, model).unwrap_or_else(|error| panic!("{error}"));
        let bytes = measured.trace.to_bytes();
        let records: usize = measured
            .trace
            .cores
            .iter()
            .map(|core| core.records.len())
            .sum();
        (bytes, records, measured.console)
    };
    let (first, second) = (run(), run());
    assert!(first.1 > 400, "{} records", first.1);
    assert!(first == second, "two runs differ");
}

#[test]
fn two_runs_leave_the_same_trace_under_vt_x() {
    two_runs_leave_the_same_trace(Model::Intel);
}

#[test]
fn two_runs_leave_the_same_trace_under_amd_v() {
    two_runs_leave_the_same_trace(Model::Amd);
}

/// Exit code and output of `cargo xtask timing` with these arguments.
fn timing(arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = workspace::cargo();
    command
        .args(["run", "--quiet", "--release", "--package", "xtask", "--"])
        .arg("timing")
        .args(arguments);
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    (output.status.code(), text)
}

#[test]
fn no_scenario_is_slower_than_committed_and_no_response_above_its_bound_under_vt_x() {
    let (code, text) = timing(&["--machine", "bochs-intel"]);
    assert_eq!(code, Some(0), "{text}");
}

#[test]
fn no_scenario_is_slower_than_committed_and_no_response_above_its_bound_under_amd_v() {
    let (code, text) = timing(&["--machine", "bochs-amd"]);
    assert_eq!(code, Some(0), "{text}");
}

/// The second boot steps through what the first has found, and fails unless it stands where
/// that did.
fn the_longest_section_is_found_where_a_core_is_idle_most_of_the_time(machine: &str) {
    let (code, text) = timing(&["--machine", machine, "--only", "calls"]);
    assert_eq!(code, Some(0), "{text}");
    let found = |line: &str| line.starts_with("longest-non-preemptible:");
    assert!(text.lines().any(found), "{text}");
}

#[test]
fn the_longest_section_is_found_where_a_core_is_idle_most_of_the_time_under_vt_x() {
    the_longest_section_is_found_where_a_core_is_idle_most_of_the_time("bochs-intel");
}

#[test]
fn the_longest_section_is_found_where_a_core_is_idle_most_of_the_time_under_amd_v() {
    the_longest_section_is_found_where_a_core_is_idle_most_of_the_time("bochs-amd");
}

/// The slowed path is a feature of the hypervisor that no other build has.
#[test]
fn a_path_that_is_two_percent_slower_is_named() {
    let folder = build::build_variant(build::HYPERVISOR, "slow-null-hypercall");
    let folder = folder.unwrap_or_else(|error| panic!("{error}"));
    let hypervisor = folder.join(build::HYPERVISOR);
    let hypervisor = hypervisor.to_str().unwrap();
    let systems = "parts,calls,yield,channel";
    let (code, text) = timing(&["--only", systems, "--hypervisor", hypervisor]);
    let last = text.lines().last();
    assert_eq!(last, Some("FAILED, slower or gone: hypercall"), "{text}");
    assert_eq!(code, Some(2));
}

/// A second of the load that `cargo xtask timing --soak` runs for ten.
fn an_adversarial_load_misses_no_deadline(machine: &str) {
    let model = xtask::timing::model(machine).unwrap_or_else(|error| panic!("{error}"));
    let costs = xtask::timing::costs(machine).unwrap_or_else(|error| panic!("{error}"));
    let soak = Soak::run(model, &costs, Duration::from_secs(1));
    let soak = soak.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(soak.failures(), [""; 0], "{soak}");
    assert!(soak.repairs >= 30, "{soak}");
    assert!(soak.counts["budgets used up"] >= 100, "{soak}");
}

#[test]
fn an_adversarial_load_misses_no_deadline_under_vt_x() {
    an_adversarial_load_misses_no_deadline("bochs-intel");
}

#[test]
fn an_adversarial_load_misses_no_deadline_under_amd_v() {
    an_adversarial_load_misses_no_deadline("bochs-amd");
}
