//! What the sandbox kernel promises about time, on the smallest system: releases at
//! their instants, no deadline missed, and no exits between.
use tern_abi::directory::ExitReason;
use tern_tests::{Built, Platform, Running, on_each_machine};
use tern_trace::{Core, Event};
use tern_units::{Instant, TscFrequency};

/// Jobs of the faster thread that are looked at, one of the slower one among them.
const JOBS: u32 = 6;
/// From a release's instant to its record, in nanoseconds, where the emulator is on time:
/// one that idles follows the host's time, and may be late. Lateness that came from the
/// kernel would stay, or grow.
const PROMPT: u64 = 100_000;

/// Lets the machine run until the faster thread has completed job `last`, and returns its
/// trace.
fn after_job(machine: &mut Running, last: u32) -> Core {
    let is_last =
        |event: &Event| matches!(event, Event::Complete { thread: 0, job } if *job >= last);
    machine.until("jobs of the faster thread", |machine| {
        let core = machine.trace(0);
        assert_eq!((core.dropped, core.overwritten), (0, 0));
        events(&core).any(|(_, event)| is_last(&event))
    });
    machine.trace(0)
}

fn events(core: &Core) -> impl Iterator<Item = (u64, Event)> + '_ {
    core.events().map(|event| event.unwrap())
}

fn releases_are_at_their_instants(platform: Platform) {
    let built = Built::new("tests/systems/load/system.toml");
    let mut machine = Running::start(&built, platform);
    let core = after_job(&mut machine, 2 * JOBS);
    let header = machine.directory().header;
    let frequency = TscFrequency::from_hertz(header.tsc_hertz).unwrap();
    let threads: Vec<_> = built.system.sandboxes[0].threads().collect();
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
    let prompt = |late: &u64| *late < PROMPT;
    let last = &lateness[lateness.len() / 2..];
    let drift = match platform {
        Platform::Qemu(_) => !last.iter().any(prompt),
        Platform::Bochs(_) => !lateness.iter().all(prompt),
    };
    assert!(!drift, "{platform}: releases are late: {lateness:?}");
}

fn exits_are_those_of_the_apic(platform: Platform) {
    let mut machine = Running::start(&Built::new("tests/systems/load/system.toml"), platform);
    after_job(&mut machine, 1);
    let before = machine.exits(0);
    assert!(
        before.of(ExitReason::Hypercall) > 0,
        "boot has said its line"
    );
    after_job(&mut machine, 1 + JOBS);
    let mut exits = machine.exits_since(0, before);
    if !platform.has_x2apic() {
        exits.retain(|(reason, _)| *reason != ExitReason::ApicHypercall);
    }
    assert_eq!(exits, [], "{platform}");
}

on_each_machine! {
    releases_keep_to_the_period_without_drift_or_misses => releases_are_at_their_instants;
    in_steady_state_nothing_exits_but_for_an_apic_that_is_not_the_sandboxs_own
        => exits_are_those_of_the_apic;
}
