//! What the sandbox kernel promises about time, on the smallest system: releases at
//! their instants, no deadline missed, and no exits between.
use std::time::Duration;
use tern_abi::directory::ExitReason;
use tern_tests::{Built, Emulator, directory};
use tern_trace::{Core, Event};
use tern_units::{Instant, TscFrequency};
use xtask::emulator::{Directory, ExitCounts, Machine};
use xtask::record;

/// Jobs of the faster thread before the machine is looked at.
const JOBS: u32 = 12;
/// From a release's instant to its record, in nanoseconds, where the emulator is on time:
/// one that idles follows the host's time, and may be late. Lateness that came from the
/// kernel would stay, or grow.
const PROMPT: u64 = 100_000;

struct Run {
    built: Built,
    machine: Machine,
    directory: Directory,
}

impl Run {
    fn start(emulator: Emulator) -> Self {
        let built = Built::new("systems/load/system.toml");
        let mut machine = built.start(emulator);
        let directory = directory(&mut machine);
        machine
            .wait_for("kernel: ")
            .unwrap_or_else(|error| panic!("{error}"));
        Self {
            built,
            machine,
            directory,
        }
    }

    /// The trace once the faster thread has completed [`JOBS`] jobs more than `before`.
    fn after_jobs(&mut self, before: u32) -> Core {
        loop {
            self.machine.monitor.stop().unwrap();
            let core =
                record::core(&self.machine.memory, &self.directory.entries[0], "alpha").unwrap();
            self.machine.monitor.resume().unwrap();
            assert_eq!((core.dropped, core.overwritten), (0, 0));
            if events(&core).any(
                |(_, event)| matches!(event, Event::Complete { thread: 0, job } if job >= before + JOBS),
            ) {
                return core;
            }
            self.machine.check().unwrap();
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

fn events(core: &Core) -> impl Iterator<Item = (u64, Event)> + '_ {
    core.events().map(|event| event.unwrap())
}

fn releases_are_at_their_instants(emulator: Emulator) {
    let mut run = Run::start(emulator);
    let core = run.after_jobs(0);
    let header = run.directory.header;
    let frequency = TscFrequency::from_hertz(header.tsc_hertz).unwrap();
    let threads: Vec<_> = run.built.system.sandboxes[0].threads().collect();
    let mut next = vec![0_u64; threads.len()];
    let mut lateness = Vec::new();
    for (tsc, event) in events(&core) {
        if let Event::Release { thread, job } = event {
            let thread = usize::from(thread);
            assert_eq!(u64::from(job), next[thread], "a release is skipped");
            next[thread] += 1;
            let description = threads[thread].2;
            let release = description.offset + u64::from(job) * description.period;
            let since_epoch = tsc
                .checked_sub(header.epoch_tsc)
                .unwrap_or_else(|| panic!("job {job} is released before the epoch"));
            let recorded = Instant::EPOCH + frequency.to_duration(since_epoch);
            let late = recorded
                .checked_since(Instant::from_nanos(release))
                .unwrap_or_else(|| panic!("job {job} of thread {thread} is released early"));
            if thread == 0 {
                lateness.push(late.as_nanos());
            }
        }
        assert!(!matches!(event, Event::Miss { .. }), "{event:?}");
    }
    assert!(next.iter().all(|count| *count > 2), "jobs: {next:?}");
    let last = &lateness[lateness.len() / 2..];
    assert!(
        last.iter().any(|late| *late < PROMPT),
        "releases drift: {lateness:?}"
    );
}

#[test]
fn releases_keep_to_the_period_without_drift_or_misses() {
    releases_are_at_their_instants(Emulator::Installed);
}

#[test]
fn releases_keep_to_the_period_without_drift_or_misses_with_x2apic() {
    releases_are_at_their_instants(Emulator::Qemu10);
}

#[test]
fn with_x2apic_there_are_no_exits_in_steady_state() {
    let mut run = Run::start(Emulator::Qemu10);
    run.after_jobs(0);
    let entry = run.directory.entries[0];
    let before = ExitCounts::read(&run.machine.memory, &entry).unwrap();
    run.after_jobs(JOBS);
    let after = ExitCounts::read(&run.machine.memory, &entry).unwrap();
    let exits: Vec<(ExitReason, u64)> = after.since(before).collect();
    assert!(exits.iter().all(|(_, count)| *count == 0), "{exits:?}");
    assert!(
        after.of(ExitReason::Hypercall) > 0,
        "boot has said its line"
    );
}
