//! Time on the machines of Bochs depends on nothing but executed instructions: two runs
//! of the same image leave the same trace, to the last byte, on four cores.
use xtask::emulator::bochs::Model;
use xtask::timing::measure::measure;

/// Time of a run after the time epoch: several jobs of every thread.
const MILLIS: u64 = 50;

fn two_runs_leave_the_same_trace(model: Model) {
    let run = || {
        let measured = measure("load", model, MILLIS).unwrap_or_else(|error| panic!("{error}"));
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
